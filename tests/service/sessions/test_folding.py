"""Folds that share their slices: what befalls one of them is no matter of the others."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from models.dates.calendar import CALENDAR
from service.sessions.folding import Calendar, Folded, Folding
from service.sessions.registry import LoadedModel, Registry

VALUES = np.arange(20.0)


@pytest.fixture(scope="module")
def loaded(registry: Registry) -> LoadedModel:
    return registry.default


async def at_once() -> None:
    await asyncio.sleep(0)


def plain(begin: int, end: int) -> NDArray[np.float32]:
    return np.zeros((end - begin, CALENDAR), np.float32)


def impossible(begin: int, end: int) -> NDArray[np.float32]:
    if end > 9:
        raise OverflowError("there is no such day")
    return plain(begin, end)


def fold(folding: Folding, loaded: LoadedModel, calendar: Calendar, values: NDArray[np.float64]) -> Awaitable[Folded]:
    return folding.fold(loaded, loaded.model.initial_state(1)[0], values, calendar)


async def test_a_fold_whose_calendar_fails_fails_alone(loaded: LoadedModel) -> None:
    folding = Folding(at_once)
    calendars = (plain, impossible, plain)
    first, failed, last = await asyncio.gather(
        *(fold(folding, loaded, calendar, VALUES) for calendar in calendars), return_exceptions=True
    )
    assert isinstance(failed, OverflowError)
    alone = await fold(Folding(at_once), loaded, plain, VALUES)
    for folded in (first, last):
        assert isinstance(folded, Folded)
        assert folded.state.tobytes() == alone.state.tobytes()
        assert folded.issued.tobytes() == alone.issued.tobytes()


async def test_a_fold_that_is_given_up_as_a_slice_begins_fails_no_other(loaded: LoadedModel) -> None:
    given_up: list[Callable[[], object]] = []

    async def between() -> None:
        await asyncio.sleep(0)
        while given_up:
            given_up.pop()()

    folding = Folding(between)
    short = asyncio.ensure_future(fold(folding, loaded, plain, VALUES[:4]))
    long = asyncio.ensure_future(fold(folding, loaded, plain, VALUES))
    given_up.append(short.cancel)
    assert (await long).state.tobytes() == (await fold(Folding(at_once), loaded, plain, VALUES)).state.tobytes()
    assert short.cancelled()
