"""Seasonal memory: the values of the last seasons, levels at several speeds, and seasonal indices.

Phases turn with the steps: position 0 of an index is the phase of the step just folded, position h that of h ahead.
So nothing here depends on a calendar, and a gap that is folded as missing keeps the phase.

The index is the deviation of each phase from its season's mean, at two speeds. The deviation is taken half a season
late, from a mean that is centred on it: a trend cancels, and each phase is in the mean once. It is zero before the
first whole season.

The index of a longer season is what is left of a value without a very slow level and without the index of the shorter
season. Each of its phases begins with a doubt, one value of zero, because the first is a single value.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.layers.averages import Mean
from models.layers.columns import MemoryConfig

LEVEL_MEANS = (Mean(0.25), Mean(0.03))
"""Of the values, fast and slow."""

SMOOTH_MEANS = (Mean(0.04), Mean(0.1), Mean(0.3))
"""Of the values without the index of their phase: the slow index for the first two, the fast one for the third."""

LONG_SMOOTH_MEANS = (Mean(0.04), Mean(0.15))
"""Of the values without the index of both seasons."""

INDEX_RATES = (0.07, 0.3)
LONG_INDEX_RATE = 0.2
VISITED_LONG = 1
"""The phase of the longer season, as it stood before the step, that the step moves: its own."""

SEASONS_BEFORE_LONG = 3
"""Shorter seasons that pass before the index of the longer one begins to learn."""


def index_means(config: MemoryConfig) -> list[Mean]:
    """Of both indices of the phase that a step moves."""
    return [Mean(rate, every=config.season) for rate in INDEX_RATES]


def long_index_means(config: MemoryConfig) -> list[Mean]:
    """Of the long index of the phase that a step moves; none without a longer season."""
    if not config.longer:
        return []
    early = SEASONS_BEFORE_LONG * config.season - config.longer
    return [Mean(LONG_INDEX_RATE, late=early, every=config.longer, doubt=1)]


def level_means(config: MemoryConfig) -> list[Mean]:
    """Of the smooth levels, then of the plain ones."""
    if not config.longer:
        return [*SMOOTH_MEANS, *LEVEL_MEANS]
    return [*SMOOTH_MEANS, *LONG_SMOOTH_MEANS, Mean(1.0 / config.longer), *LEVEL_MEANS]


def deviation(season: int, ring: int) -> Tensor:
    """(ring, 2): a ring that ends with this value times this is what the indices that move are means of."""
    late = season // 2
    centring = torch.zeros(ring, dtype=torch.float64)
    centring[-season:] = -1.0 / season
    centring[-1 - late] += 1.0
    return centring.unsqueeze(1).expand(-1, 2).contiguous()


def visited(season: int) -> int:
    """The phase, as it stood before the step, that is half a season ago after it."""
    return (1 - season // 2) % season
