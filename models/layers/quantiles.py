"""The head: from one state to the quantiles of every horizon, which cannot cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from models.layers.columns import EXPERTS, Columns
from models.layers.experts import candidates
from models.layers.inputs import Inputs
from models.layers.rows import row_asinh

PRIOR_POWER = (8.0, 3.0)
"""Untrained, experts are weighed by their error to minus this power: at the first horizon and at the last."""


@dataclass(frozen=True, slots=True)
class NextWeights:
    """The head's weights for the next step alone, as matrices for the inputs about experts or what follows from them.

    Args:
        seen: (K + LOGS, hidden) and its bias; state: (hidden, hidden); prior: (K + LOGS, K) and the gate's bias.
        gate: (hidden, K); others: (hidden, 1 + 2 side) and their bias.
    """

    seen: Tensor
    seen_bias: Tensor
    state: Tensor
    prior: Tensor
    gate_bias: Tensor
    gate: Tensor
    others: Tensor
    others_bias: Tensor


class MixtureHead(nn.Module):
    """A gate over expert forecasts plus a learned offset, its weights shared by all horizons.

    Untrained it is the discounted-error mixture of the experts: the last layer starts at zero, the gate at the prior.
    """

    gaps: Tensor
    stacking: Tensor
    near: Tensor
    over_scale: Tensor
    over_smallest: Tensor

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
        columns, inputs = Columns(season), Inputs(season)
        self.last = slice(columns.ring.stop - 1, columns.ring.stop)
        self.experts = inputs.experts
        eye = torch.eye(inputs.width)
        buffers = {
            "gaps": candidates(columns, horizon + horizon % 2),
            "stacking": _stacking(self.side),
            "near": eye[inputs.experts, inputs.gaps],
            "over_scale": inputs.over_scale()[inputs.experts],
            "over_smallest": eye[inputs.experts, inputs.error],
        }
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer, persistent=False)

    def forward(self, row: Tensor, hidden: Tensor, logs: Tensor, scale: Tensor, horizon: int) -> Tensor:
        """Quantiles of the next `horizon` steps.

        Args:
            row: the memory's, any leading dimensions.
            hidden: (..., hidden) the recurrence's output.
            logs: (..., LOGS) as in `Inputs`; scale: (..., 1).
        Returns:
            (..., H, Q) float64 in units of the series, never decreasing along Q.
        """
        lead = hidden.shape[:-1]
        even = horizon + horizon % 2  # two horizons of experts are whole fours
        ratios = (row.matmul(self.gaps[:, :even].flatten(1)) / scale).float()
        near = row_asinh(ratios)
        gaps, near = (x.reshape(*lead, even, EXPERTS)[..., :horizon, :] for x in (ratios, near))
        by_gap, by_error = self.from_experts.weight.T.tensor_split([EXPERTS])
        seen = near.matmul(by_gap) + logs.matmul(self.over_scale[EXPERTS:]).matmul(by_error).unsqueeze(-2)
        seen = seen + (self.from_experts.bias + self.offset[:horizon])
        raw = self.out(silu(self.from_state(hidden).unsqueeze(-2) * (1.0 + self.gain[:horizon]) + seen))
        gate, others = raw.tensor_split([EXPERTS], dim=-1)
        prior = self.prior[:horizon] * logs.matmul(self.over_smallest[EXPERTS:]).unsqueeze(-2)
        return self._units(gate - prior, others, gaps) * scale.unsqueeze(-1) + row[..., self.last].unsqueeze(-1)

    def next_weights(self) -> NextWeights:
        """For `next`, of the parameters as they are."""
        by_gap, by_error = self.from_experts.weight.T.tensor_split([EXPERTS])
        gate, others = self.out.weight.T.tensor_split([EXPERTS], dim=1)
        gate_bias, others_bias = self.out.bias.tensor_split([EXPERTS])
        return NextWeights(
            seen=self.near.matmul(by_gap) + self.over_scale.matmul(by_error),
            seen_bias=self.from_experts.bias + self.offset[0],
            state=self.from_state.weight.T * (1.0 + self.gain[0]),
            prior=-self.prior[0] * self.over_smallest,
            gate_bias=gate_bias,
            gate=gate,
            others=others,
            others_bias=others_bias,
        )

    def next(self, value: Tensor, unit: Tensor, hidden: Tensor, inputs: Tensor, gaps: Tensor, w: NextWeights) -> Tensor:
        """Quantiles (B, Q) of the next step alone: the first of `forward`, in fewer and wider operations.

        Args:
            value, unit: (B, 1) the last value and the scale, zeros for a session that has not started.
            inputs: (B, width) the row of inputs; gaps: (B, K) as in `Sight`.
        """
        experts = inputs[:, self.experts]
        u = silu(torch.addmm(torch.addmm(w.seen_bias, experts, w.seen), hidden, w.state))
        gate = torch.addmm(torch.addmm(w.gate_bias, experts, w.prior), u, w.gate)
        return self._units(gate, torch.addmm(w.others_bias, u, w.others), gaps) * unit + value

    def _units(self, gate: Tensor, others: Tensor, gaps: Tensor) -> Tensor:
        """(..., Q) float64 above the last value, in units of the scale.

        Args:
            gate, gaps: (..., K); others: (..., 1 + 2 side), centre and raw distances.
        """
        weighed = torch.softmax(gate, dim=-1) * gaps
        return torch.cat([weighed, others, twice_ramp(others)], dim=-1).matmul(self.stacking).double()


def _stacking(side: int) -> Tensor:
    """(K + 2 (1 + 2 side), Q): what sums weighed experts, centre and distances, outwards, to quantiles.

    A product with a constant, because the runtime's sum over a row gives other bits at other batch sizes. It adds in
    the order of its rows, so that no rounding makes neighbours cross.
    """
    outwards = torch.ones(side, side).triu() / 2.0
    below = torch.cat([-outwards.flip(1), torch.zeros(side, 1 + side)], dim=1)
    above = torch.cat([torch.zeros(side, side + 1), outwards], dim=1)
    centre = torch.ones(EXPERTS + 1, 2 * side + 1)
    return torch.cat([centre, torch.zeros(2 * side + 1, 2 * side + 1), below, above])


def twice_ramp(x: Tensor) -> Tensor:
    """Twice a smooth positive ramp, x + sqrt(x^2 + 1): in place of softplus, whose bits depend on the batch size."""
    return x + torch.sqrt(x * x + 1.0)


def _initial_spreads(quantiles: Sequence[float]) -> Tensor:
    """What half of `twice_ramp` turns into the distances between the quantiles of a normal distribution, outwards."""
    probabilities = torch.tensor(quantiles, dtype=torch.float64)
    distances = torch.special.ndtri(probabilities).diff()
    side = len(quantiles) // 2
    ordered = torch.cat([distances[:side].flip(0), distances[side:]])
    return (ordered - 1.0 / (4.0 * ordered)).float()
