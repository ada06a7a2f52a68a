"""Running scores: how good the one-step forecasts of this very session have been, predict then observe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from models.fold import Layer, State
from models.layout import Field

RECENT_RATE = 1 / 50
SCORES = ("steps", "error", "naive_error", "pinball", "covered_80", "covered_95")
"""Summed over scored steps: 1, |actual - median|, |actual - last value|, mean pinball loss, inside each interval."""


class RunningScores(Layer):
    """Sums of the scores over all steps and, discounted, over about the last 50; missing values score nothing.

    Keeps the issued quantiles of the next step, since it is they that the next observation judges.
    """

    levels: Tensor

    def __init__(self, quantiles: Sequence[float]) -> None:
        super().__init__()
        count = len(quantiles)
        self.bounds = [(quantiles.index(lo), quantiles.index(hi)) for lo, hi in ((0.1, 0.9), (0.025, 0.975))]
        self.median = count // 2
        self.fields = (
            Field("issued", "<f8", (count,)),
            Field("scores.all", "<f8", (len(SCORES),)),
            Field("scores.recent", "<f8", (len(SCORES),)),
        )
        self.register_buffer("levels", torch.tensor(quantiles, dtype=torch.float64), persistent=False)

    def judge(self, value: Tensor, previous: Tensor, issued: Tensor) -> Tensor:
        """Scores (..., 6), as in SCORES, of values (..., 1) against quantiles (..., Q) and against the value before."""
        error = value - issued
        pinball = torch.maximum(self.levels * error, (self.levels - 1.0) * error)
        # a product with a constant, because the runtime's mean over a row gives other bits at other batch sizes
        loss = pinball.matmul(torch.full((len(self.levels), 1), 1.0 / len(self.levels), dtype=torch.float64))
        median = error[..., self.median : self.median + 1].abs()
        inside = [((error[..., lo : lo + 1] >= 0) & (error[..., hi : hi + 1] <= 0)).double() for lo, hi in self.bounds]
        return torch.cat([torch.ones_like(value), median, (value - previous).abs(), loss, *inside], dim=-1)

    def step(self, x: tuple[Tensor, Tensor], state: Mapping[str, Tensor]) -> tuple[None, State]:
        """Fold scores (B, 6) where scored (B, 1) is 1, else nothing."""
        scores, scored = x
        everything, recent = state["scores.all"], state["scores.recent"]
        return None, {
            "scores.all": everything + scored * scores,
            "scores.recent": recent + scored * (scores - RECENT_RATE * recent),
        }
