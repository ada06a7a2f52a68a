"""What a session remembers outside of the network: ring, seasonal indices, levels, expert errors, scale, in one row.

All of it is float64 and in the series' own units, and none of it depends on weights: training folds it once for many
windows, without gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.layers.averages import Mean, rates
from models.layers.columns import Columns, MemoryConfig
from models.layers.experts import ERROR_MEAN, candidates, experts, far_mean
from models.layers.inputs import CHANGES, Inputs, views
from models.layers.rows import row_asinh, row_log
from models.layers.scale import CHANGE_MEANS, PEAK_DECAY, scale_of
from models.layers.seasonal import VISITED_LONG, deviation, index_means, level_means, long_index_means, visited

WARM_SEASONS = 4


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the memory, of B sessions.

    Args:
        row: (B, width) float64, the memory after it; seen: (B, 1) of it.
        errors: (B, K + 2) float64, the signed errors of the experts' forecasts for this step, then the change twice,
            and, where they are kept, those of the forecasts from the last origin between them (B, 2 K + 2); at the
            start of a session a tenth of the first value's size stands for all.
        sizes: absolute values of the errors.
        flags: (B, 2) float32, see `Inputs`.
        place: (B,) in tables by the steps seen, see `Memory.place`.
    """

    row: Tensor
    seen: Tensor
    errors: Tensor
    sizes: Tensor
    flags: Tensor
    place: Tensor


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
    deviation: Tensor
    rates: Tensor
    flags: Tensor
    products: Tensor
    added: Tensor
    floors: Tensor

    def __init__(self, config: MemoryConfig) -> None:
        super().__init__()
        self.columns = columns = Columns(config)
        self.inputs = Inputs(columns)
        self.fields = columns.fields
        self.reach, self.longer = config.reach, bool(config.longer)
        self.oldest = config.oldest or None
        self.visited = visited(config.season)
        turning = slice(columns.index.start + 2 * self.visited, columns.index.start + 2 * self.visited + 2)
        turning_long = slice(columns.long.start + VISITED_LONG, columns.long.start + VISITED_LONG + self.longer)
        moving = (turning, turning_long, columns.means)
        self.moving = tuple(part for part in moving if part.start < part.stop)
        """What a step moves towards a target."""
        far = columns.experts * (self.reach > 0)
        levels = [*long_index_means(config), *level_means(config)]
        moved = [*index_means(config), *levels, *[ERROR_MEAN] * columns.experts, *[far_mean(config)] * far]
        moved += [*CHANGE_MEANS, Mean(1.0), *[Mean(1.0, skips=True)] * (columns.known.stop - columns.known.start)]
        self.levels = len(levels)
        warm = WARM_SEASONS * config.season
        self.settled = max(warm, *(mean.settled for mean in moved))
        ages = torch.arange(self.settled + 1).clamp(max=warm) / warm
        flags = torch.stack([torch.stack([ages, torch.full_like(ages, missing)], dim=1) for missing in (0.0, 1.0)])
        ring = columns.ring.stop
        buffers = {
            "past": _past(columns)[: columns.needed],
            "age": torch.arange(ring - 1, -1, -1, dtype=torch.float64),
            "deviation": deviation(config.season, ring),
            "rates": rates(moved, self.settled).flatten(0, 1),
            "flags": flags.flatten(0, 1),
            "products": _products(columns, self.inputs)[: columns.needed],
        }
        buffers |= dict(zip(("added", "floors"), self.inputs.log_terms(), strict=True))
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor, persistent=False)

    def initial_state(self, batch: int) -> Tensor:
        """Zeros (B, width)."""
        return torch.zeros(batch, self.columns.width, dtype=torch.float64)

    def step(self, value: Tensor, missing: Tensor, row: Tensor, origin: Tensor | None = None) -> Step:
        """Fold one value of each session.

        Args:
            value: (B, 1) float64, a stand-in for a missing one.
            missing: (B, 1) float64, 1 for a stand-in.
            row: (B, width).
            origin: (B, N) what the last origin adds to `past`, where errors are kept further ahead.
        """
        columns = self.columns
        before = row[:, columns.seen]
        seen = before + torch.maximum(1.0 - missing, before.clamp(max=1.0))
        place = self.place(seen, missing).squeeze(1)
        shifted = torch.cat([row[:, 1 : columns.ring.stop], value], dim=1)
        ring = torch.where(self.age < seen, shifted, value)
        expected = row[:, : columns.needed].matmul(self.past)
        if origin is not None:
            expected = expected + origin
        plain, errors = (value - expected).tensor_split([self.levels], dim=1)
        errors = torch.where(seen > 1.0, errors, 0.1 * value.abs())
        peak = torch.maximum(value.abs(), PEAK_DECAY * row[:, columns.scale.stop - 1 : columns.scale.stop])
        sizes = errors.abs()
        latest = [value, seen] if columns.config.last_known else []
        targets = torch.cat([ring.matmul(self.deviation), plain, sizes, peak, *latest], dim=1)
        means = torch.cat([row[:, part] for part in self.moving], dim=1)
        moved = means + self.rates.index_select(0, place) * (targets - means)
        index, long, others = moved.tensor_split([2, 2 + self.longer], dim=1)
        parts = [ring, *_turned(row, columns.index, index, self.visited), others, seen]
        if self.longer:
            parts += _turned(row, columns.long, long, VISITED_LONG)
        return Step(torch.cat(parts, dim=1), seen, errors, sizes, self.flags.index_select(0, place), place)

    def place(self, seen: Tensor, missing: Tensor) -> Tensor:
        """Where tables by the steps seen, and after them by those seen when a value is missing, have a session's row.

        Args:
            seen, missing: (B, T) as of `step`.
        Returns:
            (B, T) int64.
        """
        return (seen.clamp(max=self.settled) + missing * (self.settled + 1.0)).long()

    def look(self, step: Step) -> Sight:
        """What network and head see after a step."""
        scale = scale_of(step.row[..., self.columns.scale])
        products = step.row[..., : self.columns.needed].matmul(self.products)
        ratios = self._ratios([step.errors, products], step.row, step.seen, scale)
        compressed, sizes = ratios.tensor_split([self.inputs.compressed], dim=-1)
        return Sight(row_asinh(compressed), self._logs(sizes), ratios[..., self.inputs.gaps], scale)

    def logs(self, row: Tensor) -> Tensor:
        """Only the logarithms (..., LOGS) of what `look` gives."""
        unused, scale = row[..., : self.inputs.unused + 1] * 0.0, scale_of(row[..., self.columns.scale])
        return self._logs(self._ratios([unused], row, row[..., self.columns.seen], scale))

    def _ratios(self, parts: list[Tensor], row: Tensor, seen: Tensor, scale: Tensor) -> Tensor:
        age = seen if self.oldest is None else seen.clamp(max=self.oldest)
        return (torch.cat([*parts, row[..., self.columns.shown], age * scale], dim=-1) / scale).float()

    def _logs(self, sizes: Tensor) -> Tensor:
        """Logarithms of the sizes (..., LOGS) over the smallest one-step expert error.

        The gate raises those of the errors to a power: near zero for the experts that matter, they stay precise there.
        """
        sizes = torch.maximum(sizes.abs() + self.added, self.floors)
        first = self.inputs.error.start - self.inputs.logs.start
        errors = sizes[..., first : first + self.columns.experts]
        return row_log(sizes / errors.amin(dim=-1, keepdim=True))


