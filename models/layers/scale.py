"""The causal normaliser: the size of a session's movements."""

from __future__ import annotations

import torch
from torch import Tensor

from models.layers.averages import Mean

CHANGE_MEANS = (Mean(1 / 20, late=1, skips=True), Mean(1 / 100, late=1, skips=True))
"""Of the absolute difference to the value before, fast and slow."""

PEAK_DECAY = 0.99

SHARES = (1.0, 0.1, 1e-6)
"""Of the fast mean, the slow mean and the peak, in the scale."""

TINY = 1e-30
"""Stands in for a scale of zero: a ratio of nothing to nothing is zero."""


def scale_of(parts: Tensor) -> Tensor:
    """The session's scale, (..., 1) float64, in units of its values; positive.

    It is ``max(fast, 0.1 slow, 1e-6 peak)``: it follows the session, and never vanishes beside its values.

    Args:
        parts: (..., 3) both mean differences and the peak, the largest recent value.
    """
    shares = torch.tensor(SHARES, dtype=torch.float64)
    return (parts * shares).amax(dim=-1, keepdim=True).clamp(min=TINY)
