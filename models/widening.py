"""Intervals further ahead than a model reaches: they go on growing as those that it forecasts directly grow.

Variances add up. A forecast of a random walk has errors whose variance grows by the same amount at each step; that of a
stationary series has errors of one size, which may depend on the phase of its season. So the square of each quantile's
distance from the median goes on as it was a season before, and by as much as it has grown over the direct fan's last
season: exact for both, and between them the mean growth that the model itself expects.

The fan of a state that has folded medians in the place of values says nothing of it: that state takes them for values
that came as they were expected, and is the surer for it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def continued(direct: Doubles, medians: Doubles, season: int) -> Doubles:
    """(n, Q) quantiles of the n steps after a direct fan, in its units, around their medians.

    The distance d of a quantile from the median at step e, further ahead than H, is

        d(e) = sqrt(d(e')^2 + (e - e') * growth)
        growth = max(0, mean of d^2 over the last w steps - its mean over the w steps before) / w

    where w is `window_of` the fan, and e' is the step among its last w that is a whole number of w before e. Before the
    first step d is 0, so a model of one step widens as a random walk.

    Args:
        direct: (H, Q) ascending quantiles, the median in the middle.
        medians: (n,) of the steps H + 1 to H + n.
        season: steps of one.
    Returns:
        Ascending quantiles; an outer one is nowhere nearer to the median than an inner one. Infinite or NaN where
        the numbers are so large that there are no others.
    """
    reach, median = len(direct), direct.shape[1] // 2
    window = window_of(reach, season)
    ahead = np.arange(1, len(medians) + 1)
    since = -(-ahead // window) * window
    with np.errstate(over="ignore", invalid="ignore"):
        distances = np.abs(direct - direct[:, median : median + 1])
        unit = np.frexp(distances.max(axis=0))[1]  # a power of two is divided by without rounding
        squares = np.pad(np.ldexp(distances, -unit), ((1, 0), (0, 0))) ** 2  # d at step e is in row e
        growth = (squares[-window:].mean(axis=0) - squares[-2 * window : -window].mean(axis=0)) / window
        later = squares[reach + ahead - since] + since[:, None] * np.maximum(growth, 0.0)
        wide = np.ldexp(np.sqrt(later), unit)
        below = np.maximum.accumulate(wide[:, median::-1], axis=1)[:, ::-1]
        above = np.maximum.accumulate(wide[:, median:], axis=1)
        around = medians[:, None]
        return np.concatenate([around - below, around + above[:, 1:]], axis=1)


def window_of(reach: int, season: int) -> int:
    """Steps over which growth is seen: a season where a fan of `reach` steps holds two, else half of the fan."""
    return season if 2 * season <= reach else max(1, reach // 2)
