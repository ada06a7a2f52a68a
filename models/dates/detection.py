"""The frequency of timestamps that come without one."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from models.dates.frequencies import frequency

MINUTE, HOUR, DAY, WEEK = 60, 3600, 86400, 7 * 86400
FIXED = {DAY: "D", WEEK: "W"}
"""By seconds from one step to the next."""

PERIODS = (("M", range(28, 32)), ("Q", range(90, 93)), ("Y", range(365, 367)))
"""Of the calendar, with the days that one has: months, quarters, years."""

SATURDAY, EPOCH_WEEKDAY = 5, 3
"""Monday is 0, and 1970-01-01 was a Thursday."""


def detect(series: Iterable[NDArray[np.datetime64]]) -> str | None:
    """The frequency of most successive timestamps, or None where it is none of these.

    These are `D B W MS ME QS QE YS YE`, and minutes and hours that a day holds a whole number of: `15min`, `2h`.

    Args:
        series: the timestamps of each series, in order.
    """
    stamps = [one.astype("datetime64[s]").astype(np.int64) for one in series]
    counts = Counter(np.concatenate([np.diff(one) for one in stamps]).tolist() if stamps else [])
    if not counts:
        return None
    [(step, _)] = counts.most_common(1)
    moments = np.concatenate(stamps)
    if step == DAY:
        return "B" if counts[3 * DAY] and ((moments // DAY + EPOCH_WEEKDAY) % 7 < SATURDAY).all() else "D"
    return FIXED.get(step) or (_within_a_day(step) if step < DAY else _of_the_calendar(step, moments))


def _within_a_day(step: int) -> str | None:
    if step <= 0 or step % MINUTE or DAY % step:
        return None
    count, unit = (step // HOUR, "h") if step % HOUR == 0 else (step // MINUTE, "min")
    return unit if count == 1 else f"{count}{unit}"


def _of_the_calendar(step: int, moments: NDArray[np.int64]) -> str | None:
    """The frequency whose periods may have this length, and all of whose first or last days these are."""
    days = np.unique(moments // DAY).tolist()
    names = [f"{unit}{end}" for unit, lengths in PERIODS if step // DAY in lengths for end in ("S", "E")]
    return next((name for name in names if all(frequency(name).picks(day) for day in days)), None)
