"""When the rows of a batch are, for many sessions at once: each timestamp is read once for all that read it alike."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.dates.grid import Grid, TimestampError
from service.storage.layout import NO_TIME

Integers = NDArray[np.int64]
UNREAD = NO_TIME + 1


class Times:
    """The timestamps of a batch.

    Args:
        texts: the different ones, as they were sent.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._read: dict[tuple[str, bool], Integers] = {}

    def instants(self, grid: Grid, times: Integers) -> Integers:
        """(n,) as a grid reads the texts of these numbers; NO_TIME where there is none or it cannot be read."""
        known = self._read.get(grid.reading)
        if known is None:
            known = self._read[grid.reading] = np.full(len(self._texts) + 1, UNREAD)
            known[-1] = NO_TIME  # where the number is -1
        found = known[times]
        if (found == UNREAD).any():
            for number in np.unique(times[found == UNREAD]).tolist():
                known[number] = _instant(grid, self._texts[number])
            found = known[times]
        return found


def _instant(grid: Grid, text: str) -> int:
    try:
        return grid.parse(text)
    except TimestampError:
        return NO_TIME


@lru_cache(maxsize=2**16)
def steps_between(grid: Grid, last: int, instant: int) -> int | None:
    """How many steps an instant is after one on the grid; None where it is off the grid."""
    try:
        return grid.steps_between(last, instant) if grid.is_on(instant) else None
    except TimestampError:
        return None


def ahead(grids: Sequence[Grid | None], owners: Integers, lasts: Integers, instants: Integers) -> Integers:
    """(n,) how many steps each instant is after the last observation of its session; 0 where it is no later step.

    Args:
        grids, lasts: (B,) of the sessions; `owners` (n,) says which of them each row is of.
        instants: (n,) NO_TIME = none.
    """
    periods = np.array([0 if grid is None else grid.period for grid in grids])[owners]
    since = lasts[owners]
    known = instants != NO_TIME
    passed = np.where(known, instants - since, 0)
    steps, beside = np.divmod(passed, np.maximum(periods, 1))
    steps[(beside != 0) | (passed < 0)] = 0
    for row in np.flatnonzero(known & (periods == 0)).tolist():
        grid = grids[owners[row]]
        between = None if grid is None else steps_between(grid, int(since[row]), int(instants[row]))
        steps[row] = max(between or 0, 0)
    return steps
