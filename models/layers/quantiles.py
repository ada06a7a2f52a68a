"""The head: from one state to the quantiles of every horizon, which cannot cross."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from models.layers.experts import EXPERTS, candidates, memory_of
from models.layers.scale import scale_of

PRIOR_POWER = (8.0, 3.0)
"""Untrained, experts are weighed by their error to minus this power: at the first horizon and at the last."""


class MixtureHead(nn.Module):
    """A gate over expert forecasts plus a learned offset, its weights shared by all horizons.

    Untrained it is the discounted-error mixture of the experts: the last layer starts at zero, the gate at the prior.
    """

    gaps: Tensor

    def __init__(self, *, season: int, horizon: int, quantiles: Sequence[float], hidden: int) -> None:
        super().__init__()
        if len(quantiles) % 2 == 0 or quantiles[len(quantiles) // 2] != 0.5:
            raise ValueError("quantiles are symmetric around 0.5")
        self.side = len(quantiles) // 2
        self.from_state = nn.Linear(hidden, hidden, bias=False)
        self.from_experts = nn.Linear(2 * EXPERTS, hidden)
        self.gain = nn.Parameter(torch.zeros(horizon, hidden))
        self.offset = nn.Parameter(torch.zeros(horizon, hidden))
        self.prior = nn.Parameter(torch.linspace(*PRIOR_POWER, horizon).unsqueeze(1))
        self.out = nn.Linear(hidden, EXPERTS + 1 + 2 * self.side)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        with torch.no_grad():
            self.out.bias[EXPERTS + 1 :] = _initial_spreads(quantiles)
        self.register_buffer("gaps", candidates(season, horizon), persistent=False)

    def forward(self, state: Mapping[str, Tensor], hidden: Tensor, logs: tuple[Tensor, Tensor], horizon: int) -> Tensor:
        """Quantiles of the next `horizon` steps.

        Args:
            state: the memory's arrays, any leading dimensions.
            hidden: (..., hidden) the recurrence's output.
            logs: of the experts' errors, as `error_logs` gives them.
        Returns:
            (..., H, Q) float64 in units of the series, never decreasing along Q.
        """
        log_ratios, smallest = logs
        scale = scale_of(state).unsqueeze(-1)
        lead = hidden.shape[:-1]
        gaps = memory_of(state).matmul(self.gaps[:, :horizon].flatten(1)).reshape(*lead, horizon, EXPERTS)
        shown = torch.asinh((gaps / scale).float())
        errors = (log_ratios + smallest).unsqueeze(-2).expand(*lead, horizon, EXPERTS)
        u = self.from_state(hidden).unsqueeze(-2) * (1.0 + self.gain[:horizon]) + self.offset[:horizon]
        u = silu(u + self.from_experts(torch.cat([shown, errors], dim=-1)))
        raw = self.out(u)
        gate, centre, spreads = raw[..., :EXPERTS], raw[..., EXPERTS : EXPERTS + 1], raw[..., EXPERTS + 1 :]
        weights = torch.softmax(gate - self.prior[:horizon] * log_ratios.unsqueeze(-2), dim=-1)
        spreads = smooth_ramp(spreads)
        below = torch.cumsum(spreads[..., : self.side], dim=-1).flip(-1)
        above = torch.cumsum(spreads[..., self.side :], dim=-1)
        z = torch.cat([centre - below, centre, centre + above], dim=-1)
        # a product with ones, because the runtime's sum over a row gives other bits at other batch sizes
        mixed = (weights.double() * gaps).matmul(torch.ones(EXPERTS, 1, dtype=torch.float64))
        last = state["ring"][..., -1:].unsqueeze(-1)
        return last + mixed + scale * z.double()


def smooth_ramp(x: Tensor) -> Tensor:
    """A smooth positive ramp, (x + sqrt(x^2 + 1)) / 2: in place of softplus, whose bits depend on the batch size."""
    return (x + torch.sqrt(x * x + 1.0)) / 2.0


def _initial_spreads(quantiles: Sequence[float]) -> Tensor:
    """What `smooth_ramp` turns into the distances between the quantiles of a normal distribution, outwards."""
    probabilities = torch.tensor(quantiles, dtype=torch.float64)
    distances = torch.special.ndtri(probabilities).diff()
    side = len(quantiles) // 2
    ordered = torch.cat([distances[:side].flip(0), distances[side:]])
    return (ordered - 1.0 / (4.0 * ordered)).float()
