"""Seasonal memory: the last four seasons, levels at several speeds, and a centred seasonal index.

Phases turn with the steps: position 0 of an index is the phase of the step just folded, position h that of h ahead.
So nothing here depends on a calendar, and a gap that is folded as missing keeps the phase.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from models.fold import Layer, State
from models.layers.scale import Arrival
from models.layout import Field

SEASONS_KEPT = 4


def _rates(*rates: float) -> Tensor:
    return torch.tensor(rates, dtype=torch.float64)


class Ring(Layer):
    """The values of the last four seasons, oldest first; where there are none yet, the latest value stands."""

    age: Tensor

    def __init__(self, season: int) -> None:
        super().__init__()
        self.length = SEASONS_KEPT * season
        self.fields = (Field("ring", "<f8", (self.length,)),)
        self.register_buffer("age", torch.arange(self.length - 1, -1, -1, dtype=torch.float64), persistent=False)

    def step(self, x: Arrival, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        shifted = torch.cat([state["ring"][:, 1:], x.value], dim=1)
        ring = torch.where(self.age < x.seen, shifted, x.value)
        return ring, {"ring": ring}


class Levels(Layer):
    """Exponentially weighted means of the values, fast and slow."""

    fields = (Field("level", "<f8", (2,)),)
    rates: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rates", _rates(0.25, 0.03), persistent=False)

    def step(self, x: Arrival, state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        level = state["level"]
        level = level + x.rate(self.rates) * (x.value - level)
        return level, {"level": level}


class SeasonalIndex(Layer):
    """Deviation of each phase from its season's mean, at two speeds, and the levels without it at three.

    The deviation is taken half a season late, from a mean that is centred on it: a trend cancels, and each phase is in
    the mean once. Zero before the first whole season.
    """

    rates: Tensor
    level_rates: Tensor
    visited: Tensor
    mean: Tensor

    def __init__(self, season: int) -> None:
        super().__init__()
        self.season = season
        self.late = season // 2
        self.fields = (Field("index", "<f8", (2, season)), Field("smooth", "<f8", (3,)))
        self.register_buffer("rates", _rates(0.07, 0.3), persistent=False)
        self.register_buffer("level_rates", _rates(0.04, 0.1, 0.3), persistent=False)
        visited = torch.zeros(season, dtype=torch.float64)
        visited[-self.late] = 1.0  # position of the phase of `late` steps ago
        mean = torch.full((season, 1), 1.0 / season, dtype=torch.float64)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("visited", visited, persistent=False)

    def step(self, x: tuple[Arrival, Tensor], state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """Fold the ring (B, 4 seasons) that ends with this observation."""
        arrival, ring = x
        index = torch.cat([state["index"][:, :, 1:], state["index"][:, :, :1]], dim=2)
        end = SEASONS_KEPT * self.season
        centre = ring[:, end - 1 - self.late : end - self.late]
        deviation = centre - ring[:, end - self.season :].matmul(self.mean)
        visits = torch.floor(arrival.seen / self.season)  # of this phase, this one included; 0 before a whole season
        rate = torch.maximum(self.rates, 1.0 / visits.clamp(min=1.0)) * visits.clamp(max=1.0)
        index = index + (rate * (deviation - index[:, :, -self.late])).unsqueeze(2) * self.visited
        slow, fast = index[:, 0, :1], index[:, 1, :1]
        smooth = state["smooth"]
        here = torch.cat([slow, slow, fast], dim=1)
        smooth = smooth + arrival.rate(self.level_rates) * (arrival.value - here - smooth)
        return index, {"index": index, "smooth": smooth}
