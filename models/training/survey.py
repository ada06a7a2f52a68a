"""What about the user's series may surprise: told before the training, by series."""

from collections.abc import Iterator, Sequence

import numpy as np

from models.data import DataError, Series

NAMED = 5
"""Series that a warning names."""

LEAST_KNOWN = 2
"""Values that come before a forecast: from one alone nothing is known of how they change."""


def warnings(series: Sequence[Series], *, season: int, horizon: int) -> list[str]:
    """One line for each kind of trouble that some of the series have.

    Args:
        series: with their test parts.
    """
    kinds = {
        "too short to be tested on": [one.unique_id for one in series if not one.test_steps],
        f"shorter than two seasons of {season} steps and one horizon of {horizon}": [
            _sized(one) for one in series if one.train_steps < 2 * season + horizon
        ],
        "without a single value in the training part": [
            one.unique_id for one in series if np.isnan(_trained(one)).all()
        ],
        "constant, so that nothing is learned from them": [
            f"{one.unique_id} = {value:g}" for one, value in _constant(series)
        ],
        "with gaps, which are folded as missing values": [
            _gappy(one) for one in sorted(series, key=_missing, reverse=True) if _missing(one)
        ],
    }
    return [f"{len(found)} series {kind}: {_some(found)}" for kind, found in kinds.items() if found]


def require_enough(series: Sequence[Series], horizon: int) -> None:
    """Raises DataError: no series has the values that a forecast of the whole horizon can be learned from.

    Args:
        series: with their test parts.
    """
    needed = horizon + LEAST_KNOWN
    longest = max(series, key=_known)
    if _known(longest) < needed:
        raise DataError(
            f"no series is long enough to learn a forecast of {horizon} steps: before its test part one must have "
            f"{needed} values, and the longest, {longest.unique_id!r}, has {_known(longest)} (and {longest.test_steps} "
            "steps to test on)",
            "give longer series",
        )


def _known(series: Series) -> int:
    return int((~np.isnan(_trained(series))).sum())


def _trained(series: Series) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return series.values[: series.train_steps]


def _constant(series: Sequence[Series]) -> Iterator[tuple[Series, float]]:
    for one in series:
        known = one.values[~np.isnan(one.values)]
        if len(known) > 1 and (known == known[0]).all():
            yield one, float(known[0])


def _missing(series: Series) -> int:
    return int(np.isnan(series.values).sum())


def _sized(series: Series) -> str:
    return f"{series.unique_id} ({series.train_steps} training steps)"


def _gappy(series: Series) -> str:
    missing = np.isnan(series.values)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], missing, [False]]).astype(np.int8)))
    longest = int((edges[1::2] - edges[::2]).max())
    return f"{series.unique_id} ({_missing(series)} of {len(series)} steps, {longest} in a row)"


def _some(found: Sequence[str]) -> str:
    more = len(found) - NAMED
    return ", ".join(found[:NAMED]) + (f" and {more} more" if more > 0 else "")
