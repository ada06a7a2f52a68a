"""Pictures: the training curve, and what the unroll length buys."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from models.training import Point


def training_curve(curve: "Sequence[Point]", path: Path) -> Path:
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
