"""Ten forecasts that cost nothing: each is linear in what the memory holds, so all are one product with a constant.

Candidates for h steps ahead, with y the last value, A and B the slow and fast seasonal index, phases turned:
    1 y                       2 fast level            3 the last value of the phase    4 mean of the phase's last four
    5 y - A[0] + A[h]         6 l1 + A[h]             7 l2 + B[h]                      8 half of 5, half of 6
    9 l0 + A[h]              10 slow level
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.layers.averages import Mean
from models.layers.columns import EXPERTS, SEASONS_KEPT, Columns

ERROR_MEANS = (Mean(0.04, late=1, skips=True),) * EXPERTS

ERROR_FLOOR = 0.02
"""Of the scale: below it one expert's error says no more than another's."""


def candidates(columns: Columns, horizon: int) -> Tensor:
    """(width, horizon, K): the memory's row times this is each expert's forecast minus the last value."""
    last, level, smooth = columns.last, columns.units(columns.level), columns.units(columns.smooth)
    ahead = []
    for h in range(1, horizon + 1):
        slow, fast = columns.of_phase(h)
        walk = last - columns.of_phase(0)[0] + slow
        smoothed = smooth[1] + slow
        phase_mean = torch.stack([columns.same_phase(h, back) for back in range(SEASONS_KEPT)]).mean(0)
        experts = [last, level[0], columns.same_phase(h, 0), phase_mean, walk, smoothed, smooth[2] + fast]
        experts += [(walk + smoothed) / 2, smooth[0] + slow, level[1]]
        ahead.append(torch.stack([expert - last for expert in experts], dim=1))
    return torch.stack(ahead, dim=1)
