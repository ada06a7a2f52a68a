"""The head: from one state to the quantiles of every horizon, which cannot cross."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from models.layers.experts import EXPERTS, Sight, candidates, memory_of
from models.layers.rows import row_asinh
from models.layers.scale import scale_of

PRIOR_POWER = (8.0, 3.0)
"""Untrained, experts are weighed by their error to minus this power: at the first horizon and at the last."""


class MixtureHead(nn.Module):
    """A gate over expert forecasts plus a learned offset, its weights shared by all horizons.

    Untrained it is the discounted-error mixture of the experts: the last layer starts at zero, the gate at the prior.
    """

    gaps: Tensor
    stacking: Tensor

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
        self.register_buffer("gaps", candidates(season, horizon + horizon % 2), persistent=False)
        self.register_buffer("stacking", _stacking(self.side), persistent=False)

    def forward(self, state: Mapping[str, Tensor], hidden: Tensor, logs: tuple[Tensor, Tensor], horizon: int) -> Tensor:
        """Quantiles of the next `horizon` steps.

        Args:
            state: the memory's arrays, any leading dimensions.
            hidden: (..., hidden) the recurrence's output.
            logs: of the experts' errors, as `error_logs` gives them.
        Returns:
            (..., H, Q) float64 in units of the series, never decreasing along Q.
        """
        scale = scale_of(state)
        lead = hidden.shape[:-1]
        even = horizon + horizon % 2  # two horizons of experts are whole fours
        gaps = memory_of(state).matmul(self.gaps[:, :even].flatten(1))
        near = row_asinh(gaps / scale)
        gaps, near = (x.reshape(*lead, even, EXPERTS)[..., :horizon, :] for x in (gaps, near))
        over_smallest, over_scale = (log.unsqueeze(-2).expand(*lead, horizon, EXPERTS) for log in logs)
        sight = Sight(gaps, near, (over_smallest, over_scale), scale.unsqueeze(-1).expand(*lead, horizon, 1))
        return self._quantiles(sight, hidden.unsqueeze(-2), slice(horizon)) + state["ring"][..., -1:, None]

    def next(self, state: Mapping[str, Tensor], hidden: Tensor, sight: Sight) -> Tensor:
        """Quantiles (B, Q) of the next step alone, of what is already seen for it: the first of `forward`."""
        return self._quantiles(sight, hidden, 0) + state["ring"][:, -1:]

    def _quantiles(self, sight: Sight, hidden: Tensor, horizons: int | slice) -> Tensor:
        """(..., Q) above the last value, by the weights of one horizon, or of several in the dimension before."""
        over_smallest, over_scale = sight.logs
        experts = torch.cat([sight.near, over_scale], dim=-1).matmul(self.from_experts.weight.t())
        experts = experts + (self.from_experts.bias + self.offset[horizons])
        raw = self.out(silu(self.from_state(hidden) * (1.0 + self.gain[horizons]) + experts))
        gate, centre, spreads = raw.tensor_split((EXPERTS, EXPERTS + 1), dim=-1)
        weights = torch.softmax(gate - self.prior[horizons] * over_smallest, dim=-1)
        shares = torch.cat([weights, centre, smooth_ramp(spreads)], dim=-1).double()
        units = torch.cat([sight.gaps] + [sight.scale] * (1 + 2 * self.side), dim=-1)
        return (shares * units).matmul(self.stacking)


def _stacking(side: int) -> Tensor:
    """(K + 1 + 2 side, Q): what sums weighed experts, centre and distances, outwards, to quantiles.

    A product with a constant, because the runtime's sum over a row gives other bits at other batch sizes.
    """
    outwards = torch.ones(side, side, dtype=torch.float64).triu()
    below = torch.cat([-outwards.flip(1), torch.zeros(side, 1 + side, dtype=torch.float64)], dim=1)
    above = torch.cat([torch.zeros(side, side + 1, dtype=torch.float64), outwards], dim=1)
    return torch.cat([torch.ones(EXPERTS + 1, 2 * side + 1, dtype=torch.float64), below, above])


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
