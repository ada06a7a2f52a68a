"""The head: from one state to the quantiles of every horizon, which cannot cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu

from models.layers.columns import Columns
from models.layers.experts import candidates
from models.layers.inputs import Inputs
from models.layers.rows import FOUR, row_asinh

PRIOR_POWER = (8.0, 3.0)
"""Untrained, experts are weighed by their error to minus this power: at the first horizon and at the last."""

FAR_POWER = ((8.0, 0.0), (1.0, 7.0))
"""The same where errors are kept further ahead, too: of the one-step errors, then of those."""


ROUNDING = 2.0**-20
"""Relative, of what is weighed in float32: sixteen roundings of a number, one after another."""


@dataclass(frozen=True, slots=True)
class NextWeights:
    """The head's weights for the next step alone, as matrices for the inputs about experts or what follows from them.

    Args:
        seen: (K + LOGS, hidden) and its bias; state: (hidden, hidden).
        prior: (K + LOGS, K + 1 + 2 side), of the gate's columns, and the bias of all.
        out: (hidden, K + 1 + 2 side).
        beside: (C, hidden), of covariates; None where the model takes none.

    With rivals, prior, out and its bias have K columns more, for the plain mixture.
    """

    seen: Tensor
    seen_bias: Tensor
    state: Tensor
    prior: Tensor
    out: Tensor
    out_bias: Tensor
    beside: Tensor | None = None


@dataclass(frozen=True, slots=True)
class FanWeights:
    """The head's weights for some horizons at once.

    Args:
        gaps: (width, n K) float64, as `candidates` gives them.
        by_gap: (K, hidden); by_log: (LOGS, hidden); offset, gain: (n, hidden); state: (hidden, hidden).
        prior: (LOGS, n K), and `plain`, the plain mixture's; out: (hidden, K + 1 + 2 side) and its bias.
        beside: as in `NextWeights`.
    """

    gaps: Tensor
    by_gap: Tensor
    by_log: Tensor
    offset: Tensor
    gain: Tensor
    state: Tensor
    prior: Tensor
    plain: Tensor
    out: Tensor
    out_bias: Tensor
    beside: Tensor | None = None


class MixtureHead(nn.Module):
    """A gate over expert forecasts plus a learned offset, its weights shared by all horizons.

    Untrained it is the discounted-error mixture of the experts: the last layer starts at zero, the gate at the prior.
    What it was untrained, the plain mixture, can be forecast beside it, and pull its forecasts towards itself.

    Args:
        rivals: whether `next` does so; `fan` does where it is given a pull.
    """

    gaps: Tensor
    stacking: Tensor
    rivalling: Tensor
    pulling: Tensor
    powers: Tensor
    near: Tensor
    over_scale: Tensor
    over_smallest: Tensor
    far_over_smallest: Tensor

    def __init__(
        self, columns: Columns, *, horizon: int, quantiles: Sequence[float], hidden: int, rivals: bool = False
    ) -> None:
        super().__init__()
        if len(quantiles) % 2 == 0 or quantiles[len(quantiles) // 2] != 0.5:
            raise ValueError("quantiles are symmetric around 0.5")
        self.side, self.count, self.horizon = len(quantiles) // 2, columns.experts, horizon
        inputs = Inputs(columns)
        over_scale = inputs.over_scale()[inputs.experts]
        self.from_state = nn.Linear(hidden, hidden, bias=False)
        self.from_experts = nn.Linear(self.count + over_scale.shape[1], hidden)
        self.gain = nn.Parameter(torch.zeros(horizon, hidden))
        self.offset = nn.Parameter(torch.zeros(horizon, hidden))
        ends = FAR_POWER if columns.config.reach else (PRIOR_POWER,)
        powers = torch.stack([torch.linspace(*end, horizon) for end in ends]).unsqueeze(2)
        self.prior = nn.Parameter(powers[0].clone())
        if columns.config.reach:
            self.far_prior = nn.Parameter(powers[1].clone())
        self.out = nn.Linear(hidden, self.count + 1 + 2 * self.side)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        with torch.no_grad():
            self.out.bias[self.count + 1 :] = _initial_spreads(quantiles)
        self.from_beside = nn.Linear(columns.config.beside, hidden, bias=False) if columns.config.beside else None
        self.last = slice(columns.ring.stop - 1, columns.ring.stop)
        self.experts, self.beside, self.rivals = inputs.experts, inputs.beside, rivals
        stacking = _stacking(self.count, self.side)
        rivalling, pulling = _rivalling(stacking, self.count)
        buffers = {
            "gaps": candidates(columns, horizon),
            "stacking": stacking,
            "rivalling": rivalling,
            "pulling": pulling,
            "powers": powers,
            "near": inputs.units(inputs.gaps)[inputs.experts],
            "over_scale": over_scale,
            "over_smallest": inputs.units(inputs.error)[inputs.experts],
            "far_over_smallest": inputs.units(inputs.far)[inputs.experts],
        }
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer, persistent=False)

    def fan_weights(self, horizons: Sequence[int]) -> FanWeights:
        """For `fan`, of the parameters as they are; `horizons` are steps ahead, from 1."""
        at = torch.tensor(horizons) - 1
        by_gap, by_log = self._seen().tensor_split([self.count])
        return FanWeights(
            gaps=self.gaps[:, at].flatten(1),
            by_gap=by_gap,
            by_log=by_log,
            offset=self.from_experts.bias + self.offset[at],
            gain=1.0 + self.gain[at],
            state=self.from_state.weight.T,
            prior=self._prior(self._learned_powers(), at)[self.count :].flatten(1),
            plain=self._prior(self.powers, at)[self.count :].flatten(1),
            out=self.out.weight.T,
            out_bias=self.out.bias,
            beside=self._beside(),
        )

    def fan(
        self,
        row: Tensor,
        hidden: Tensor,
        logs: Tensor,
        scale: Tensor,
        w: FanWeights,
        stretch: Tensor | None = None,
        pull: Tensor | None = None,
        beside: Tensor | None = None,
    ) -> Tensor:
        """Quantiles of n horizons.

        Args:
            row: the memory's, any leading dimensions.
            hidden: (..., hidden) the recurrence's output.
            logs: (..., LOGS) as in `Inputs`; scale: (..., 1).
            stretch: (..., n, 2 side) what the distances between quantiles are multiplied by.
            pull: (..., 1) the plain mixture's part; None where forecasts are the network's alone.
            beside: (..., n, C) covariates of each of the horizons, where the model takes any.
        Returns:
            (..., n, Q) float64 in units of the series, never decreasing along Q; with a pull (..., n, 2 + Q), first the
            medians of both rivals.
        """
        lead, horizons = hidden.shape[:-1], len(w.gain)
        ratios = (row.matmul(w.gaps) / scale).float()
        near = self._compressed(ratios).reshape(*lead, horizons, self.count)
        gaps = ratios.reshape(*lead, horizons, self.count)
        seen = near.matmul(w.by_gap) + logs.matmul(w.by_log).unsqueeze(-2) + w.offset
        if beside is not None and w.beside is not None:
            seen = seen + beside.matmul(w.beside)
        raw = silu(hidden.matmul(w.state).unsqueeze(-2) * w.gain + seen).matmul(w.out) + w.out_bias
        gate, others = raw.tensor_split([self.count], dim=-1)
        prior = logs.matmul(w.prior).reshape(*lead, horizons, self.count)
        plain = None if pull is None else logs.matmul(w.plain).reshape(*lead, horizons, self.count)
        pull = None if pull is None else pull.unsqueeze(-2)
        units = self._units(gate + prior, others, gaps, stretch, plain, pull)
        return units * scale.unsqueeze(-1) + row[..., self.last].unsqueeze(-1)

    def resolution(self, memory: Tensor) -> Tensor:
        """(..., 1): how far what is forecast from memories (..., M) depends on the rounding of float32.

        What is forecast is the last value and, in it, a distance; an expert may stand many scales away from that value:
        at a spike, and long after it, when its place in the season is remembered and the scale has become small.
        """
        gaps = memory.matmul(self.gaps.flatten(1))
        return ROUNDING * gaps.abs().amax(dim=-1, keepdim=True)

    def _compressed(self, ratios: Tensor) -> Tensor:
        """Inverse hyperbolic sines (..., n K) in whole fours."""
        lacking = -ratios.shape[-1] % FOUR
        if not lacking:
            return row_asinh(ratios)
        return row_asinh(torch.cat([ratios, ratios[..., :lacking]], dim=-1))[..., :-lacking]

    def next_weights(self) -> NextWeights:
        """For `next`, of the parameters as they are."""
        first, others, more = torch.tensor([0]), 1 + 2 * self.side, self.count * self.rivals
        prior, plain = (self._prior(powers, first)[:, 0] for powers in (self._learned_powers(), self.powers))
        return NextWeights(
            seen=self._seen(),
            seen_bias=self.from_experts.bias + self.offset[0],
            state=self.from_state.weight.T * (1.0 + self.gain[0]),
            prior=torch.cat([prior, prior.new_zeros(len(prior), others), plain[:, :more]], dim=1),
            out=pad(self.out.weight.T, (0, more)),
            out_bias=pad(self.out.bias, (0, more)),
            beside=self._beside(),
        )

    def _beside(self) -> Tensor | None:
        """(C, hidden) weights of covariates."""
        return None if self.from_beside is None else self.from_beside.weight.T

    def _seen(self) -> Tensor:
        """(K + LOGS, hidden): what the hidden layer sees of experts, as in `Inputs.experts`."""
        by_gap, by_error = self.from_experts.weight.T.tensor_split([self.count])
        return self.near.matmul(by_gap) + self.over_scale.matmul(by_error)

    def _learned_powers(self) -> list[Tensor]:
        """As `powers`, which it was before: each (horizon, 1), of the one-step errors and of those further ahead."""
        return [self.prior, self.far_prior] if len(self.powers) > 1 else [self.prior]

    def _prior(self, powers: Sequence[Tensor] | Tensor, at: Tensor) -> Tensor:
        """(K + LOGS, n, K): the gate of experts that are weighed by their errors, at horizons (n,) counted from 0."""
        prior = self.over_smallest.unsqueeze(1) * powers[0][at]
        if len(powers) > 1:
            prior = prior + self.far_over_smallest.unsqueeze(1) * powers[1][at]
        return -prior

    def next(
        self,
        value: Tensor,
        unit: Tensor,
        hidden: Tensor,
        inputs: Tensor,
        gaps: Tensor,
        w: NextWeights,
        stretch: Tensor | None = None,
        pull: Tensor | None = None,
    ) -> Tensor:
        """Quantiles (B, Q) of the next step alone: the first of `fan`, in fewer and wider operations.

        Args:
            value, unit: (B, 1) the last value and the scale, zeros for a session that has not started.
            inputs: (B, width) the row of inputs; gaps: (B, K) as in `Sight`; stretch: (B, 2 side).
            pull: (B, 1), given where there are rivals; the result is (B, 2 + Q) then, as that of `fan`.
        """
        experts = inputs[:, self.experts]
        seen = torch.addmm(torch.addmm(w.seen_bias, experts, w.seen), hidden, w.state)
        if w.beside is not None:
            seen = torch.addmm(seen, inputs[:, self.beside], w.beside)
        u = silu(seen)
        raw = torch.addmm(torch.addmm(w.out_bias, experts, w.prior), u, w.out)
        gate, others, *plain = raw.tensor_split([self.count, self.count + 1 + 2 * self.side][: 1 + self.rivals], dim=1)
        return self._units(gate, others, gaps, stretch, plain[0] if plain else None, pull) * unit + value

    def _units(
        self,
        gate: Tensor,
        others: Tensor,
        gaps: Tensor,
        stretch: Tensor | None,
        plain: Tensor | None,
        pull: Tensor | None,
    ) -> Tensor:
        """(..., Q) float64 above the last value, in units of the scale; with a pull (..., 2 + Q), both rivals first.

        Args:
            gate, plain, gaps: (..., K); others: (..., 1 + 2 side), centre and raw distances.
        """
        weighed, centre = torch.softmax(gate, dim=-1) * gaps, others[..., :1]
        distances = twice_ramp(others[..., 1:])
        if stretch is not None:
            distances = distances * stretch
        parts = [weighed, centre, distances]
        if plain is None or pull is None:
            return torch.cat(parts, dim=-1).matmul(self.stacking).double()
        rivals = torch.cat([*parts, torch.softmax(plain, dim=-1) * gaps], dim=-1)
        return (rivals.matmul(self.rivalling) + pull * rivals.matmul(self.pulling)).double()


def _stacking(experts: int, side: int) -> Tensor:
    """(K + 1 + 2 side, Q): what sums weighed experts, centre and distances, outwards, to quantiles.

    A product with a constant, because the runtime's sum over a row gives other bits at other batch sizes. It adds in
    the order of its rows, so that no rounding makes neighbours cross.
    """
    outwards = torch.ones(side, side).triu() / 2.0
    below = torch.cat([-outwards.flip(1), torch.zeros(side, 1 + side)], dim=1)
    above = torch.cat([torch.zeros(side, side + 1), outwards], dim=1)
    return torch.cat([torch.ones(experts + 1, 2 * side + 1), below, above])


def _rivalling(stacking: Tensor, experts: int) -> tuple[Tensor, Tensor]:
    """Each (2 K + 1 + 2 side, 2 + Q), for what `_stacking` stacks and the experts as the plain mixture weighs them.

    The first sums both rivals' medians, the network's before the mixture's, and the network's quantiles; the second how
    far the mixture is above the network, for the quantiles alone.
    """
    network, mixture = torch.zeros(2, len(stacking) + experts)
    network[: experts + 1] = mixture[len(stacking) :] = 1.0
    apart = (mixture - network).unsqueeze(1).expand(-1, stacking.shape[1])
    quantiles = torch.cat([stacking, torch.zeros(experts, stacking.shape[1])])
    medians = torch.stack([network, mixture], dim=1)
    return torch.cat([medians, quantiles], dim=1), torch.cat([torch.zeros_like(medians), apart], dim=1)


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
