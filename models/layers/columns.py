"""Where the parts of the memory stand in its row, and unit vectors over them: what is linear in it is one product."""

from __future__ import annotations

import torch
from torch import Tensor

from models.layout import Field

SEASONS_KEPT = 4
EXPERTS = 10


class Columns:
    """The memory's row of a session with seasons of `season` steps, all of it float64.

    The order lets a step move neighbours together: means are side by side, ring and index turn to the left, and what
    the network sees relative to the scale is side by side as well.

    Attributes:
        ring: the values of the last four seasons, oldest first.
        index: the slow and the fast seasonal index of each phase, side by side; phase 0 is that of the last step.
        smooth: levels without the index, at three speeds.
        level: fast and slow.
        error: discounted mean absolute one-step error of each expert.
        scale: mean absolute differences, fast and slow, and the largest recent value.
        seen: observations since the first known value.
    """

    def __init__(self, season: int) -> None:
        self.season = season
        shapes: dict[str, tuple[int, ...]] = {"ring": (SEASONS_KEPT * season,), "index": (season, 2), "smooth": (3,)}
        shapes |= {"level": (2,), "expert.error": (EXPERTS,), "scale": (3,), "seen": (1,)}
        self.fields = tuple(Field(name, "<f8", shape) for name, shape in shapes.items())
        self._starts, self.width = {}, 0
        for field in self.fields:
            self._starts[field.name] = slice(self.width, self.width + field.width)
            self.width += field.width
        self.ring, self.index, self.smooth, self.level, self.error, self.scale, self.seen = self._starts.values()
        self.means = slice(self.index.start, self.scale.stop)
        """All that moves towards a target."""
        self.shown = slice(self.level.stop - 1, self.scale.stop - 1)
        """Slow level, errors, and both mean differences: what the network sees relative to the scale."""
        self._eye = torch.eye(self.width, dtype=torch.float64)

    def units(self, part: slice) -> Tensor:
        """(N, width): the unit vectors of a part's columns."""
        units: Tensor = self._eye[part]
        return units

    def of_phase(self, phase: int) -> Tensor:
        """(2, width): the slow and the fast index of a phase."""
        index = self.units(self.index).reshape(self.season, 2, self.width)
        both: Tensor = index[phase % self.season]
        return both

    def same_phase(self, horizon: int, seasons_back: int) -> Tensor:
        """(width,): the value of the phase of `horizon` steps ahead, so many whole seasons before its latest one."""
        ahead = (horizon - 1) % self.season
        row: Tensor = self.units(self.ring)[ahead - self.season * (1 + seasons_back)]
        return row

    @property
    def last(self) -> Tensor:
        """(width,): the last value."""
        row: Tensor = self.units(self.ring)[-1]
        return row
