"""The causal normaliser: how many observations a session has seen, and the size of its movements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.fold import Layer, State
from models.layout import Field

TINY = 1e-30
"""Stands in for a scale of zero: a ratio of nothing to nothing is zero."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One observation as the layers of the memory see it; each (B, 1) float64.

    `known` is 0 where `value` stands in for a missing one. `seen` counts this observation too; it is 0 until a first
    value is known.
    """

    value: Tensor
    known: Tensor
    seen: Tensor

    def rate(self, rates: Tensor, *, late: int = 0) -> Tensor:
        """Debiased rates: the plain mean until there are 1/rate observations (`late` of them not counted)."""
        return torch.maximum(rates, 1.0 / (self.seen - late).clamp(min=1.0))


class LocalScale(Layer):
    """Exponentially weighted mean of the absolute difference at two speeds, and the largest recent value.

    The scale is ``max(fast, 0.1 slow, 1e-6 peak)``: it follows the session, and never vanishes beside its values.
    """

    fields = (Field("seen", "<f8", (1,)), Field("scale", "<f8", (3,)))
    rates: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rates", torch.tensor([1 / 20, 1 / 100], dtype=torch.float64), persistent=False)

    def step(self, x: tuple[Arrival, Tensor], state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """Fold the absolute difference to the previous value, (B, 1); a stand-in teaches nothing.

        The first observation has no difference: a tenth of its size serves until the second one.
        """
        arrival, change = x
        scale = state["scale"]
        speeds = scale[:, :2]
        speeds = speeds + arrival.rate(self.rates, late=1) * arrival.known * (change - speeds)
        peak = torch.maximum(arrival.value.abs(), 0.99 * scale[:, 2:])
        new = {"seen": arrival.seen, "scale": torch.cat([speeds, peak], dim=1)}
        return scale_of(new), new


def scale_of(state: Mapping[str, Tensor]) -> Tensor:
    """The session's scale, (..., 1) float64, in units of its values; positive."""
    scale = state["scale"]
    fast, slow, peak = scale[..., :1], scale[..., 1:2], scale[..., 2:]
    return torch.maximum(torch.maximum(fast, 0.1 * slow), 1e-6 * peak).clamp(min=TINY)
