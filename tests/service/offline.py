"""What a session should be, folded offline from the start through the model's runtime alone, and what is stored."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.sessions import entries
from service.sessions.places import Places
from service.sessions.records import parsed
from service.sessions.registry import LoadedModel
from service.storage.layout import QUANTILES
from service.storage.record import Record
from service.storage.store import SessionStore
from tests.service.calls import Json
from tests.service.conftest import Service

KEYS = tuple(str(quantile) for quantile in QUANTILES)


async def record_of(service: Service, name: str) -> Record:
    """The stored record, all its checksums checked."""
    async with SessionStore.open(service.store_url) as store:
        blob = await store.read_one(name)
    assert blob is not None
    return parsed(name, blob, service.registry)[0]


def offline(
    loaded: LoadedModel | None, record: Record, values: Sequence[float | None], *, first: int = 1
) -> tuple[NDArray[np.uint8], list[tuple[float, ...] | None]]:
    """Fold the values of a session from the initial state.

    Args:
        first: step of the first of them.
    Returns:
        The state, and the five quantiles issued for each step and for the one after the last; None before a value.
    """
    assert loaded is not None
    grid = Places(["any"], record.head.reshape(1)).label(0).grid
    anchor, states, issued = int(record.head["anchor"]), loaded.model.initial_state(1), []
    for number, value in enumerate(values, first - 1):
        instant = 0 if grid is None else grid.advance(anchor, number)
        issued.append(_quantiles(loaded, states))
        features = entries.calendars([grid], [instant])
        states, _ = loaded.model.step(states, np.array([np.nan if value is None else value]), features)
    return states[0], [*issued, _quantiles(loaded, states)]


def _quantiles(loaded: LoadedModel, states: NDArray[np.uint8]) -> tuple[float, ...] | None:
    issued = entries.issued(loaded, states)[0]
    return None if np.isnan(issued).any() else tuple(issued.tolist())


def quantiles_of(forecast: Json | None) -> tuple[float, ...] | None:
    """The five numbers of a Forecast on the wire."""
    return None if forecast is None else tuple(forecast["quantiles"][key] for key in KEYS)
