"""The phases of a training: each has windows and a learning rate of its own."""

import math
from dataclasses import dataclass, replace

from models.training.recipe import Schedule

WARM_UP = 50
LAST_RATE = 0.02


@dataclass(frozen=True, slots=True)
class Phase:
    """From one share of the training's length to another.

    Attributes:
        schedule: what holds in this phase.
        averaged: whether its learning rate stays as it is, and the mean of the weights over it is what is learned;
            otherwise the rate falls.
    """

    begins: float
    ends: float
    schedule: Schedule
    averaged: bool

    def done(self, spent: float, length: float) -> float:
        """The part of the phase that is over when so much of the training's length is spent; both in one unit."""
        begin, end = self.begins * length, self.ends * length
        return (spent - begin) / (end - begin)

    def rate(self, updates: int, done: float) -> float:
        """The learning rate after so many updates of the phase: a linear warm-up, then a cosine to `LAST_RATE`."""
        cosine = LAST_RATE + (1.0 - LAST_RATE) * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
        fallen = 1.0 if self.averaged else cosine
        return self.schedule.learning_rate * min(1.0, (updates + 1) / WARM_UP) * fallen

    def is_averaged_after(self, updates: int) -> bool:
        """Whether the weights after so many updates of the phase belong to the mean."""
        return self.averaged and updates > WARM_UP


def phases(schedule: Schedule) -> list[Phase]:
    """The main part, and the ending where there is one."""
    ending = schedule.ending
    if ending is None:
        return [Phase(0.0, 1.0, schedule, averaged=False)]
    turn = 1.0 - ending.share
    last = replace(
        schedule, learning_rate=ending.learning_rate, synthetic=ending.synthetic, walks=ending.walks, ending=None
    )
    return [Phase(0.0, turn, schedule, averaged=False), Phase(turn, 1.0, last, averaged=True)]
