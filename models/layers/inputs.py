"""The row that network and head see of a session, float32: everything that the memory says, in units of the session.

errors     the experts' signed one-step errors and the last change, over the scale, compressed by asinh
views      views of the memory, likewise
gaps       the experts' forecasts of the next step, minus the last value, likewise
logs       logarithms over the smallest expert error: of the scale (`one`), of the scale plus the slow level's size, of
           each expert's errors, one step and further ahead, of both mean differences, and of the steps seen plus one,
           times the scale
flags      how far a session is from being warm, and whether the observation is missing
calendar   features of the observation's local time
beside     covariates, of models that take any
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.dates.calendar import CALENDAR
from models.layers.columns import Columns
from models.layers.experts import ERROR_FLOOR
from models.layers.rows import FOUR

CHANGES = 2
"""The last change is beside the experts' errors twice, as the fast and slow scale need it."""

SPEED_FLOOR = 1e-3
"""Of the scale, for the mean differences."""


class Inputs:
    """Where what stands in the row."""

    def __init__(self, columns: Columns) -> None:
        experts, shown, far = columns.experts, columns.config.shown, columns.far.stop - columns.far.start
        self.errors, self.kinds = slice(experts), experts + far + CHANGES
        """Of the errors that stand in front, so many in all, the network sees the first."""
        self.views = slice(self.kinds, self.kinds + 4 + 2 * shown)
        self.padding = -(self.views.stop + experts) % FOUR
        self.compressed = self.views.stop + self.padding + experts
        self.gaps = slice(self.compressed - experts, self.compressed)
        named = 2 + experts + far + 3
        self.unused = -named % FOUR
        """Columns without a meaning, which make the logarithms whole fours."""
        self.logs = slice(self.compressed, self.compressed + self.unused + named)
        self.experts = slice(self.gaps.start, self.logs.stop)
        """Gaps and logarithms: what the head sees."""
        self.one = self.compressed + self.unused
        self.level = self.one + 1
        self.error = slice(self.level + 1, self.level + 1 + experts)
        self.far = slice(self.error.stop, self.error.stop + far)
        self.fast, self.slow, self.seen = range(self.far.stop, self.logs.stop)
        self.flags = slice(self.logs.stop, self.logs.stop + 2)
        calendar = self.flags.stop + CALENDAR
        self.beside = slice(calendar, calendar + columns.config.beside)
        self.width = self.beside.stop
        self._eye = torch.eye(self.width)

    def units(self, part: slice) -> Tensor:
        """(width, N): the unit vectors of a part's columns."""
        units: Tensor = self._eye[:, part]
        return units

    def over_scale(self) -> Tensor:
        """(width, K or 2 K): the logarithms of the experts' errors over the scale, one step and further ahead."""
        errors = slice(self.error.start, self.far.stop)
        over: Tensor = self._eye[:, errors] - self._eye[:, self.one, None]
        return over

    def mixing(self) -> Tensor:
        """(width, F): the F inputs of the network, in the order of its weights."""
        eye = self._eye
        ratios = [eye[:, self.fast] - eye[:, self.slow], eye[:, self.one] - eye[:, self.level]]
        ratios += [eye[:, self.seen] - eye[:, self.one]]
        parts = [eye[:, self.views], eye[:, self.errors], torch.stack(ratios, dim=1), self.over_scale()]
        return torch.cat([*parts, eye[:, self.flags.start :]], dim=1)

    def log_terms(self) -> tuple[Tensor, Tensor]:
        """Each (LOGS,): what is added to sizes relative to the scale before their logarithm is taken, and floors."""
        ones, errors = [1.0] * self.unused, self.far.stop - self.error.start
        added = [*ones, 1.0, 1.0, *[0.0] * errors, 0.0, 0.0, 1.0]
        floors = [*ones, 1.0, 1.0, *[ERROR_FLOOR] * errors, SPEED_FLOOR, SPEED_FLOOR, 1.0]
        return torch.tensor(added), torch.tensor(floors)


def views(columns: Columns) -> Tensor:
    """(width, 4 + 2 shown): what the memory's row times this shows the network.

    The last change, the last value above its season's mean and above both levels, and for each phase to come its mean
    value and its index, above the present ones.
    """
    season, last, level = columns.season, columns.last, columns.units(columns.level).flip(0)
    ring, phases = columns.units(columns.ring), range(1, columns.config.shown + 1)
    shown = [last - ring[-2], last - ring[-season:].mean(0), last - level[0], last - level[1]]
    shown += [columns.phase_mean(h) - last for h in phases]
    shown += [columns.of_phase(h)[0] - columns.of_phase(0)[0] for h in phases]
    return torch.stack(shown, dim=1)
