"""The row that network and head see of a session, float32: everything that the memory says, in units of the session.

errors     the experts' signed one-step errors and the last change, over the scale, compressed by asinh
views      views of the memory, likewise
gaps       the experts' forecasts of the next step, minus the last value, likewise
logs       logarithms over the smallest expert error: of the scale (`one`), of the scale plus the slow level's size, of
           each expert's error, of both mean differences, and of the steps seen plus one, times the scale
flags      how far a session is from being warm, and whether the observation is missing
calendar   features of the observation's local time
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.dates.calendar import CALENDAR
from models.layers.columns import EXPERTS, SEASONS_KEPT, Columns
from models.layers.experts import ERROR_FLOOR
from models.layers.rows import FOUR

ERRORS = EXPERTS + 2
"""The last change is beside the experts' errors twice, as the fast and slow scale need it."""

SPEED_FLOOR = 1e-3
"""Of the scale, for the mean differences."""

LOGS = 4 * FOUR
UNUSED = 1


class Inputs:
    """Where what stands in the row, for seasons of `season` steps."""

    def __init__(self, season: int) -> None:
        self.errors, self.views = slice(EXPERTS), slice(ERRORS, ERRORS + 4 + 2 * season)
        self.padding = -(self.views.stop + EXPERTS) % FOUR
        self.compressed = self.views.stop + self.padding + EXPERTS
        self.gaps = slice(self.compressed - EXPERTS, self.compressed)
        self.experts = slice(self.gaps.start, self.compressed + LOGS)
        """Gaps and logarithms: what the head sees."""
        self.logs = slice(self.compressed, self.compressed + LOGS)
        self.one, self.level = self.compressed + UNUSED, self.compressed + UNUSED + 1
        self.error = slice(self.level + 1, self.level + 1 + EXPERTS)
        self.fast, self.slow, self.seen = range(self.error.stop, self.logs.stop)
        self.flags = slice(self.logs.stop, self.logs.stop + 2)
        self.width = self.flags.stop + CALENDAR
        self._eye = torch.eye(self.width)

    def over_scale(self) -> Tensor:
        """(width, K): the logarithm of each expert's error over the scale."""
        over: Tensor = self._eye[:, self.error] - self._eye[:, self.one, None]
        return over

    def mixing(self) -> Tensor:
        """(width, F): the F inputs of the network, in the order of its weights."""
        eye = self._eye
        ratios = [eye[:, self.fast] - eye[:, self.slow], eye[:, self.one] - eye[:, self.level]]
        ratios += [eye[:, self.seen] - eye[:, self.one]]
        parts = [eye[:, self.views], eye[:, self.errors], torch.stack(ratios, dim=1), self.over_scale()]
        return torch.cat([*parts, eye[:, self.flags.start :]], dim=1)


def views(columns: Columns) -> Tensor:
    """(width, 4 + 2 season): what the memory's row times this shows the network.

    The last change, the last value above its season's mean and above both levels, and for each phase to come its mean
    value and its index, above the present ones.
    """
    season, last, level = columns.season, columns.last, columns.units(columns.level)
    ring = columns.units(columns.ring)
    shown = [last - ring[-2], last - ring[-season:].mean(0), last - level[1], last - level[0]]
    for h in range(1, season + 1):
        shown.append(torch.stack([columns.same_phase(h, back) for back in range(SEASONS_KEPT)]).mean(0) - last)
    shown += [columns.of_phase(h)[0] - columns.of_phase(0)[0] for h in range(1, season + 1)]
    return torch.stack(shown, dim=1)


def log_terms() -> tuple[Tensor, Tensor]:
    """Each (LOGS,): what is added to sizes relative to the scale before their logarithm is taken, and their floors."""
    ones = [1.0] * UNUSED
    added = [*ones, 1.0, 1.0, *[0.0] * EXPERTS, 0.0, 0.0, 1.0]
    floors = [*ones, 1.0, 1.0, *[ERROR_FLOOR] * EXPERTS, SPEED_FLOOR, SPEED_FLOOR, 1.0]
    return torch.tensor(added), torch.tensor(floors)
