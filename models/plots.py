"""Pictures: the training curve, and what the unroll length buys."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from models.study import Outcome, Task
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


def unroll_study(outcomes: "Sequence[Outcome]", tasks: "Sequence[Task]", path: Path) -> Path:
    """Draw score, memory and time over the unroll length, a row for each task; returns `path`."""
    figure = Figure(figsize=(12, 3.6 * len(tasks)), layout="constrained")
    for task, axes in zip(tasks, figure.subplots(len(tasks), 3, squeeze=False), strict=True):
        score, memory, seconds = axes
        for carried, label in ((False, "fresh state"), (True, "carried state")):
            chosen = [o for o in outcomes if o.task == task.name and o.carried == carried]
            lengths = [o.length for o in chosen]
            score.plot(lengths, [o.score for o in chosen], marker="o", label=label)
            memory.plot(lengths, [o.saved_bytes / 1024 for o in chosen], marker="o", label=label)
            seconds.plot(lengths, [o.seconds for o in chosen], marker="o", label=label)
        score.axhline(task.chance, color="grey", linewidth=0.8)
        score.set(title=task.title, ylabel=task.measure, xscale="log")
        memory.set(title="Memory of one update", ylabel="KiB kept for the backward pass")
        seconds.set(title="Time of the training", ylabel="seconds", xscale="log")
        for axis in axes:
            axis.set(xlabel="unroll length")
            # on the memory's linear axis the short lengths lie too close together to be named
            named = [length for length in lengths if axis is not memory or 8 * length >= max(lengths)]
            axis.set_xticks(named, [str(length) for length in named])
            axis.minorticks_off()
        score.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path
