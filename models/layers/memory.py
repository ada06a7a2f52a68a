"""What a session remembers outside of the network: ring, seasonal index, levels, expert errors, scale, in one row.

All of it is float64 and in the series' own units, and none of it depends on weights: training folds it once for many
windows, without gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.layers.averages import Mean, rates
from models.layers.columns import EXPERTS, Columns
from models.layers.experts import ERROR_MEANS, candidates
from models.layers.inputs import LOGS, UNUSED, Inputs, log_terms, views
from models.layers.rows import row_asinh, row_log
from models.layers.scale import CHANGE_MEANS, PEAK_DECAY, scale_of
from models.layers.seasonal import LEVEL_MEANS, SMOOTH_MEANS, deviations, index_means

WARM_SEASONS = 4


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the memory; leading dimensions (B,) or, of a window, (B, T).

    Args:
        row: (..., width) float64, the memory after it.
        errors: (..., K + 2) float64, the signed errors of the experts' forecasts for this step, then the change twice;
            at the start of a session a tenth of the first value's size stands for all.
        flags: (..., 2) float32, see `Inputs`.
    """

    row: Tensor
    errors: Tensor
    flags: Tensor

    @classmethod
    def stack(cls, steps: Sequence[Step]) -> Step:
        """The steps of a window, from those of its times."""
        rows, errors, flags = zip(*((step.row, step.errors, step.flags) for step in steps), strict=True)
        return cls(torch.stack(rows, dim=1), torch.stack(errors, dim=1), torch.stack(flags, dim=1))


@dataclass(frozen=True, slots=True)
class Sight:
    """A memory as network and head see it.

    Args:
        compressed: (..., N) float32, and `logs` (..., LOGS) float32: both as in `Inputs`.
        gaps: (..., K) float32, the experts' forecasts of the next step minus the last value, in units of the scale.
        scale: (..., 1) float64.
    """

    compressed: Tensor
    logs: Tensor
    gaps: Tensor
    scale: Tensor


class Memory(nn.Module):
    """The fold of the raw values."""

    past: Tensor
    age: Tensor
    deviations: Tensor
    rates: Tensor
    flags: Tensor
    products: Tensor
    added: Tensor
    floors: Tensor

    def __init__(self, season: int) -> None:
        super().__init__()
        self.columns = columns = Columns(season)
        self.inputs = Inputs(season)
        self.fields = columns.fields
        means = [*index_means(season), *SMOOTH_MEANS, *LEVEL_MEANS, *ERROR_MEANS, *CHANGE_MEANS, Mean(1.0)]
        warm = WARM_SEASONS * season
        self.settled = max(warm, *(mean.settled for mean in means))
        ages = torch.arange(self.settled + 1).clamp(max=warm) / warm
        flags = torch.stack([torch.stack([ages, torch.full_like(ages, missing)], dim=1) for missing in (0.0, 1.0)])
        ring = columns.ring.stop
        buffers = {
            "past": _past(columns),
            "age": torch.arange(ring - 1, -1, -1, dtype=torch.float64),
            "deviations": deviations(season, ring),
            "rates": rates(means, self.settled).flatten(0, 1),
            "flags": flags.flatten(0, 1),
            "products": _products(columns, self.inputs),
        }
        buffers |= dict(zip(("added", "floors"), log_terms(), strict=True))
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)

    def initial_state(self, batch: int) -> Tensor:
        """Zeros (B, width)."""
        return torch.zeros(batch, self.columns.width, dtype=torch.float64)

    def step(self, value: Tensor, missing: Tensor, row: Tensor) -> Step:
        """Fold one value of each session.

        Args:
            value: (B, 1) float64, a stand-in for a missing one.
            missing: (B, 1) float64, 1 for a stand-in.
            row: (B, width).
        """
        columns = self.columns
        before = row[:, columns.seen]
        seen = before + torch.maximum(1.0 - missing, before.clamp(max=1.0))
        place = (seen.clamp(max=self.settled) + missing * (self.settled + 1.0)).long().squeeze(1)
        shifted = torch.cat([row[:, 1 : columns.ring.stop], value], dim=1)
        ring = torch.where(self.age < seen, shifted, value)
        plain, errors = (value - row.matmul(self.past)).tensor_split([-EXPERTS - 2], dim=1)
        errors = torch.where(seen > 1.0, errors, 0.1 * value.abs())
        peak = torch.maximum(value.abs(), PEAK_DECAY * row[:, columns.scale.stop - 1 : columns.scale.stop])
        targets = torch.cat([ring.matmul(self.deviations), plain, errors.abs(), peak], dim=1)
        means = row[:, columns.means]
        moved = means + self.rates.index_select(0, place) * (targets - means)
        here, ahead, rest = moved.tensor_split([2, columns.index.stop - columns.index.start], dim=1)
        return Step(torch.cat([ring, ahead, here, rest, seen], dim=1), errors, self.flags.index_select(0, place))

    def look(self, step: Step) -> Sight:
        """What network and head see after a step."""
        scale = scale_of(step.row[..., self.columns.scale])
        products = step.row.matmul(self.products)
        ratios = self._ratios([step.errors, products], step.row, scale)
        compressed, sizes = ratios.tensor_split([self.inputs.compressed], dim=-1)
        return Sight(row_asinh(compressed), self._logs(sizes), ratios[..., self.inputs.gaps], scale)

    def logs(self, row: Tensor) -> Tensor:
        """Only the logarithms (..., LOGS) of what `look` gives."""
        unused = row[..., : UNUSED + 1] * 0.0
        return self._logs(self._ratios([unused], row, scale_of(row[..., self.columns.scale])))

    def _ratios(self, parts: list[Tensor], row: Tensor, scale: Tensor) -> Tensor:
        columns = self.columns
        return (torch.cat([*parts, row[..., columns.shown], row[..., columns.seen] * scale], dim=-1) / scale).float()

    def _logs(self, sizes: Tensor) -> Tensor:
        """Logarithms of the sizes (..., LOGS) over the smallest expert error.

        The gate raises those of the errors to a power: near zero for the experts that matter, they stay precise there.
        """
        sizes = torch.maximum(sizes.abs() + self.added, self.floors)
        errors = sizes[..., LOGS - 3 - EXPERTS : LOGS - 3]
        return row_log(sizes / errors.amin(dim=-1, keepdim=True))


def _past(columns: Columns) -> Tensor:
    """(width, 5 + K + 2): what a value is compared with: index of its phase, nothing, expert forecasts, last value.

    In the order of the means that it moves: three smooth levels, two plain ones, errors, both mean differences.
    """
    here = columns.of_phase(1)[[0, 0, 1]].T
    nothing = torch.zeros(columns.width, 2, dtype=torch.float64)
    last = columns.last.unsqueeze(1)
    return torch.cat([here, nothing, candidates(columns, 1)[:, 0] + last, last, last], dim=1)


def _products(columns: Columns, inputs: Inputs) -> Tensor:
    """(width, N): what gives the views, the experts' gaps, and zeros for the columns without a meaning."""
    padding, unused = (torch.zeros(columns.width, n, dtype=torch.float64) for n in (inputs.padding, UNUSED + 1))
    return torch.cat([views(columns), padding, candidates(columns, 1)[:, 0], unused], dim=1)
