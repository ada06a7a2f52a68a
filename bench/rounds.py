"""Loads in interleaved rounds: what is compared ran beside each other, so that the machine's moods cancel out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench.load import Load, Target


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median over rounds, and the extremes."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Ratio:
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.lowest:.3g}-{self.highest:.3g})"


@dataclass(slots=True)
class Results:
    """Loads by target's name and number of connections, one for each round."""

    loads: dict[tuple[str, int], list[Load]] = field(default_factory=dict)

    def add(self, name: str, connections: int, load: Load) -> None:
        self.loads.setdefault((name, connections), []).append(load)

    def has(self, name: str, connections: int) -> bool:
        return (name, connections) in self.loads

    def median(self, name: str, connections: int, of: Callable[[Load], float]) -> float:
        """Over the rounds. Raises KeyError: there was no such load."""
        return statistics.median(map(of, self.loads[name, connections]))

    def rate_ratio(self, name: str, to: str, connections: int) -> Ratio:
        """Requests per second over those of another target in the same round. Raises KeyError."""
        return self.ratio((name, connections), (to, connections), lambda load, other: load.rate / other.rate)

    def ratio(self, this: tuple[str, int], that: tuple[str, int], of: Callable[[Load, Load], float]) -> Ratio:
        """Of two loads of each round that both have. Raises KeyError."""
        # Not strict: a run that was cut short has its last round in part.
        return Ratio.of([of(a, b) for a, b in zip(self.loads[this], self.loads[that], strict=False)])

    @property
    def errors(self) -> int:
        return sum(load.errors for loads in self.loads.values() for load in loads)


def interleaved(
    targets: Mapping[str, Target], connections: Sequence[int], *, rounds: int, seconds: int, results: Results
) -> Iterator[str]:
    """Load all targets in turn, every second round in reverse; adds to `results`, and yields a line for each load."""
    for target in targets.values():
        target.load(max(connections), 1)  # what is opened and compiled at first is no part of what is measured
    for number in range(rounds):
        for count in connections:
            for name in list(targets)[:: -1 if number % 2 else 1]:
                load = targets[name].load(count, seconds)
                results.add(name, count, load)
                yield f"round {number + 1}, {count:3d} connections: {name:11s} {load}"
