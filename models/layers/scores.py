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
    products: Tensor
    edges: Tensor
    unit: Tensor

    def __init__(self, quantiles: Sequence[float]) -> None:
        super().__init__()
        count = len(quantiles)
        self.median = count // 2
        self.fields = (
            Field("issued", "<f8", (count,)),
            Field("scores.all", "<f8", (len(SCORES),)),
            Field("scores.recent", "<f8", (len(SCORES),)),
        )
        self.register_buffer("levels", torch.tensor(quantiles, dtype=torch.float64), persistent=False)
        self.register_buffer("products", _products(quantiles), persistent=False)
        zero = torch.zeros((), dtype=torch.float64)
        edges = [zero if q < 0.5 else zero.nextafter(zero + 1.0) for q in quantiles]
        self.register_buffer("edges", torch.stack(edges), persistent=False)
        self.register_buffer("unit", torch.eye(len(SCORES), dtype=torch.float64)[0], persistent=False)

    def judge(self, value: Tensor, previous: Tensor, issued: Tensor) -> Tensor:
        """Scores (..., 6), as in SCORES, of values (..., 1) against quantiles (..., Q) and against the value before."""
        error = value - issued
        beyond = (error >= self.edges).double()  # at or above a lower quantile, above an upper one
        row = torch.cat([error, error.abs(), beyond, (value - previous).abs()], dim=-1)
        return row.matmul(self.products) + self.unit

    def step(self, x: tuple[Tensor, Tensor], state: Mapping[str, Tensor]) -> tuple[None, State]:
        """Fold scores (B, 6) where scored (B, 1) is 1, else nothing."""
        scores, scored = x
        everything, recent = state["scores.all"], state["scores.recent"]
        return None, {
            "scores.all": everything + scored * scores,
            "scores.recent": recent + scored * (scores - RECENT_RATE * recent),
        }


def _products(quantiles: Sequence[float]) -> Tensor:
    """(3 Q + 1, 6): what gives the scores of errors, their sizes, quantiles passed, and the naive forecast's error.

    A product with a constant, because the runtime's mean over a row gives other bits at other batch sizes. The pinball
    loss (Koenker and Bassett 1978) of an error e at level q, max(q e, (q - 1) e), is (q - 1/2) e + |e| / 2. A value is
    inside of an interval if it has passed the lower quantile and not the upper one, since they never cross.
    """
    count, score = len(quantiles), {name: k for k, name in enumerate(SCORES)}
    error, size, beyond, naive = (torch.zeros(rows, len(SCORES), dtype=torch.float64) for rows in (count,) * 3 + (1,))
    error[:, score["pinball"]] = (torch.tensor(quantiles, dtype=torch.float64) - 0.5) / count
    size[:, score["pinball"]] = 0.5 / count
    size[count // 2, score["error"]] = 1.0
    for name, lo, hi in (("covered_80", 0.1, 0.9), ("covered_95", 0.025, 0.975)):
        beyond[quantiles.index(lo), score[name]] = 1.0
        beyond[quantiles.index(hi), score[name]] = -1.0
    naive[0, score["naive_error"]] = 1.0
    return torch.cat([error, size, beyond, naive])
