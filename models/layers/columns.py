"""Where the parts of the memory stand in its row, and unit vectors over them: what is linear in it is one product."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.layout import Field

PLAIN, TRENDING, LONGER = 10, 2, 4
"""Experts of every model, those that follow trends, and those that know a longer season."""

SHORT_LEVELS, LONG_LEVELS = 3, 2
"""Smooth levels without the index of a season, and those without the one of a longer season too."""


@dataclass(frozen=True, slots=True)
class MemoryConfig:
    """What a session remembers outside of the network.

    Attributes:
        season: steps of a season.
        longer: steps of a second, longer season, of which one mean for each phase is kept; 0 = there is none.
        kept: seasons whose values are kept.
        shown: phases to come that the network is shown.
        trends: whether there are experts that follow trends.
        reach: steps ahead over which experts' errors are kept beside the one-step ones; 0 = they are not.
        beside: columns of covariates that the network is shown.
        oldest: steps after which the network is shown no more of a session's age; 0 = it is shown all.
        last_known: whether the last known value is kept, and when it was.
    """

    season: int
    longer: int = 0
    kept: int = 4
    shown: int = 7
    trends: bool = False
    reach: int = 0
    beside: int = 0
    oldest: int = 0
    last_known: bool = False

    @property
    def experts(self) -> int:
        """How many there are."""
        return PLAIN + TRENDING * self.trends + LONGER * (self.longer > 0)


class Columns:
    """The memory's row of a session, all of it float64.

    The order lets a step move neighbours together: means are side by side, ring and indices turn to the left, and what
    the network sees relative to the scale is side by side as well. The long index, of which a step needs little, is
    last.

    Attributes:
        ring: the values of the last seasons, oldest first.
        index: the slow and the fast seasonal index of each phase, side by side; phase 0 is that of the last step.
        smooth: levels without the index, at three speeds; then two without the long index, too.
        level: fast and slow, and before them a very slow one where there is a longer season.
        error: discounted mean absolute one-step error of each expert.
        far: the same over the steps of the reach; empty without one.
        scale: mean absolute differences, fast and slow, and the largest recent value.
        known: the last known value, and what `seen` was then; empty where they are not kept.
        seen: observations since the first known value.
        long: the index of each phase of the longer season.
    """

    def __init__(self, config: MemoryConfig) -> None:
        self.config = config
        self.season, experts = config.season, config.experts
        longer = bool(config.longer)
        shapes: dict[str, tuple[int, ...]] = {"ring": (config.kept * config.season,), "index": (config.season, 2)}
        shapes |= {"smooth": (SHORT_LEVELS + LONG_LEVELS * longer,), "level": (2 + longer,), "expert.error": (experts,)}
        shapes |= {"expert.far": (experts,)} if config.reach else {}
        shapes |= {"scale": (3,)} | ({"known": (2,)} if config.last_known else {}) | {"seen": (1,)}
        shapes |= {"index.long": (config.longer,)} if longer else {}
        self.fields = tuple(Field(name, "<f8", shape) for name, shape in shapes.items())
        starts, self.width = {}, 0
        for field in self.fields:
            starts[field.name] = slice(self.width, self.width + field.width)
            self.width += field.width
        self.ring, self.index, self.smooth, self.level = (starts[name] for name in ("ring", "index", "smooth", "level"))
        self.error, self.scale, self.seen = (starts[name] for name in ("expert.error", "scale", "seen"))
        self.far = starts.get("expert.far", slice(self.error.stop, self.error.stop))
        self.known = starts.get("known", slice(self.scale.stop, self.scale.stop))
        self.long = starts.get("index.long", slice(self.width, self.width))
        self.means = slice(self.smooth.start, self.known.stop)
        """All that moves towards a target at each step, indices aside."""
        self.shown = slice(self.level.stop - 1, self.scale.stop - 1)
        """Slow level, errors, and both mean differences: what the network sees relative to the scale."""
        self.needed = min(self.long.start + 2, self.width)
        """Columns before this are all that the next step needs."""
        self._eye = torch.eye(self.width, dtype=torch.float64)

    @property
    def experts(self) -> int:
        """How many there are."""
        return self.config.experts

    def units(self, part: slice) -> Tensor:
        """(N, width): the unit vectors of a part's columns."""
        units: Tensor = self._eye[part]
        return units

    @property
    def nothing(self) -> Tensor:
        """(width,): zeros."""
        return torch.zeros(self.width, dtype=torch.float64)

    def of_phase(self, phase: int) -> Tensor:
        """(2, width): the slow and the fast index of a phase."""
        index = self.units(self.index).reshape(self.season, 2, self.width)
        both: Tensor = index[phase % self.season]
        return both

    def long_of(self, phase: int) -> Tensor:
        """(width,): the long index of a phase."""
        row: Tensor = self.units(self.long)[phase % self.config.longer]
        return row

    def same_phase(self, horizon: int, seasons_back: int) -> Tensor:
        """(width,): the value of the phase of `horizon` steps ahead, so many whole seasons before its latest one."""
        ahead = (horizon - 1) % self.season
        row: Tensor = self.units(self.ring)[ahead - self.season * (1 + seasons_back)]
        return row

    def phase_mean(self, horizon: int) -> Tensor:
        """(width,): the mean of the kept values of that phase."""
        return torch.stack([self.same_phase(horizon, back) for back in range(self.config.kept)]).mean(0)

    @property
    def last(self) -> Tensor:
        """(width,): the last value."""
        row: Tensor = self.units(self.ring)[-1]
        return row
