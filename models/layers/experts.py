"""Forecasts that cost nothing: each is linear in what the memory holds, so all are one product with a constant.

Candidates for h steps ahead, with y the last value, A and B the slow and fast seasonal index, phases turned:
    1 y                       2 fast level            3 the last value of the phase    4 mean of the phase's kept ones
    5 y - A[0] + A[h]         6 l1 + A[h]             7 l2 + B[h]                      8 half of 5, half of 6
    9 l0 + A[h]              10 slow level
with trends, where z is y - A[0]:
   11 z + A[h] + a slow slope, hardly damped         12 z + A[h] + a fast slope, damped
with a longer season, S = A + W its index on top of the shorter one:
   13 y - S[0] + S[h]        14 l3 + S[h]            15 l4 + S[h]                     16 half of 13, half of 15
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.layers.averages import Mean
from models.layers.columns import Columns, MemoryConfig
from models.layers.seasonal import SMOOTH_MEANS

ERROR_MEAN = Mean(0.04, late=1, skips=True)
FAR_RATE = 0.04

ERROR_FLOOR = 0.02
"""Of the scale: below it one expert's error says no more than another's."""

DAMPING = (0.97, 0.85)
"""Each step, of the slow and the fast slope."""


@dataclass(frozen=True, slots=True)
class Expert:
    """One forecast, as weights over the memory's row.

    Attributes:
        level: (width,) what it starts from.
        season: by the steps ahead, what is added for the phase.
        trend: which of `slopes` is added, damped.
    """

    level: Tensor
    season: Callable[[int], Tensor]
    trend: int | None = None


def far_mean(config: MemoryConfig) -> Mean:
    """Of the errors over the reach: over at least two of its origins."""
    return Mean(min(FAR_RATE, 0.5 / max(config.reach, 1)), late=1, skips=True)


def growth(trend: int, horizon: int) -> float:
    """What a slope adds up to over so many steps."""
    return sum(DAMPING[trend] ** step for step in range(1, horizon + 1))


def slopes(columns: Columns) -> Tensor:
    """(2, width): slow and fast change in a step of the last value without its index.

    The exponentially weighted mean at a rate r is (1 - r) / r steps behind a line.
    """
    smooth, walk = columns.units(columns.smooth), columns.last - columns.of_phase(0)[0]
    rates = (SMOOTH_MEANS[0].rate, SMOOTH_MEANS[1].rate)
    return torch.stack([(walk - smooth[k]) * rate / (1.0 - rate) for k, rate in enumerate(rates)])


def experts(columns: Columns) -> list[Expert]:
    """All of them, in order."""
    last, level, smooth = columns.last, columns.units(columns.level).flip(0), columns.units(columns.smooth)
    slow_level, fast_level = level[0], level[1]
    walk = last - columns.of_phase(0)[0]

    def no_season(_: int) -> Tensor:
        return columns.nothing

    def slow(h: int) -> Tensor:
        return columns.of_phase(h)[0]

    def fast(h: int) -> Tensor:
        return columns.of_phase(h)[1]

    def both(h: int) -> Tensor:
        return slow(h) + columns.long_of(h)

    def same_phase(h: int) -> Tensor:
        return columns.same_phase(h, 0)

    found = [Expert(last, no_season), Expert(fast_level, no_season), Expert(columns.nothing, same_phase)]
    found += [Expert(columns.nothing, columns.phase_mean), Expert(walk, slow), Expert(smooth[1], slow)]
    found += [Expert(smooth[2], fast), Expert((walk + smooth[1]) / 2, slow), Expert(smooth[0], slow)]
    found += [Expert(slow_level, no_season)]
    if columns.config.trends:
        found += [Expert(walk, slow, trend) for trend in range(len(DAMPING))]
    if columns.config.longer:
        longer = walk - columns.long_of(0)
        found += [Expert(level, both) for level in (longer, smooth[3], smooth[4], (longer + smooth[4]) / 2)]
    return found


def candidates(columns: Columns, horizon: int) -> Tensor:
    """(width, horizon, K): the memory's row times this is each expert's forecast minus the last value."""
    trends, ahead = slopes(columns), []
    for h in range(1, horizon + 1):
        forecasts = []
        for expert in experts(columns):
            forecast = expert.level + expert.season(h) - columns.last
            if expert.trend is not None:
                forecast = forecast + growth(expert.trend, h) * trends[expert.trend]
            forecasts.append(forecast)
        ahead.append(torch.stack(forecasts, dim=1))
    return torch.stack(ahead, dim=1)
