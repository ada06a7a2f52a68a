"""Forecasts of histories that are sent whole: folded as a session's would be, and forgotten."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.dates.grid import Grid, TimestampError, grid
from service.doors import frequencies
from service.sessions import entries
from service.sessions.creation import Creator
from service.sessions.folding import Folding
from service.sessions.registry import LoadedModel
from service.sessions.views import View
from service.storage.answers import Label
from service.storage.layout import NO_TIME
from service.wire.problems import Fault, InvalidRequest, ServiceError, TooLarge, pointer
from service.wire.schemas import SessionSettings

Where = tuple[str | int, ...]
"""Path into the request's body."""
SERIES_LIMIT = 1000
VALUES_LIMIT = 100_000
"""Of all series of a request together: some seconds of folding, in slices between the waves."""
FEWER = (
    f"a request has at most {SERIES_LIMIT} series and {VALUES_LIMIT} values; send fewer at once (num_partitions in "
    "Nixtla's client), or give each series a session, which is sent one value at a time"
)


@dataclass(frozen=True, slots=True)
class Series:
    """One history.

    Attributes:
        values: (T,), NaN where missing.
        freq: as the request names it.
        times: of all values, or of the first alone; empty where there are none.
        where, freq_at, times_at: the places of it, of its frequency and of each time in the request.
    """

    values: NDArray[np.float64]
    freq: str
    times: Sequence[str]
    where: Where
    freq_at: Where
    times_at: Sequence[Where]

    @property
    def start(self) -> str | None:
        """The first time, if it has one."""
        return self.times[0] if self.times else None


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is to be forecast: `horizon` steps with these levels. `horizon_at`, `levels_at`: their places."""

    horizon: int
    levels: Sequence[int]
    horizon_at: Where
    levels_at: Where


@dataclass(frozen=True, slots=True)
class Fan:
    """The forecasts of one history.

    Attributes:
        cutoff: the time of the last value; times: of the steps ahead. None where the history has none.
        quantiles: (horizon, q), ordered as `render.quantile_keys` is.
    """

    model: str
    cutoff: str | None
    times: list[str] | None
    quantiles: NDArray[np.float64]


class Stateless:
    """Forecasts histories; nothing is stored."""

    def __init__(self, creator: Creator, folding: Folding) -> None:
        self._creator = creator
        self._folding = folding

    def model(self, name: str | None, freq: str) -> LoadedModel:
        """The one that forecasts histories of a frequency, or the one that is named. Raises NotFound."""
        return self._creator.registry.for_freq(freq) if name is None else self._creator.model(name)

    async def forecast(
        self, histories: Sequence[Series], model: str | None, ahead: Ahead
    ) -> list[Fan | ServiceError]:
        """The forecast of each history, or why there is none. Those of one model are folded together.

        Args:
            model: its name, with or without version; None = by the frequency.
        Raises:
            TooLarge: there are too many.
            NotFound: there is no such model.
        """
        if len(histories) > SERIES_LIMIT or sum(len(series.values) for series in histories) > VALUES_LIMIT:
            raise TooLarge(VALUES_LIMIT, FEWER)
        if model is not None:
            self._creator.model(model)
        return await asyncio.gather(*(self._one(series, model, ahead) for series in histories))

    async def _one(self, series: Series, model: str | None, ahead: Ahead) -> Fan | ServiceError:
        try:
            return await self._fan(series, model, ahead)
        except ServiceError as refused:
            refused.at = None  # there is no session
            return refused

    async def _fan(self, series: Series, model: str | None, ahead: Ahead) -> Fan:
        on, first = _grid(series)
        named = {} if model is None else {"model": model}
        freq = frequencies.named(series.freq, series.start)
        asked = SessionSettings.model_validate({**named, "freq": freq})
        record, loaded = self._creator.record("series", asked, incarnation=bytes(8), now_ms=0)
        steps = len(series.values)
        last = NO_TIME if on is None else on.advance(first, steps - 1)
        folded = await self._folding.fold(
            loaded,
            loaded.model.initial_state(1)[0],
            series.values,
            lambda begin, end: entries.calendar(on, _instants(on, first, begin, end)),
        )
        head = record.head
        head["step"], head["last"], head["anchor"] = steps, last, first
        view = View(Label("series", loaded.spec.label, on), head, folded.state, loaded)
        quantiles = _forecast(view, loaded, ahead, series)
        times = None if on is None else [on.format(on.advance(last, step)) for step in range(1, ahead.horizon + 1)]
        return Fan(loaded.spec.label, None if on is None else on.format(last), times, quantiles)


def _grid(series: Series) -> tuple[Grid | None, int]:
    """The grid of a history and its first instant; (None, NO_TIME) where it has no times."""
    try:
        freq = frequencies.named(series.freq, series.start)
        if series.start is None:
            return None, NO_TIME
        first = grid(freq).parse(series.start)
        on = grid(freq).anchored(first)
    except frequencies.FrequencyError as error:
        raise InvalidRequest([Fault(str(error), pointer(*series.freq_at))]) from None
    except TimestampError as error:
        raise InvalidRequest([Fault(str(error), pointer(*series.times_at[0]))]) from None
    for step, (text, where) in enumerate(zip(series.times[1:], series.times_at[1:], strict=True), 1):
        if not _names(on, text, on.advance(first, step)):
            detail = f"must be {on.format(on.advance(first, step))}: oldest first, and null where there is no value"
            raise InvalidRequest([Fault(detail, pointer(*where))])
    return on, first


def _names(on: Grid, text: str, instant: int) -> bool:
    try:
        return on.parse(text) == instant
    except TimestampError:
        return False


def _instants(on: Grid | None, first: int, begin: int, end: int) -> list[int]:
    """Those of the steps from the first to before the second number, counted from 0."""
    return [NO_TIME if on is None else on.advance(first, step) for step in range(begin, end)]


def _forecast(
    view: View, loaded: LoadedModel, ahead: Ahead, series: Series
) -> NDArray[np.float64]:
    """What `View.quantiles` gives; a history without any value is refused by its place."""
    if np.isnan(series.values).all():
        raise InvalidRequest([Fault("must hold at least one value", pointer(*series.where))])
    if not loaded.model.finite(view.state[None])[0]:
        raise InvalidRequest([Fault("holds values so large that no forecast follows", pointer(*series.where))])
    try:
        return view.quantiles(ahead.horizon, ahead.levels)
    except InvalidRequest as refused:  # which names parameters of a session's forecast
        places = {"horizon": ahead.horizon_at, "levels": ahead.levels_at}
        faults = [Fault(fault.detail, pointer(*places[fault.parameter or ""])) for fault in refused.errors]
        raise InvalidRequest(faults) from None
