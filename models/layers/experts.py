"""Ten forecasts that cost nothing: each is linear in what the memory holds, so all are one product with a constant.

Candidates for h steps ahead, with y the last value, A and B the slow and fast seasonal index, phases turned:
    1 y                       2 fast level            3 the last value of the phase    4 mean of the phase's last four
    5 y - A[0] + A[h]         6 l1 + A[h]             7 l2 + B[h]                      8 half of 5, half of 6
    9 l0 + A[h]              10 slow level
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.layers.averages import Mean
from models.layers.rows import row_log
from models.layers.seasonal import SEASONS_KEPT
from models.layout import Field

EXPERTS = 10
ERROR_RATE = 0.04
ERROR_FLOOR = 0.02
"""Of the scale: below it one expert's error says no more than another's."""

MEMORY = ("ring", "level", "index", "smooth")
"""What candidates are linear in, in the order of the product's rows."""


def memory_of(state: Mapping[str, Tensor]) -> Tensor:
    """(..., M): ring, levels, index and smooth levels side by side."""
    lead = state["ring"].shape[:-1]
    return torch.cat([state["ring"], state["level"], state["index"].reshape(*lead, -1), state["smooth"]], dim=-1)


class Rows:
    """Unit vectors over the memory, to write a candidate as one would on paper."""

    def __init__(self, season: int) -> None:
        self.season = season
        ring = SEASONS_KEPT * season
        eye = torch.eye(ring + 2 + 2 * season + 3, dtype=torch.float64)
        self.ring, self.level, self.smooth = eye[:ring], eye[ring : ring + 2], eye[-3:]
        self.slow, self.fast = eye[ring + 2 : ring + 2 + season], eye[ring + 2 + season : -3]
        self.last = self.ring[-1]

    def same_phase(self, horizon: int, seasons_back: int) -> Tensor:
        """The value of the phase of `horizon` steps ahead, `seasons_back` whole seasons before its latest one."""
        ahead = (horizon - 1) % self.season
        row: Tensor = self.ring[ahead - self.season * (1 + seasons_back)]
        return row


def candidates(season: int, horizon: int) -> Tensor:
    """(M, horizon, K): memory times this is each expert's forecast minus the last value."""
    r = Rows(season)
    columns = []
    for h in range(1, horizon + 1):
        slow, fast = r.slow[h % season], r.fast[h % season]
        walk = r.last - r.slow[0] + slow
        smoothed = r.smooth[1] + slow
        phase_mean = torch.stack([r.same_phase(h, back) for back in range(SEASONS_KEPT)]).mean(0)
        experts = [r.last, r.level[0], r.same_phase(h, 0), phase_mean, walk, smoothed, r.smooth[2] + fast]
        experts += [(walk + smoothed) / 2, r.smooth[0] + slow, r.level[1]]
        columns.append(torch.stack([expert - r.last for expert in experts], dim=1))
    return torch.stack(columns, dim=1)


class ExpertErrors:
    """Discounted mean absolute one-step error of each expert, and the forecast it made for the step to come."""

    fields = (Field("expert.error", "<f8", (EXPERTS,)), Field("expert.next", "<f8", (EXPERTS,)))
    means = (Mean(ERROR_RATE, late=1, skips=True),) * EXPERTS

    def errors(self, value: Tensor, change: Tensor, seen: Tensor, state: Mapping[str, Tensor]) -> Tensor:
        """The signed errors (B, K) of the forecasts made for this step; before there was one, the change (B, 1)."""
        return torch.where(seen > 1.0, value - state["expert.next"], change)


@dataclass(frozen=True, slots=True)
class Sight:
    """The experts as the head sees them; any leading dimensions.

    Args:
        gaps: (..., K) float64, forecasts minus the last value.
        near: (..., K) float32, these in units of the scale, compressed by asinh.
        logs: each (..., K) float32, as `error_logs` gives them.
        scale: (..., 1) float64, of the session.
    """

    gaps: Tensor
    near: Tensor
    logs: tuple[Tensor, Tensor]
    scale: Tensor


def error_logs(state: Mapping[str, Tensor], scale: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of each expert's error over the smallest one and over the scale, each (..., K) float32.

    The gate raises the first to a power: near zero for the experts that matter, they keep their precision there.
    """
    return apart(row_log(error_ratios(state, scale)))


def error_ratios(state: Mapping[str, Tensor], scale: Tensor) -> Tensor:
    """(..., K + 2): what `error_logs` takes the logarithms of; the last one makes it whole fours."""
    error = torch.maximum(state["expert.error"], ERROR_FLOOR * scale)
    smallest = error.amin(dim=-1, keepdim=True)
    return torch.cat([error, scale, smallest], dim=-1) / smallest


def apart(logs: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms over the smallest error and over the scale, of those of `error_ratios`."""
    over_smallest = logs[..., :EXPERTS]
    return over_smallest, over_smallest - logs[..., EXPERTS : EXPERTS + 1]
