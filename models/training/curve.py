"""The training curve: its points, what a checkpoint keeps of it, and its picture."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp, fsum, inf, isnan, log, nan
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Point:
    """The training curve at one validation; `relative_error` is streaming relMAE by source."""

    update: int
    seconds: float
    loss: float
    relative_error: dict[str, float]

    @property
    def score(self) -> float:
        """The geometric mean of the relative errors; NaN where nothing validates."""
        errors = self.relative_error.values()
        return exp(fsum(map(log, errors)) / len(errors)) if errors else nan


@dataclass(slots=True)
class Progress:
    """Where a training stands, as it is kept in a checkpoint.

    Attributes:
        phase: which of the training's phases it is in; it began after the update `began`.
        best: the weights at the validation with the least error; empty where they are not asked for.
    """

    update: int = 0
    seconds: float = 0.0
    curve: list[Point] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    phase: int = 0
    began: int = 0

    @property
    def best_point(self) -> Point:
        """The validation with the least error, the first of several; the last one where nothing validates."""
        scored = [point for point in self.curve if not isnan(point.score)]
        return min(scored, key=lambda point: point.score) if scored else self.curve[-1]

    @property
    def stale(self) -> int:
        """Validations since the one with the least error."""
        return len(self.curve) - 1 - self.curve.index(self.best_point)


class Mean:
    """A running mean over about the last hundred values."""

    def __init__(self) -> None:
        self.value = float("nan")

    def add(self, value: float) -> None:
        self.value = value if isnan(self.value) else self.value + 0.01 * (value - self.value)


def training_curve(curve: Sequence[Point], path: Path, ending: int | None = None) -> Path:
    """Draw the loss and the streaming relMAE of every source over the updates; returns `path`.

    Args:
        ending: the update after which the ending began: its losses are of other windows than those before.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    updates = [point.update for point in curve]
    turn = inf if ending is None else ending
    for part in ([p for p in curve if p.update <= turn], [p for p in curve if p.update > turn]):
        left.plot([point.update for point in part], [point.loss for point in part], marker=".", color="C0")
    if ending is not None:
        for axes in (left, right):
            axes.axvline(ending, color="grey", linewidth=0.8, linestyle=":")
        place = {"xycoords": ("data", "axes fraction"), "ha": "right", "fontsize": "small"}
        left.annotate("ending, with other windows ", (ending, 0.94), **place)
    left.set(xlabel="updates", ylabel="mean pinball loss (scales)", title="Training")
    for name in curve[0].relative_error:
        right.plot(updates, [point.relative_error[name] for point in curve], marker=".", label=name)
    right.axhline(1.0, color="grey", linewidth=0.8)
    right.set(xlabel="updates", ylabel="relMAE (1 = repeating the last value)", title="Validation, one step ahead")
    if curve[0].relative_error:
        right.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
