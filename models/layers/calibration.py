"""Interval calibration of each session, online: adaptive conformal inference (Gibbs and Candes 2021) as a layer.

Each quantile other than the median has an offset: its distance to its neighbour towards the median is multiplied by one
plus it, so quantiles never cross. After the actual, the offset grows where the quantile was passed and shrinks a little
where it was not, so that each is passed as often as it should be, on this very series; part of each such move is shared
by all offsets, since errors that have grown have grown at every level. There are offsets for each
anchor, a number of steps ahead, and between anchors they are interpolated. The next step's learn from every actual,
those of the anchors beyond it from the fan that the last origin keeps.

A quantile counts as passed by a ramp around it, not by a jump: updates are continuous in their inputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layout import Field

OWN, SHARED = 0.002, 0.005
"""How far an offset moves after an actual that passed quantiles, by the share p of actuals that are to pass each.

OWN / p by its own quantile, and SHARED / sqrt(p) by every one, its own among them: the rare quantiles learn from all
when an interval has become too wide or too narrow. What other rates give: see docs/decisions.md.
"""

FURTHER = 2.0
"""Times this beyond the next step: those learn more rarely."""

RAMP = 0.2
"""Of a quantile's distance to the median: how wide the ramp around it is."""

INSIDE = 1.0 / RAMP - 0.5
"""Where the ramp begins: at the distance of an actual to the median over RAMP times the quantile's own."""

SMALLEST, LARGEST = -0.9, 3.0
"""Offsets stay between these."""

TINY = 1e-100
"""Stands in for a distance of zero: what is on such a quantile has not passed it."""


class Calibration(nn.Module):
    """Offsets (A, 2 side), float64, by anchor; those below the median, outwards, then those above.

    Args:
        quantiles: Q of them, symmetric around the median.
        anchors: steps ahead in rising order, the first of them 1.
    """

    measures: Tensor
    expected: Tensor
    haste: Tensor
    rates: Tensor
    between: Tensor
    due: Tensor
    always: Tensor
    tiny: Tensor

    def __init__(self, quantiles: Sequence[float], anchors: Sequence[int], horizon: int) -> None:
        super().__init__()
        if anchors[0] != 1 or list(anchors) != sorted(set(anchors)) or anchors[-1] > horizon:
            raise ValueError(f"anchors are steps ahead in rising order, from 1 to {horizon}, not {list(anchors)}")
        self.anchors, self.horizon = tuple(anchors), horizon
        self.count, self.edges = len(quantiles), len(quantiles) - 1
        side = len(quantiles) // 2
        self.fields = (Field("calibration", "<f8", (len(anchors), self.edges)),)
        outwards = [*range(side - 1, -1, -1), *range(side + 1, len(quantiles))]
        signs = torch.tensor([-1.0] * side + [1.0] * side, dtype=torch.float64)
        aims = torch.tensor([max(quantiles[k], 1.0 - quantiles[k]) for k in outwards], dtype=torch.float64)
        # of errors (actual minus quantile): how far outwards the actual is of the median, and the quantile itself
        beyond, distance = torch.zeros(2, len(quantiles), self.edges, dtype=torch.float64)
        beyond[side] = distance[side] = signs
        distance[outwards, range(self.edges)] = -signs
        moving = rates(aims)
        haste = [1.0 if anchor == 1 else FURTHER for anchor in anchors]
        buffers = {
            "measures": torch.cat([beyond / RAMP, distance], dim=1),
            "rates": moving,
            "expected": (INSIDE + 1.0 - aims).matmul(moving),
            "haste": torch.tensor(haste, dtype=torch.float64),
            "between": _between(anchors, horizon, self.edges),
            "due": 0.5 ** torch.tensor(anchors, dtype=torch.float64),
            "tiny": torch.tensor([TINY], dtype=torch.float64),
            "always": torch.tensor([1.0, *[0.0] * len(anchors[1:])], dtype=torch.float64),
        }
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer, persistent=False)

    def initial_state(self, batch: int) -> Tensor:
        """Zeros (B, A 2 side)."""
        return torch.zeros(batch, self.fields[0].width, dtype=torch.float64)

    def step(self, errors: Tensor, scored: Tensor, clock: Tensor, state: Tensor) -> Tensor:
        """The offsets (B, A 2 side) after actuals.

        Args:
            errors: (B, A Q) actual minus the quantiles that were issued for it, at each anchor.
            scored: (B, 1), 0 where the value teaches nothing.
            clock: (B, 1) of the origin, see `Origin.clock`.
        """
        by_anchor = errors.reshape(-1, len(self.anchors), self.count)
        beyond, distance = by_anchor.matmul(self.measures).tensor_split(2, dim=2)
        passed = (beyond / torch.maximum(distance, self.tiny)).clamp(INSIDE, INSIDE + 1.0)
        moves = passed.matmul(self.rates) - self.expected
        arrived = torch.where(self.due == clock, self.haste, self.always)
        moves = (scored * arrived).unsqueeze(2) * moves
        return (state + moves.flatten(1)).clamp(SMALLEST, LARGEST)

    def next_stretch(self, state: Tensor) -> Tensor:
        """(B, 2 side) float32: what the distances of the next step are multiplied by."""
        return (1.0 + state[:, : self.edges]).float()

    def stretches(self, state: Tensor) -> Tensor:
        """(B, A, 2 side) float32: what the distances are multiplied by at each anchor."""
        return (1.0 + state).float().reshape(-1, len(self.anchors), self.edges)

    def fan_stretches(self, state: Tensor) -> Tensor:
        """(B, H, 2 side) float32: the same at every horizon."""
        return (1.0 + state.matmul(self.between)).float().reshape(-1, self.horizon, self.edges)


def rates(aims: Tensor) -> Tensor:
    """(2 side, 2 side): how far the passes of each quantile move each offset.

    Args:
        aims: (2 side,) shares of the actuals that are not to pass the quantiles.
    """
    passing = 1.0 - aims
    shared = SHARED * passing.rsqrt().unsqueeze(1)
    return torch.diag(OWN / passing) + shared.expand(-1, len(aims))


def _between(anchors: Sequence[int], horizon: int, edges: int) -> Tensor:
    """(A edges, H edges): interpolates offsets between anchors; beyond the last they are its own."""
    shares = torch.zeros(len(anchors), horizon, dtype=torch.float64)
    for h in range(1, horizon + 1):
        above = next((k for k, anchor in enumerate(anchors) if anchor >= h), len(anchors) - 1)
        below = max(above - 1, 0) if anchors[above] > h else above
        part = (h - anchors[below]) / (anchors[above] - anchors[below]) if above > below else 1.0
        shares[below, h - 1] += 1.0 - part
        shares[above, h - 1] += part
    return torch.kron(shares, torch.eye(edges, dtype=torch.float64))
