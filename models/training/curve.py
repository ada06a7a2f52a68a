"""The training curve: its points, what a checkpoint keeps of it, and its picture."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Point:
    """The training curve at one validation; `relative_error` is streaming relMAE by source."""

    update: int
    seconds: float
    loss: float
    relative_error: dict[str, float]


@dataclass(slots=True)
class Progress:
    """Where a training stands, as it is kept in a checkpoint."""

    update: int = 0
    seconds: float = 0.0
    curve: list[Point] = field(default_factory=list)


def training_curve(curve: Sequence[Point], path: Path) -> Path:
    """Draw the loss and the streaming relMAE of every source over the updates; returns `path`."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    updates = [point.update for point in curve]
    left.plot(updates, [point.loss for point in curve], marker=".")
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
