"""How far quantiles are from the median where the last known value is longer ago than a fan reaches, or than one step.

That is so where a forecast goes on beyond the model's horizon, and while values are missing. Variances add up: a
forecast of a random walk has errors whose variance grows by the same amount at each step; that of a stationary series
has errors of one size, which may depend on the phase of its season. So the square of each quantile's distance goes on
as it was a season before, and by as much as it has grown over the fan's last season: exact for both, and between them
the mean growth that the model itself expects.

The fan of a state that has folded medians in the place of values says nothing of it: that state takes them for values
that came as they were expected, and is the surer for it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


def continued(direct: Doubles, medians: Doubles, season: int) -> Doubles:
    """(n, Q) quantiles of the n steps after a direct fan (H, Q), in its units, around their medians (n,).

    Infinite or NaN where the numbers are so large that there are no others.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        ahead = len(direct) + np.arange(1, len(medians) + 1)
        around: Doubles = medians[:, None] + distances(direct[None], ahead[None], season)[0]
    return around


def widened(fan: Doubles, ago: Doubles, season: int) -> Doubles:
    """Fans (B, H, Q) where the last known value is `ago` (B,) steps before the last one: around the same medians."""
    ahead = ago.astype(np.int64)[:, None] + np.arange(1, fan.shape[1] + 1)
    with np.errstate(over="ignore", invalid="ignore"):
        around: Doubles = fan[:, :, fan.shape[2] // 2, None] + distances(fan, ahead, season)
    return around


def distances(fan: Doubles, ahead: npt.NDArray[np.int64], season: int) -> Doubles:
    """(B, n, Q): quantiles minus the median, never decreasing along Q.

    The distance d of a quantile from the median is that of the fan at its steps, and at a step e further ahead than H

        d(e) = sqrt(d(e')^2 + (e - e') * growth)
        growth = max(0, mean of (d(h)^2 - d(h - w)^2) / w over the last w steps h of the fan)

    where w is `window_of` the fan, and e' is the step among its last w that is a whole number of w before e. The fan's
    first step is left out, as what was issued for it may be wide already, unless there is no other pair of steps;
    before the first step d is 0, so a model of one step widens as a random walk.

    Args:
        fan: (B, H, Q) ascending quantiles, the median in the middle, in units of each series.
        ahead: (B, n) steps after the last known value, from 1.
        season: steps of one.
    """
    horizon, median = fan.shape[1], fan.shape[2] // 2
    window = window_of(horizon, season)
    sizes = np.abs(fan - fan[:, :, median, None])
    unit = np.frexp(sizes.max(axis=1, keepdims=True))[1]  # a power of two is divided by without rounding
    squares = np.pad(np.ldexp(sizes, -unit), ((0, 0), (1, 0), (0, 0))) ** 2  # d at step h is in row h
    first = horizon - window + 1
    first += first - window == 1 and first < horizon
    grown = (squares[:, first:] - squares[:, first - window : horizon + 1 - window]).sum(axis=1, keepdims=True)
    growth = np.maximum(grown, 0.0) / ((horizon + 1 - first) * window)
    since = np.maximum(-((horizon - ahead) // window), 0) * window
    at = (ahead - since)[:, :, None]
    later = np.take_along_axis(squares, at, axis=1) + since[:, :, None] * growth
    wide = np.ldexp(np.sqrt(later), unit)
    below = np.maximum.accumulate(wide[:, :, median::-1], axis=2)[:, :, :0:-1]
    outwards: Doubles = np.concatenate([-below, np.maximum.accumulate(wide[:, :, median:], axis=2)], axis=2)
    return outwards


def window_of(reach: int, season: int) -> int:
    """Steps over which growth is seen: a season where a fan of `reach` steps holds two, else half of the fan."""
    return season if 2 * season <= reach else max(1, reach // 2)
