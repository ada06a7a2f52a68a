"""Drift of a session: its one-step errors are no longer what they have been. Page's cumulative sums as a layer.

An error is taken in units of the mean size of the session's errors so far, and cut, so that no single one is an alarm.
Three sums (Page 1954; Page-Hinkley is the same test with a running mean) grow where errors lean upwards, lean
downwards, or are larger than they were, each by more than an allowance, and are never below zero. One that passes its
limit raises the alarm; the sums begin anew, and the mean size goes on to learn what is usual now. The alarm is over
when errors have settled: after SETTLED scored steps of which none would have raised it again.

Where a limit is passed, the state moves by a ramp, not by a jump: updates are continuous in their inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.layout import Field

RATE = 0.01
"""Of the mean size of errors: it remembers about the last hundred."""

FEW = 30
"""Errors before which nothing is summed: their mean size is not known well enough."""

CUT = 4.0
"""An error counts for at most this many times the mean size."""

LEANING, LARGER = 1.0, 0.5
"""Allowances of a step, in mean sizes: for errors of one sign, and for errors beyond the mean size."""

LEANING_LIMIT, LARGER_LIMIT = 11.5, 16.0
"""Of the sums, in mean sizes. What they, and the allowances, detect how soon and how often: see docs/decisions.md."""

SETTLED = 32
"""Scored steps from the last one that raised the alarm to its end."""

FLOOR = 0.02
"""Of the session's scale: mean sizes are not taken for smaller than this."""

NEVER = 1e300


class Drift(nn.Module):
    """Sums (3,), the mean size (1,) and the alarm (2,), in one row: float64.

    The alarm is how many more steps it lasts, below one where there is none, and how many it has lasted.

    Args:
        settled: observations after which the rate of the mean size stays the same, at most.
    """

    rates: Tensor
    products: Tensor
    added: Tensor
    limits: Tensor
    renewed: Tensor
    anew: Tensor

    def __init__(self, settled: int) -> None:
        super().__init__()
        sizes = {"drift.sums": 3, "drift.size": 1, "drift.alarm": 2}
        self.fields = tuple(Field(name, "<f8", (size,)) for name, size in sizes.items())
        self.width = sum(sizes.values())
        products, added = _products()
        buffers = {
            "rates": _rates(settled),
            "products": products,
            "added": added,
            "limits": torch.tensor([LEANING_LIMIT, LEANING_LIMIT, LARGER_LIMIT, NEVER, NEVER, NEVER]),
            "renewed": torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0, 0.0]),
            "anew": torch.tensor([0.0, 0.0, 0.0, 0.0, SETTLED, 0.0]),
        }
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer.double(), persistent=False)

    def initial_state(self, batch: int) -> Tensor:
        """Zeros (B, 6)."""
        return torch.zeros(batch, self.width, dtype=torch.float64)

    def step(self, error: Tensor, scale: Tensor, place: Tensor, state: Tensor) -> Tensor:
        """The state (B, 6) after errors (B, 1), actual minus the median that was issued for it.

        Args:
            scale: (B, 1) of the session.
            place: (B,) in tables by the steps seen, see `Memory.place`; that of a missing value teaches nothing.
        """
        _, size, left, lasted = state.tensor_split([3, 4, 5], dim=1)
        unit = torch.maximum(size, FLOOR * scale)
        leaning = (error / unit).clamp(-CUT, CUT)
        larger = leaning.abs()
        rate, counts = self.rates.index_select(0, place).tensor_split([1], dim=1)
        pace, lasted = rate * unit, lasted * left.clamp(max=1.0)
        row = [state, unit, pace, pace * larger, counts * leaning, counts * larger, counts, lasted]
        moved = torch.addmm(self.added, torch.cat(row, dim=1), self.products).clamp(min=0.0)
        raised = (moved - self.limits).clamp(0.0, 1.0).amax(dim=1, keepdim=True)
        return moved - raised * (moved * self.renewed - self.anew)

    def unroll(self, errors: Tensor, scales: Tensor, places: Tensor, state: Tensor) -> Tensor:
        """The state after errors (B, T), with scales (B, T) and places (B, T), oldest first."""
        for t in range(errors.shape[1]):
            state = self.step(errors[:, t : t + 1], scales[:, t : t + 1], places[:, t], state)
        return state


def _rates(settled: int) -> Tensor:
    """(2 (settled + 1), 2): by known or missing and steps seen, the mean size's rate, and whether sums count.

    The first value of a session has no forecast: errors begin with the second.
    """
    errors = torch.arange(settled + 1, dtype=torch.float64) - 1.0
    rate = torch.where(errors >= 1.0, torch.clamp(1.0 / errors.clamp(min=1.0), min=RATE), 0.0)
    known = torch.stack([rate, (errors >= FEW).double()], dim=1)
    return torch.cat([known, torch.zeros_like(known)])


def _products() -> tuple[Tensor, Tensor]:
    """(13, 6) and (6,): what gives the moved state of the row that `Drift.step` puts together."""
    upwards, downwards, larger, size, left, lasted = torch.eye(6)
    kept = [upwards, downwards, larger, torch.zeros(6), left, torch.zeros(6)]
    allowed = LEANING * (upwards + downwards) + (1.0 + LARGER) * larger
    counted = [upwards - downwards, larger, -allowed - left]
    return torch.stack([*kept, size, -size, size, *counted, lasted]), lasted