def _turned(row: Tensor, index: slice, moved: Tensor, place: int) -> list[Tensor]:
    """The pieces of an index in a row (B, width) whose phase `place` is now `moved` (B, N), turned by a step."""
    first, each = index.start, moved.shape[1]
    at = first + place * each
    before, after = row[:, first + each : at], row[:, at + each : index.stop]
    return [before, moved, after, row[:, first : first + each]] if place else [after, moved]


def _past(columns: Columns) -> Tensor:
    """(width, N): what a value is compared with: index of its phase, nothing, expert forecasts, last value.

    In the order of the means that it moves: long index, smooth levels, plain ones, errors, both mean differences. Of
    the forecasts from an origin, which keeps the rest of them, it is the phases' parts.
    """
    slow, fast = columns.of_phase(1)
    last = columns.last
    plain = [slow, slow, fast]
    if columns.config.longer:
        very_slow, both = columns.units(columns.level)[0], slow + columns.long_of(1)
        plain = [very_slow + slow, *plain, both, both]
    plain += [columns.nothing] * (columns.level.stop - columns.level.start)
    forecasts = candidates(columns, 1)[:, 0] + last.unsqueeze(1)
    parts = [torch.stack(plain, dim=1), forecasts]
    if columns.config.reach:
        parts.append(torch.stack([expert.season(1) for expert in experts(columns)], dim=1))
    return torch.cat([*parts, torch.stack([last] * CHANGES, dim=1)], dim=1)


def _products(columns: Columns, inputs: Inputs) -> Tensor:
    """(width, N): what gives the views, the experts' gaps, and zeros for the columns without a meaning."""
    padding, unused = (
        torch.zeros(columns.width, n, dtype=torch.float64) for n in (inputs.padding, inputs.unused + 1)
    )
    return torch.cat([views(columns), padding, candidates(columns, 1)[:, 0], unused], dim=1)
