"""The causal normaliser: how many observations a session has seen, and the size of its movements."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from models.fold import State
from models.layers.averages import Mean
from models.layout import Field

SHARES = (1.0, 0.1, 1e-6)
"""Of the fast mean, the slow mean and the peak, in the scale."""

TINY = 1e-30
"""Stands in for a scale of zero: a ratio of nothing to nothing is zero."""


class LocalScale:
    """Exponentially weighted mean of the absolute difference at two speeds, and the largest recent value.

    The scale is ``max(fast, 0.1 slow, 1e-6 peak)``: it follows the session, and never vanishes beside its values. A
    stand-in for a missing value teaches the means nothing.
    """

    fields = (Field("seen", "<f8", (1,)), Field("scale", "<f8", (3,)))
    means = (Mean(1 / 20, late=1, skips=True), Mean(1 / 100, late=1, skips=True))

    def change(self, value: Tensor, seen: Tensor, state: Mapping[str, Tensor]) -> Tensor:
        """The absolute difference to the previous value, (B, 1): what both means are of.

        The first observation has no difference: a tenth of its size serves until the second one.
        """
        return torch.where(seen > 1.0, (value - state["ring"][:, -1:]).abs(), 0.1 * value.abs())

    def join(self, seen: Tensor, value: Tensor, speeds: Tensor, state: Mapping[str, Tensor]) -> State:
        """The new arrays, from the means (B, 2) after this value."""
        peak = torch.maximum(value.abs(), 0.99 * state["scale"][:, 2:])
        return {"seen": seen, "scale": torch.cat([speeds, peak], dim=1)}


def scale_of(state: Mapping[str, Tensor]) -> Tensor:
    """The session's scale, (..., 1) float64, in units of its values; positive."""
    shares = torch.tensor(SHARES, dtype=torch.float64)
    return (state["scale"] * shares).amax(dim=-1, keepdim=True).clamp(min=TINY)
