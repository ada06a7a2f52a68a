"""The histories of many new sessions, and the time rules for all of them at once.

The plain case, times that go forward on a grid of fixed periods, is taken as arrays. Whatever is not plainly so goes
through the rules one by one, which decide and explain: the outcome is that of a PUT with the same observations.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from math import nan

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from models.dates.grid import Grid, TimestampError
from service.sessions.rules import Place, Plan
from service.storage.layout import NO_TIME
from service.wire.parsing import Observation, session_id
from service.wire.problems import Fault, InvalidRequest, ServiceError, pointer

Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
CELLS = 2**21
"""Most steps in one batch, those that pad the shorter series included: it bounds the memory."""


@dataclass(frozen=True, slots=True)
class Histories:
    """What was observed of N series, one after another, each oldest first.

    Args:
        sessions: N ids.
        ends: (N,) rows up to the end of each series; none is empty.
        values: (R,), NaN = missing.
        where: (R,) each row's place in `moments`, or its step.
        moments: timestamps as they were written, in any order; None where steps are counted.
    """

    sessions: list[str]
    ends: Integers
    values: Doubles
    where: Integers
    moments: list[str] | None

    @property
    def starts(self) -> Integers:
        return np.concatenate([[0], self.ends[:-1]])

    def observations(self, series: int) -> list[Observation]:
        """One series as a PUT would send it."""
        rows = slice(int(self.starts[series]), int(self.ends[series]))
        where = self.where[rows].tolist()
        values = [None if value != value else value for value in self.values[rows].tolist()]
        if self.moments is None:
            return [Observation(value, step=step) for value, step in zip(values, where, strict=True)]
        moments = self.moments
        return [Observation(value, moments[index]) for value, index in zip(values, where, strict=True)]


@dataclass(frozen=True, slots=True)
class Batch:
    """The steps of B new sessions, the longest first; T is that one's length.

    Args:
        series: (B,) which ones of the histories.
        lengths: (B,) steps of each; what stands after them in the arrays means nothing.
        values: (B, T), NaN = missing.
        imputed: (B, T) True where nothing was sent.
        instants: (B, T); NO_TIME where steps are counted.
        grids: (B,) the grid that each one's first observation anchored.
        again: (B,) observations that repeat another one.
    """

    series: list[int]
    lengths: Integers
    values: Doubles
    imputed: NDArray[np.bool_]
    instants: Integers
    grids: list[Grid | None]
    again: list[int]


class Planned:
    """Histories by the time rules: which are refused, and the steps of the others.

    Args:
        place: where each session stands before its first observation, its label without the id.
        without: series to leave out.
    """

    def __init__(self, histories: Histories, place: Place, without: Set[int] = frozenset()) -> None:
        self.refused: dict[int, ServiceError] = {}
        self._histories = histories
        self._place = place
        self._grids: list[Grid | None] = [place.label.grid] * len(histories.sessions)
        self._ticks, readable = _ticks(histories, place.label.grid)
        self._numbers, plain = self._numbered(readable)
        self._lengths: Integers = self._numbers[histories.ends - 1] + 1
        self._plans: dict[int, Plan] = {}
        for series, is_plain in enumerate(plain.tolist()):
            if series not in without:
                self._check(series, is_plain)
        self._taken = set(range(len(histories.sessions))) - without - self.refused.keys()

    def batches(self, size: int) -> Iterator[Batch]:
        """The steps of all that are not refused or left out, at most `size` sessions together."""
        taken = [series for series in np.argsort(-self._lengths, kind="stable").tolist() if series in self._taken]
        at = 0
        while at < len(taken):
            together = max(min(size, CELLS // int(self._lengths[taken[at]])), 1)
            yield self._batch(taken[at : at + together])
            at += together

    def where(self, series: int, step: int) -> tuple[str | int, ...]:
        """Path, as in a PUT, to the observation that the state after a step ceased to be finite for."""
        if (plan := self._plans.get(series)) is not None:
            return plan.source(step)
        rows = slice(int(self._histories.starts[series]), int(self._histories.ends[series]))
        seen = self._histories.values[rows][self._numbers[rows] < step]
        return "observations", int(np.nan_to_num(np.abs(seen)).argmax())

    def _numbered(self, readable: NDArray[np.bool_]) -> tuple[Integers, NDArray[np.bool_]]:
        """(R,) steps before each row in its series, and (N,) whether that is plainly so."""
        histories, starts = self._histories, self._histories.starts
        grid = self._place.label.grid
        firsts = self._ticks[starts]
        if grid is None:
            origins, periods = np.ones(len(firsts), np.int64), np.ones(len(firsts), np.int64)
        else:
            origins, periods = firsts, self._periods(grid, firsts, readable[starts])
        counts = np.diff(histories.ends, prepend=0)
        numbers, beside = np.divmod(self._ticks - np.repeat(origins, counts), np.repeat(np.maximum(periods, 1), counts))
        steps = np.diff(numbers, prepend=0)
        steps[starts] = numbers[starts] + 1
        limit = 0 if self._place.max_gap is None else self._place.max_gap
        odd = (beside != 0) | (steps < 1) | (steps > limit + 1) | ~readable | np.isinf(histories.values)
        plain = (periods > 0) & ~np.logical_or.reduceat(odd, starts)
        return numbers, plain

    def _periods(self, grid: Grid, firsts: Integers, readable: NDArray[np.bool_]) -> Integers:
        """(N,) the fixed periods of the grids that begin at the first instants; 0 where there is none."""
        anchored = {}
        for first in set(firsts[readable].tolist()):
            try:
                anchored[first] = grid.anchored(first)
            except TimestampError:
                continue  # the rules will say why
        self._grids = [anchored.get(first, grid) for first in firsts.tolist()]
        return np.array([0 if one is None else one.period for one in self._grids])

    def _check(self, series: int, is_plain: bool) -> None:
        session = self._histories.sessions[series]
        try:
            session_id(session)
            if is_plain:
                return
            self._require_finite(series)
            place = replace(self._place, label=self._place.label._replace(session=session))
            plan = Plan(place, is_history=True)
            for index, observation in enumerate(self._histories.observations(series)):
                plan.add(observation, ("observations", index))
        except ServiceError as refused:
            self.refused[series] = refused
            return
        self._plans[series] = plan
        self._grids[series] = plan.label.grid
        self._lengths[series] = len(plan.values)

    def _require_finite(self, series: int) -> None:
        begin, end = int(self._histories.starts[series]), int(self._histories.ends[series])
        faulty = np.flatnonzero(np.isinf(self._histories.values[begin:end])).tolist()
        if faulty:
            raise InvalidRequest([Fault("must be finite", pointer("observations", row, "value")) for row in faulty])

    def _batch(self, series: list[int]) -> Batch:
        lengths = self._lengths[series]
        shape = len(series), int(lengths[0])
        values, imputed = np.full(shape, nan), np.ones(shape, bool)
        instants = np.full(shape, NO_TIME)
        starts = self._histories.starts
        grids = [self._grids[one] for one in series]
        for row, one in enumerate(series):
            if (plan := self._plans.get(one)) is not None:
                steps = slice(0, len(plan.values))
                values[row, steps], imputed[row, steps], instants[row, steps] = plan.values, plan.imputed, plan.instants
                continue
            rows = slice(int(starts[one]), int(self._histories.ends[one]))
            numbers = self._numbers[rows]
            values[row, numbers], imputed[row, numbers] = self._histories.values[rows], False
            if (grid := grids[row]) is not None:
                instants[row] = self._ticks[rows.start] + grid.period * np.arange(shape[1])
        again = [len(self._plans[one].again) if one in self._plans else 0 for one in series]
        return Batch(series, lengths, values, imputed, instants, grids, again)


def _ticks(histories: Histories, grid: Grid | None) -> tuple[Integers, NDArray[np.bool_]]:
    """(R,) the instant, or the step, of each row, and whether it could be read."""
    if (histories.moments is None) != (grid is None):
        return np.zeros(len(histories.values), np.int64), np.zeros(len(histories.values), bool)
    if histories.moments is None or grid is None:
        return histories.where, np.ones(len(histories.where), bool)
    instants = np.array([_instant(grid, text) for text in histories.moments])
    ticks = instants[histories.where]
    return np.where(ticks == NO_TIME, 0, ticks), ticks != NO_TIME


def _instant(grid: Grid, text: str) -> int:
    try:
        return grid.parse(text)
    except TimestampError:
        return NO_TIME
