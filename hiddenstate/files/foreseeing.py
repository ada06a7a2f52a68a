"""What the rows of a file that follow one tell of its next steps: the covariates that are known in advance."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hiddenstate.answers.sessions import Session
from hiddenstate.files.tables import Part, SeriesFile, pc
from models.dates.grid import Grid, TimestampError, grid

Rows = NDArray[np.int64]
Future = list[dict[str, float | None]]
ROWS_A_STEP = 2
"""Rows that are looked at for each step: enough, if few of them repeat one."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """The steps of a session.

    Attributes:
        grid: None = they are counted. Its phase is that of the first row where it has none yet.
        last: the instant of the last one that it holds, or its number; None = it holds none.
    """

    grid: Grid | None
    last: int | None

    @classmethod
    def of(cls, session: Session) -> Self:
        """That of a session as it stands."""
        if session.freq is None:
            return cls(None, session.step)
        phaseless = grid(session.freq, session.timezone)
        if session.last is None:
            return cls(phaseless, None)
        last = phaseless.parse(session.last)
        return cls(phaseless.anchored(last), last)


class Held:
    """A part, and where the rows of each series stand in it."""

    def __init__(self, part: Part) -> None:
        self.part = part
        order, ends = np.argsort(part.codes, kind="stable"), np.cumsum(np.bincount(part.codes))
        self.rows: dict[str, Rows] = dict(zip(part.names, np.split(order, ends[:-1]), strict=True))
        self._columns: dict[str, list[float]] = {}

    def known(self, row: int, names: Sequence[str]) -> dict[str, float | None]:
        """Covariates of a row, None = missing."""
        numbers = ((name, self._column(name)[row]) for name in names)
        return {name: number if isfinite(number) else None for name, number in numbers}

    def _column(self, name: str) -> list[float]:
        if name not in self._columns:
            self._columns[name] = np.asarray(pc.fill_null(self.part.table[name], np.nan), np.float64).tolist()
        return self._columns[name]


class Foreseeing:
    """The parts of a file, each once those after it are read that tell of its steps.

    Args:
        columns: covariates to read.
        horizon: most steps ahead; 0 = nothing is known in advance, and no part waits for another.
    """

    def __init__(self, file: SeriesFile, columns: Sequence[str], horizon: int) -> None:
        self._file = file
        self._columns = columns
        self._horizon = horizon
        self._held: deque[Held] = deque()

    def parts(self) -> Iterator[Held]:
        """All rows, in order. Raises TableError, as SeriesFile does."""
        to_come = self._counted() if self._horizon else Counter[str]()
        for part in self._file.parts(self._columns):
            self._held.append(Held(part))
            to_come.subtract({name: len(rows) for name, rows in self._held[-1].rows.items()})
            while self._held and self._is_told(to_come):
                yield self._held[0]
                self._held.popleft()
        while self._held:
            yield self._held[0]
            self._held.popleft()

    def futures(
        self, series: str, rows: Rows, calendar: Calendar, names: Sequence[str], horizon: int
    ) -> list[Future | None]:
        """What is known in advance at these rows of the first part that is held, which are those of one series.

        It ends at the first step that no row is of. None = the session holds the row's step, with what was known then.
        """
        first, last = int(rows[0]), int(rows[-1])
        held, looked_at = self._held[0], ROWS_A_STEP * horizon
        own = held.rows[series]
        stop = int(np.searchsorted(own, last)) + 1 + looked_at
        found = [(held, row) for row in own[np.searchsorted(own, first) : stop].tolist()]
        later = ((one, row) for one in islice(self._held, 1, None) for row in one.rows.get(series, own[:0]).tolist())
        found += islice(later, looked_at)
        steps, instants = _steps(calendar.grid, [_moment(one.part, row) for one, row in found])
        told: dict[int, dict[str, float | None]] = {}
        for step, (one, row) in zip(steps, found, strict=True):
            if step is not None:
                told.setdefault(step, one.known(row, names))
        places = {row: at for at, (one, row) in enumerate(found) if one is held}
        return [
            None
            if (step := steps[at]) is None or (calendar.last is not None and instants[at] <= calendar.last)
            else _ahead(told, step, horizon)
            for at in (places[row] for row in rows.tolist())
        ]

    def _counted(self) -> Counter[str]:
        counts = Counter[str]()
        for part in self._file.parts():
            counts.update(dict(zip(part.names, np.bincount(part.codes).tolist(), strict=True)))
        return counts

    def _is_told(self, to_come: Counter[str]) -> bool:
        """Whether enough rows are held of each series of the first part, or all that there are."""
        if not self._horizon:
            return True
        first, *others = self._held
        after = Counter[str]()
        for held in others:
            after.update({name: len(rows) for name, rows in held.rows.items()})
        return all(not to_come[name] or after[name] >= ROWS_A_STEP * self._horizon for name in first.rows)


def _moment(part: Part, row: int) -> str | int:
    where = int(part.where[row])
    return where if part.moments is None else part.moments[where]


def _steps(given: Grid | None, moments: Sequence[str | int]) -> tuple[list[int | None], list[int]]:
    """The step that each is, from wherever they are counted, and its instant; None where it is none of the grid."""
    instants = [_instant(given, moment) for moment in moments]
    known = [instant for instant in instants if instant is not None]
    if given is None or not known:
        return instants, [instant or 0 for instant in instants]
    anchored = given
    if given.anchor is None:
        try:
            anchored = given.anchored(known[0])
        except TimestampError:
            return [None] * len(moments), [0] * len(moments)
    steps = [
        anchored.steps_between(known[0], instant) if instant is not None and anchored.is_on(instant) else None
        for instant in instants
    ]
    return steps, [instant or 0 for instant in instants]


def _instant(given: Grid | None, moment: str | int) -> int | None:
    if given is None or isinstance(moment, int):
        return moment if isinstance(moment, int) and given is None else None
    try:
        return given.parse(moment)
    except TimestampError:
        return None


def _ahead(told: dict[int, dict[str, float | None]], step: int, horizon: int) -> Future:
    future: Future = []
    while len(future) < horizon and (following := told.get(step + len(future) + 1)) is not None:
        future.append(following)
    return future
