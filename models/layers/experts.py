"""Ten forecasts that cost nothing: each is linear in what the memory holds, so all are one product with a constant.

Candidates for h steps ahead, with y the last value, A and B the slow and fast seasonal index, phases turned:
    1 y                       2 fast level            3 the last value of the phase    4 mean of the phase's last four
    5 y - A[0] + A[h]         6 l1 + A[h]             7 l2 + B[h]                      8 half of 5, half of 6
    9 l0 + A[h]              10 slow level
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from models.fold import Layer, State
from models.layers.scale import Arrival
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


class ExpertErrors(Layer):
    """Discounted mean absolute one-step error of each expert, and the forecast it made for the step to come."""

    fields = (Field("expert.error", "<f8", (EXPERTS,)), Field("expert.next", "<f8", (EXPERTS,)))
    gaps: Tensor
    rate: Tensor

    def __init__(self, season: int) -> None:
        super().__init__()
        self.register_buffer("gaps", candidates(season, 1)[:, 0], persistent=False)
        self.register_buffer("rate", torch.tensor([ERROR_RATE], dtype=torch.float64), persistent=False)

    def step(self, x: tuple[Arrival, Tensor, Tensor], state: Mapping[str, Tensor]) -> tuple[Tensor, State]:
        """Fold the errors of the forecasts that were made for this step.

        Args:
            x: the arrival, its absolute change (B, 1), and the memory (B, M) that has folded it.
        Returns:
            The signed errors (B, K); before there was a forecast, the change.
        """
        arrival, change, memory = x
        forecast = arrival.seen > 1.0
        signed = torch.where(forecast, arrival.value - state["expert.next"], change)
        error = state["expert.error"]
        error = error + arrival.rate(self.rate, late=1) * arrival.known * (signed.abs() - error)
        upcoming = memory.matmul(self.gaps) + arrival.value
        return signed, {"expert.error": error, "expert.next": upcoming}


def error_logs(state: Mapping[str, Tensor], scale: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithms of each expert's error over the smallest, (..., K), and of that over the scale, (..., 1); float32.

    The gate raises the first to a power: near zero for the experts that matter, they keep their precision there.
    """
    error = torch.maximum(state["expert.error"], ERROR_FLOOR * scale)
    smallest = error.amin(dim=-1, keepdim=True)
    logs = torch.asinh(log_argument(torch.cat([error / smallest, smallest / scale], dim=-1)).float())
    return logs[..., :EXPERTS], logs[..., EXPERTS:]


def log_argument(ratio: Tensor) -> Tensor:
    """What `asinh` turns into the logarithm of a positive `ratio`: log r = asinh((r - 1/r) / 2).

    The serving runtime's own logarithm gives other bits at other batch sizes; its asinh does not.
    """
    return (ratio - 1.0 / ratio) / 2.0
