"""What a session remembers outside of the network: scale, ring, levels, seasonal index, expert errors, composed.

All of it is float64 and in the series' own units, and none of it depends on weights: training folds it once for many
windows, without gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

import torch
from torch import Tensor

from models.fold import Layer, State
from models.layers.averages import Averages
from models.layers.experts import EXPERTS, ExpertErrors, Rows, Sight, apart, candidates, error_ratios, memory_of
from models.layers.rows import FOUR, asinh_argument, row_log, sign
from models.layers.scale import LocalScale, scale_of
from models.layers.seasonal import SEASONS_KEPT, Levels, Ring, SeasonalIndex


class Memory(Layer):
    """The composition of the layers that see raw values."""

    products: Tensor

    def __init__(self, season: int) -> None:
        super().__init__()
        self.season = season
        self.scale = LocalScale()
        self.ring = Ring(season)
        self.levels = Levels()
        self.seasonal = SeasonalIndex(season)
        self.experts = ExpertErrors()
        layers = (self.scale, self.ring, self.levels, self.seasonal, self.experts)
        self.fields = tuple(f for layer in layers for f in layer.fields)
        groups = (  # in the order of the row that `step` moves
            self.scale.means,
            self.levels.means,
            self.seasonal.level_means,
            self.experts.means,
            self.seasonal.means,
        )
        self.edges = list(accumulate(len(group) for group in groups))[:-1]
        self.averages = Averages([mean for group in groups for mean in group])
        gaps, shown = candidates(season, 1)[:, 0], views(season)
        unused = torch.zeros(len(shown), -(2 * EXPERTS + shown.shape[1]) % FOUR, dtype=torch.float64)
        self.register_buffer("products", torch.cat([gaps, unused, shown], dim=1), persistent=False)
        self.views = shown.shape[1]
        self.shown = self.views + EXPERTS + 3 + EXPERTS

    def step(self, x: tuple[Tensor, Tensor], state: Mapping[str, Tensor]) -> tuple[tuple[Tensor, Tensor], State]:
        """Fold one value of each session.

        Args:
            x: values (B, 1) float64, stand-ins for the missing ones, and known (B, 1) float64, 0 for a stand-in.
        Returns:
            The experts' signed errors of this step (B, K), and the new memory times `products`.
        """
        value, known = x
        seen = state["seen"] + torch.maximum(known, state["seen"].clamp(max=1.0))
        change = self.scale.change(value, seen, state)
        ring = self.ring(value, seen, state)
        deviation = self.seasonal.deviation(ring, seen)
        errors = self.experts.errors(value, change, seen, state)
        targets = [change] * 2 + [value] * 2 + [self.seasonal.deseasonalised(value, state), errors.abs()]
        targets += [deviation] * 2
        means = [state["scale"][:, :2], state["level"], state["smooth"], state["expert.error"]]
        means += [self.seasonal.visiting(state)]
        moved = self.averages(torch.cat(means, dim=1), torch.cat(targets, dim=1), seen, known)
        speeds, level, smooth, error, visited = moved.tensor_split(self.edges, dim=1)
        index = self.seasonal.turn(visited, state)
        new = self.scale.join(seen, value, speeds, state)
        new |= {"ring": ring, "level": level, "index": index, "smooth": smooth, "expert.error": error}
        products = memory_of(new).matmul(self.products)
        return (errors, products), {**new, "expert.next": products[:, :EXPERTS] + value}

    def look(self, state: Mapping[str, Tensor], errors: Tensor, products: Tensor) -> tuple[Tensor, Sight]:
        """What network and head see of a state, with the experts' signed errors and the products that `step` gave.

        Returns:
            (..., shown) float32: compressed by asinh, views of the memory and the errors in units of the scale; the
            logarithms of fast over slow scale, of the scale over the slow level, and of the steps seen; and those of
            the experts' errors over the scale. And the experts' forecasts of the next step, as the head sees them.
        """
        scale = scale_of(state)
        ratios = torch.cat([products, errors], dim=-1) / scale
        speeds = torch.maximum(state["scale"][..., :2], 1e-3 * scale)
        sizes = scale / torch.cat([speeds, state["level"][..., 1:].abs() + scale], dim=-1)
        row = torch.cat([asinh_argument(ratios), sizes, 1.0 + state["seen"], error_ratios(state, scale)], dim=-1)
        width = ratios.shape[-1]
        edges = (width, width + 1, width + 2, width + 4)
        compressed, fast, slow, others, error_part = row_log(row).tensor_split(edges, dim=-1)
        compressed, logs = compressed * sign(ratios), apart(error_part)
        shown = torch.cat([compressed[..., -self.views - EXPERTS :], slow - fast, others, logs[1]], dim=-1)
        return shown, Sight(products[..., :EXPERTS], compressed[..., :EXPERTS], logs, scale)


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
