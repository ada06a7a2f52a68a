"""What a session remembers outside of the network: scale, ring, levels, seasonal index, expert errors, composed.

All of it is float64 and in the series' own units, and none of it depends on weights: training folds it once for many
windows, without gradient.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from models.fold import Layer, State
from models.layers.experts import EXPERTS, ExpertErrors, Rows, log_argument, memory_of
from models.layers.scale import Arrival, LocalScale, scale_of
from models.layers.seasonal import SEASONS_KEPT, Levels, Ring, SeasonalIndex


class Memory(Layer):
    """The composition of the layers that see raw values."""

    views: Tensor

    def __init__(self, season: int) -> None:
        super().__init__()
        self.season = season
        self.scale = LocalScale()
        self.ring = Ring(season)
        self.levels = Levels()
        self.seasonal = SeasonalIndex(season)
        self.experts = ExpertErrors(season)
        layers = (self.scale, self.ring, self.levels, self.seasonal, self.experts)
        self.fields = tuple(f for layer in layers for f in layer.fields)
        self.register_buffer("views", views(season), persistent=False)
        self.shown = self.views.shape[1] + EXPERTS + 3

    def step(self, x: tuple[Tensor, Tensor], state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """Fold one value of each session.

        Args:
            x: values (B, 1) float64, stand-ins for the missing ones, and known (B, 1) float64, 0 for a stand-in.
        Returns:
            The experts' signed errors of this step (B, K).
        """
        value, known = x
        seen = state["seen"] + torch.maximum(known, state["seen"].clamp(max=1.0))
        arrival = Arrival(value, known, seen)
        previous = state["ring"][:, -1:]
        change = torch.where(seen > 1.0, (value - previous).abs(), 0.1 * value.abs())
        _, scaled = self.scale.step((arrival, change), state)
        ring, ringed = self.ring.step(arrival, state)
        _, levelled = self.levels.step(arrival, state)
        _, indexed = self.seasonal.step((arrival, ring), state)
        new = {**scaled, **ringed, **levelled, **indexed}
        errors, judged = self.experts.step((arrival, change, memory_of(new)), state)
        return errors, {**new, **judged}

    def observe(self, state: Mapping[str, Tensor], errors: Tensor) -> Tensor:
        """What the network is shown of a state and of the experts' signed errors (..., K); any leading dimensions.

        Returns:
            (..., V + K + 3) float32, compressed by asinh: views of the memory and the errors in units of the scale, and
            the logarithms of fast over slow scale, of the scale over the slow level, and of the steps seen.
        """
        scale = scale_of(state)
        ratios = torch.cat([memory_of(state).matmul(self.views), errors], dim=-1) / scale
        speeds = torch.maximum(state["scale"][..., :2], 1e-3 * scale)
        speed = speeds[..., :1] / speeds[..., 1:]
        size = scale / (state["level"][..., 1:].abs() + scale)
        logs = log_argument(torch.cat([speed, size, 1.0 + state["seen"]], dim=-1))
        return torch.asinh(torch.cat([ratios, logs], dim=-1).float())


def views(season: int) -> Tensor:
    """(M, 4 + 2 season): what the memory times this shows the network.

    The last change, the last value above its season's mean and above both levels, and for each phase to come its mean
    value and its index, above the present ones.
    """
    r = Rows(season)
    columns = [r.last - r.ring[-2], r.last - r.ring[-season:].mean(0), r.last - r.level[1], r.last - r.level[0]]
    for h in range(1, season + 1):
        columns.append(torch.stack([r.same_phase(h, back) for back in range(SEASONS_KEPT)]).mean(0) - r.last)
    columns += [r.slow[h % season] - r.slow[0] for h in range(1, season + 1)]
    return torch.stack(columns, dim=1)
