"""The frequency of timestamps that come without one."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

HOUR, DAY, WEEK = 3600, 86400, 7 * 86400
FIXED = {60: "min", HOUR: "h", DAY: "D", WEEK: "W"}
"""By seconds from one step to the next."""

MONTH = range(28 * DAY, 31 * DAY + 1)
SATURDAY, EPOCH_WEEKDAY = 5, 3
"""Monday is 0, and 1970-01-01 was a Thursday."""


def detect(series: Iterable[NDArray[np.datetime64]]) -> str | None:
    """The frequency of most successive timestamps: one of `min h D B W MS`, or None where it is none of these.

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
    if step in MONTH:
        return "MS" if _begin_months(moments) else None
    return FIXED.get(step)


def _begin_months(moments: NDArray[np.int64]) -> bool:
    days = moments.astype("datetime64[s]")
    return bool((days == days.astype("datetime64[M]")).all())
