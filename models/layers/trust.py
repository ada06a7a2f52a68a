"""Trust in the network, of each session, online: how far forecasts may leave the plain mixture of the experts.

The network may be wrong about a kind of series that it never saw. So the session compares two rivals one step ahead:
the network's own median, and that of the mixture, which weighs the experts by their past errors alone. A new session
forecasts as the network does, which knows how sessions begin. Once there are enough errors to compare, the mixture's
part is about one half where the rivals are alike, which is better than either alone, all of it where the network does
worse, and none where it does much better. The part is the same at all steps ahead; the distances between quantiles stay
the network's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layout import Field

RIVALS = 2
"""The network, then the mixture."""

RATE = 0.01
"""Of the discount of both errors: over about the last hundred values."""

SHARE = 0.6
"""The mixture's part where both errors are alike, as far as they count."""

SLOPE = 8.0
"""How much its part grows for each unit by which the network's error is larger, relative to their mean."""

DOUBT = 60.0
"""So many errors as large as the scale count half; a few of them count for hardly anything."""


class Trust(nn.Module):
    """The rivals' medians of the next step, and discounted sums of their absolute errors, in one row: float64."""

    terms: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.fields = (Field("trust.medians", "<f8", (RIVALS,)), Field("trust.errors", "<f8", (RIVALS,)))
        terms = torch.tensor([[SHARE / 2 + SLOPE, 0.5], [SHARE / 2 - SLOPE, 0.5]])
        self.register_buffer("terms", terms, persistent=False)

    def initial_state(self, batch: int) -> Tensor:
        """Zeros (B, 4)."""
        return torch.zeros(batch, 2 * RIVALS, dtype=torch.float64)

    def judged(self, value: Tensor, scored: Tensor, state: Tensor) -> Tensor:
        """The sums of errors (B, 2) after values (B, 1); `scored` (B, 1) is 0 where a value teaches nothing."""
        medians, errors = state.tensor_split(RIVALS, dim=1)
        return errors + scored * ((value - medians).abs() - RATE * errors)

    def pull(self, errors: Tensor, scale: Tensor) -> Tensor:
        """(B, 1) float32, in 0 to 1: the mixture's part in what is issued, of sums (B, 2) and scales (B, 1)."""
        behind, size = (errors / scale).float().matmul(self.terms).tensor_split(2, dim=1)
        return (behind * size / (size * size + DOUBT * DOUBT)).clamp(0.0, 1.0)

    def pull_of(self, state: Tensor, scale: Tensor) -> Tensor:
        """As `pull`, of a state."""
        return self.pull(state[:, RIVALS:], scale)
