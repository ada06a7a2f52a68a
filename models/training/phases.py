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
        ending: whether its learning rate stays, and the mean of the weights after the warm-up is what is learned;
            otherwise the rate falls.
    """

    begins: float
    ends: float
    schedule: Schedule
    ending: bool

    def done(self, spent: float, length: float) -> float:
        """The part of the phase that is over when so much of the training's length is spent; both in one unit."""
        begin, end = self.begins * length, self.ends * length
        return (spent - begin) / (end - begin)

    def rate(self, updates: int, done: float) -> float:
        """The learning rate after so many updates of the phase: a linear warm-up, then in the main part a cosine."""
        cosine = LAST_RATE + (1.0 - LAST_RATE) * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
        fallen = 1.0 if self.ending else cosine
        return self.schedule.learning_rate * min(1.0, (updates + 1) / WARM_UP) * fallen

    def is_averaged(self, updates: int, done: float) -> bool:
        """Whether the weights after so many updates belong to the mean: those of the second half, if it is short."""
        return self.ending and (updates > WARM_UP or done > 0.5)


def phases(schedule: Schedule) -> list[Phase]:
    """The main part, and the ending where there is one."""
    last = schedule.ending
    if last is None:
        return [Phase(0.0, 1.0, schedule, ending=False)]
    turn, rate = 1.0 - last.share, last.rate * schedule.learning_rate
    other = replace(schedule, learning_rate=rate, synthetic=last.synthetic, walks=last.walks, ending=None)
    return [Phase(0.0, turn, schedule, ending=False), Phase(turn, 1.0, other, ending=True)]
