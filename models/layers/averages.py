"""Exponentially weighted means, all those of a session in one row: a few wide operations cost less than many narrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Mean:
    """How one mean moves.

    Attributes:
        rate: of a long series; the plain mean until there are 1/rate values.
        late: observations at the start of a series that bring no value of this kind.
        every: observations to one value of this kind.
        skips: whether a stand-in for a missing observation teaches it nothing.
    """

    rate: float
    late: int = 0
    every: int = 1
    skips: bool = False


class Averages(nn.Module):
    """A row of means, each moved towards its target at its own debiased rate."""

    spans: Tensor
    late: Tensor
    every: Tensor
    taught: Tensor

    def __init__(self, means: Sequence[Mean]) -> None:
        super().__init__()
        columns = {
            "spans": [1.0 / mean.rate for mean in means],
            "late": [mean.late for mean in means],
            "every": [mean.every for mean in means],
            "taught": [not mean.skips for mean in means],  # whatever the observation
        }
        for name, column in columns.items():
            self.register_buffer(name, torch.tensor(column, dtype=torch.float64), persistent=False)

    def forward(self, means: Tensor, targets: Tensor, seen: Tensor, known: Tensor) -> Tensor:
        """The means (B, N) after their next values.

        Args:
            means, targets: (B, N) float64.
            seen: (B, 1) observations, this one included; known: (B, 1), 0 for a stand-in.
        """
        values = torch.floor((seen - self.late) / self.every)
        spans = torch.minimum(values.clamp(min=1.0), self.spans)
        return means + torch.maximum(known, self.taught) * (targets - means) / spans
