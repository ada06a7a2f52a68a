"""The phases of a training: each has windows and a learning rate of its own, which rises and then falls."""

import math
from dataclasses import dataclass

from models.training.recipe import Schedule

WARM_UP = 50
LAST_RATE = 0.02


@dataclass(frozen=True, slots=True)
class Phase:
    """From one share of the training's length to another.

    Attributes:
        peak: the highest learning rate.
        real_only: whether no synthetic windows are drawn.
    """

    begins: float
    ends: float
    peak: float
    real_only: bool

    def done(self, spent: float, length: float) -> float:
        """The part of the phase that is over when so much of the training's length is spent; both in one unit."""
        begin, end = self.begins * length, self.ends * length
        return (spent - begin) / (end - begin)

    def rate(self, updates: int, done: float) -> float:
        """The learning rate after so many updates of the phase: a linear warm-up, then a cosine to `LAST_RATE`."""
        cosine = LAST_RATE + (1.0 - LAST_RATE) * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
        return self.peak * min(1.0, (updates + 1) / WARM_UP) * cosine


def phases(schedule: Schedule) -> list[Phase]:
    """The main part, and the ending where there is one."""
    turn = 1.0 - schedule.ending
    main = Phase(0.0, turn, schedule.learning_rate, real_only=False)
    return [main, Phase(turn, 1.0, schedule.ending_rate, real_only=True)] if schedule.ending else [main]
