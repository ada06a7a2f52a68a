"""Seasonal memory: the last four seasons, levels at several speeds, and a centred seasonal index.

Phases turn with the steps: position 0 of an index is the phase of the step just folded, position h that of h ahead.
So nothing here depends on a calendar, and a gap that is folded as missing keeps the phase.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from models.layers.averages import Mean
from models.layout import Field

SEASONS_KEPT = 4


class Ring(nn.Module):
    """The values of the last four seasons, oldest first; where there are none yet, the latest value stands."""

    age: Tensor

    def __init__(self, season: int) -> None:
        super().__init__()
        self.length = SEASONS_KEPT * season
        self.fields = (Field("ring", "<f8", (self.length,)),)
        self.register_buffer("age", torch.arange(self.length - 1, -1, -1, dtype=torch.float64), persistent=False)

    def forward(self, value: Tensor, seen: Tensor, state: Mapping[str, Tensor]) -> Tensor:
        """The ring (B, 4 seasons) that ends with this value."""
        shifted = torch.cat([state["ring"][:, 1:], value], dim=1)
        return torch.where(self.age < seen, shifted, value)


class Levels:
    """Exponentially weighted means of the values, fast and slow."""

    fields = (Field("level", "<f8", (2,)),)
    means = (Mean(0.25), Mean(0.03))


class SeasonalIndex(nn.Module):
    """Deviation of each phase from its season's mean, at two speeds, and the levels without it at three.

    The deviation is taken half a season late, from a mean that is centred on it: a trend cancels, and each phase is in
    the mean once. Zero before the first whole season.
    """

    level_means = (Mean(0.04), Mean(0.1), Mean(0.3))
    centring: Tensor
    here: Tensor
    visited: Tensor
    turned: Tensor

    def __init__(self, season: int) -> None:
        super().__init__()
        self.season = season
        self.fields = (Field("index", "<f8", (2, season)), Field("smooth", "<f8", (3,)))
        self.means = (Mean(0.07, every=season), Mean(0.3, every=season))
        late = season // 2
        centring = torch.full((season, 1), -1.0 / season, dtype=torch.float64)
        centring[-1 - late] += 1.0
        self.register_buffer("centring", centring, persistent=False)
        # positions among both indices as they were before this step, slow then fast, then the two that it visits
        here, visited = 1 % season, (1 - late) % season
        self.register_buffer("here", torch.tensor([here, here, season + here]), persistent=False)
        self.register_buffer("visited", torch.tensor([visited, season + visited]), persistent=False)
        turned = torch.tensor([[(h + 1) % season + k * season for h in range(season)] for k in (0, 1)])
        turned[:, -late] = torch.tensor([2 * season, 2 * season + 1])
        self.register_buffer("turned", turned.flatten(), persistent=False)

    def deviation(self, ring: Tensor, seen: Tensor) -> Tensor:
        """(B, 1): of the phase of half a season ago, in a ring that ends with this value."""
        deviation = ring[:, -self.season :].matmul(self.centring)
        return torch.where(seen >= self.season, deviation, 0.0)

    def deseasonalised(self, value: Tensor, state: Mapping[str, Tensor]) -> Tensor:
        """(B, 3): the value without the index of its phase, what each of the three levels is a mean of."""
        return value - state["index"].flatten(1).index_select(1, self.here)

    def visiting(self, state: Mapping[str, Tensor]) -> Tensor:
        """(B, 2): both indices of the phase whose deviation this step brings."""
        return state["index"].flatten(1).index_select(1, self.visited)

    def turn(self, visited: Tensor, state: Mapping[str, Tensor]) -> Tensor:
        """Both indices (B, 2, season), one phase on, with the new values (B, 2) of the phase visited."""
        turned = torch.cat([state["index"].flatten(1), visited], dim=1).index_select(1, self.turned)
        return turned.reshape(-1, 2, self.season)
