"""Running scores: how good the one-step forecasts of this very session have been, predict then observe."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import torch
from torch import Tensor, nn

from models.layout import Field

RECENT_RATE = 1 / 50
SCORES = ("steps", "error", "naive_error", "pinball", "covered_80", "covered_95")
"""Summed over scored steps: 1, |actual - median|, |actual - last value|, mean pinball loss, inside each interval."""

SUMS = 2 * len(SCORES)


class RunningScores(nn.Module):
    """Sums of the scores over all steps and, discounted, over about the last 50; missing values score nothing.

    Args:
        errors: how many of the memory's errors there are.
        last_known: whether errors of the last known value come with them; else the memory's last change is taken, which
            is the same where no value is missing.
    """

    levels: Tensor
    edges: Tensor
    products: Tensor

    def __init__(self, quantiles: Sequence[float], errors: int, *, last_known: bool = False) -> None:
        super().__init__()
        self.count = len(quantiles) + last_known
        self.median = len(quantiles) // 2
        self.fields = tuple(Field(name, "<f8", (len(SCORES),)) for name in ("scores.all", "scores.recent"))
        self.register_buffer("levels", torch.tensor(quantiles, dtype=torch.float64), persistent=False)
        self.register_buffer("edges", _edges(quantiles, last_known), persistent=False)
        self.register_buffer("products", _products(quantiles, errors, last_known), persistent=False)

    def initial_state(self, batch: int) -> Tensor:
        """Zeros (B, 12): over all steps, then over the recent ones."""
        return torch.zeros(batch, SUMS, dtype=torch.float64)

    def step(self, error: Tensor, sizes: Tensor, scored: Tensor, sums: Tensor) -> Tensor:
        """Fold the scores of errors (B, Q), actual minus the quantiles issued for it; the new sums (B, 12).

        With the last known value, errors are (B, 1 + Q), those of repeating it first.

        Args:
            sizes: (B, K + 2) of the memory's errors, the last one |actual - last value|.
            scored: (B, 1) float64, 0 where nothing is scored.
        """
        beyond = (error >= self.edges).double()
        row = torch.cat([error, error.abs(), beyond, sizes, sums], dim=1)
        return sums + scored * row.matmul(self.products)


def _edges(quantiles: Sequence[float], last_known: bool) -> Tensor:
    """(Q,) or (1 + Q,): a value is beyond a quantile if its error is at or above this, at an upper one only above.

    It is always beyond the median, which counts the steps.
    """
    zero = torch.zeros((), dtype=torch.float64)
    edges = [zero if q < 0.5 else zero.nextafter(zero + 1.0) for q in quantiles]
    edges[len(quantiles) // 2] = torch.tensor(-inf, dtype=torch.float64)
    return torch.stack([*[torch.full_like(zero, inf)] * last_known, *edges])


def _products(quantiles: Sequence[float], errors: int, last_known: bool) -> Tensor:
    """(3 Q + K + 2 + 12, 12): what gives the sums' changes of errors, their sizes, quantiles passed, and the sums.

    With the last known value there are 3 rows more, one before each of the first three parts.

    A product with a constant, because the runtime's mean over a row gives other bits at other batch sizes. The pinball
    loss (Koenker and Bassett 1978) of an error e at level q, max(q e, (q - 1) e), is (q - 1/2) e + |e| / 2. A value is
    inside of an interval if it has passed the lower quantile and not the upper one, since they never cross.
    """
    count, score = len(quantiles), {name: k for k, name in enumerate(SCORES)}
    rows = (count, count, count, errors)
    error, size, beyond, memory = (torch.zeros(n, len(SCORES), dtype=torch.float64) for n in rows)
    error[:, score["pinball"]] = (torch.tensor(quantiles, dtype=torch.float64) - 0.5) / count
    size[:, score["pinball"]] = 0.5 / count
    size[count // 2, score["error"]] = 1.0
    beyond[count // 2, score["steps"]] = 1.0
    for name, lo, hi in (("covered_80", 0.1, 0.9), ("covered_95", 0.025, 0.975)):
        beyond[quantiles.index(lo), score[name]] = 1.0
        beyond[quantiles.index(hi), score[name]] = -1.0
    if last_known:
        nothing = torch.zeros(1, len(SCORES), dtype=torch.float64)
        error, size, beyond = (torch.cat([nothing, part]) for part in (error, size, beyond))
    naive = size[0] if last_known else memory[-1]
    naive[score["naive_error"]] = 1.0
    scores = torch.cat([error, size, beyond, memory])
    decay = torch.zeros(SUMS, SUMS, dtype=torch.float64)
    decay[len(SCORES) :, len(SCORES) :] = -RECENT_RATE * torch.eye(len(SCORES), dtype=torch.float64)
    return torch.cat([torch.cat([scores, scores], dim=1), decay])
