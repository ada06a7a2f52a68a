"""How far quantiles are from the median where the last known value is longer ago than a fan reaches, or than one step.

That is so while values are missing, and where a forecast goes on beyond the model's horizon H. With d(h) the distance
of a quantile to the median at step h of a fan, the one at step e after the last known value is d(e), as far as the fan
reaches, and beyond that

    d(e)^2 = d(e')^2 + (e - e') g,    g = max(0, mean of (d(h)^2 - d(h - w)^2) / w over the last w steps h of the fan)

where e' is the last step of the fan that is whole windows w before e. A window is a season if the fan has two of them,
so that what differs by the phase goes on to; else half of the fan. The squares grow on at the rate of the fan, as the
variance of forecasts does: at a steady one for a random walk, of which this is exact, and not at all for a stationary
series.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


def widened(fan: Doubles, ago: Doubles, season: int) -> Doubles:
    """Fans (B, H, Q) where the last known value is `ago` (B,) steps before the last one: around the same medians."""
    ahead = ago.astype(np.int64)[:, None] + np.arange(1, fan.shape[1] + 1)
    medians: Doubles = fan[:, :, fan.shape[2] // 2, None]
    return medians + distances(fan, ahead, season)


def distances(fan: Doubles, ahead: npt.NDArray[np.int64], season: int) -> Doubles:
    """(B, n, Q): quantiles minus the median, never decreasing along Q.

    Args:
        fan: (B, H, Q), in units of each series. What its first step has does not count beyond the horizon, unless it is
            the only one: where values are missing, it is wide already.
        ahead: (B, n) steps after the last known value, from 1.
        season: in steps.
    """
    horizon, side = fan.shape[1], fan.shape[2] // 2
    above = np.abs(fan - fan[:, :, side, None])
    unit = above.max(axis=(1, 2), keepdims=True)
    above = above / np.where(unit > 0.0, unit, 1.0)
    squares = above * above
    if horizon > 2:
        window = season if 2 * season <= horizon else horizon // 2
        first = max(horizon - window, window + 1)
        growth = (squares[:, first:] - squares[:, first - window : horizon - window]).sum(axis=1, keepdims=True)
        growth = np.maximum(growth, 0.0) / ((horizon - first) * window)
    else:
        window = horizon
        growth = squares[:, -1:] / horizon
    beyond = np.maximum(-((horizon - ahead) // window), 0) * window
    at = (ahead - beyond - 1)[:, :, None]
    found = np.take_along_axis(above, at, axis=1)
    grown = np.sqrt(np.take_along_axis(squares, at, axis=1) + beyond[:, :, None] * growth)
    found = np.where(beyond[:, :, None] > 0, grown, found)
    lower = np.maximum.accumulate(found[:, :, :side][:, :, ::-1], axis=2)[:, :, ::-1]
    upper = np.maximum.accumulate(found[:, :, side:], axis=2)
    outwards: Doubles = np.concatenate([-lower, upper], axis=2) * unit
    return outwards
