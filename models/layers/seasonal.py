"""Seasonal memory: the last four seasons, levels at several speeds, and a centred seasonal index.

Phases turn with the steps: position 0 of an index is the phase of the step just folded, position h that of h ahead.
So nothing here depends on a calendar, and a gap that is folded as missing keeps the phase.

The index is the deviation of each phase from its season's mean, at two speeds. The deviation is taken half a season
late, from a mean that is centred on it: a trend cancels, and each phase is in the mean once. It is zero before the
first whole season.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.layers.averages import Mean

LEVEL_MEANS = (Mean(0.25), Mean(0.03))
"""Of the values, fast and slow."""

SMOOTH_MEANS = (Mean(0.04), Mean(0.1), Mean(0.3))
"""Of the values without the index of their phase: the slow index for the first two, the fast one for the third."""

INDEX_RATES = (0.07, 0.3)
STILL = Mean(0.0)


def index_means(season: int) -> list[Mean]:
    """Of both indices of each phase, before a step turns them: those of one phase alone move, once a season."""
    moving = [Mean(rate, every=season) for rate in INDEX_RATES]
    visited = _visited(season)
    return [mean for phase in range(season) for mean in (moving if phase == visited else [STILL, STILL])]


def deviations(season: int, ring: int) -> Tensor:
    """(ring, 2 season): a ring that ends with this value times this is what the indices that move are means of."""
    late = season // 2
    centring = torch.zeros(ring, dtype=torch.float64)
    centring[-season:] = -1.0 / season
    centring[-1 - late] += 1.0
    columns = torch.zeros(ring, season, 2, dtype=torch.float64)
    columns[:, _visited(season)] = centring.unsqueeze(1)
    return columns.flatten(1)


def _visited(season: int) -> int:
    """The phase, as it stood before the step, that is half a season ago after it."""
    return (1 - season // 2) % season
