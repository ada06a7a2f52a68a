"""Exponentially weighted means, all those of a session in one row: a few wide operations cost less than many narrow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Mean:
    """How one mean moves towards its target.

    Attributes:
        rate: of a long series; the plain mean until there are 1/rate values; 0 never moves, 1 is the target itself.
        late: observations at the start of a series that bring no value of this kind; below zero where the first value
            comes before `every` observations.
        every: observations to one value of this kind; before the first it does not move.
        skips: whether a stand-in for a missing observation teaches it nothing.
        doubt: how many values of zero the plain mean begins with.
    """

    rate: float
    late: int = 0
    every: int = 1
    skips: bool = False
    doubt: int = 0

    @property
    def settled(self) -> int:
        """Observations after which its rate stays the same."""
        return self.late + self.every * ceil(1.0 / self.rate) if self.rate else 0

    def at(self, seen: int) -> float:
        """The rate at which the observation that is the `seen`-th moves it."""
        if not self.rate or seen < self.every + min(self.late, 0):
            return 0.0
        return max(self.rate, 1.0 / (max((seen - self.late) // self.every, 1) + self.doubt))


def rates(means: Iterable[Mean], last: int) -> Tensor:
    """(2, last + 1, N): by whether the observation is missing, and by how many were seen, the rate of each mean."""
    columns = [[mean.at(seen) for seen in range(last + 1)] for mean in means]
    known = torch.tensor(columns, dtype=torch.float64).T
    missing = known * torch.tensor([not mean.skips for mean in means])
    return torch.stack([known, missing])
