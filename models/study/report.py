"""The report of the study of unroll lengths: a table and a picture."""

from pathlib import Path

from matplotlib.figure import Figure

from models.study.unroll import Study


def write_report(study: Study, folder: Path) -> tuple[Path, Path]:
    """Write the study's table, `unroll.md`, and its picture, `unroll.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = _picture(study, folder / "unroll.png")
    table = folder / "unroll.md"
    table.write_text("\n".join(_table(study)) + "\n")
    return table, picture


def _table(study: Study) -> list[str]:
    lines = ["# What the unroll length buys", "", "Made by `hiddenstate study unroll`.", ""]
    lines += ["![accuracy, memory and time by unroll length](unroll.png)", ""]
    lines += [
        "Memory is what one update keeps for its backward pass, counted from the tensors that autograd saves. It is",
        "the same for carried and fresh state. Seconds are those of the whole training. Another processor rounds",
        "differently, which moves scores in the third digit, and those of lengths that only just learn in the second.",
        "",
    ]
    for task in study.tasks:
        lines += [f"## {task.title}", "", f"{task.explanation}", ""]
        lines += [f"| unroll | {task.measure}, fresh | {task.measure}, carried | memory (KiB) | updates | seconds |"]
        lines += ["| ---: | ---: | ---: | ---: | ---: | ---: |"]
        found = {(o.length, o.carried): o for o in study.outcomes if o.task == task.name}
        for length in sorted({length for length, _ in found}):
            fresh, carried = found[length, False], found[length, True]
            lines.append(
                f"| {length} | {fresh.score:.3f} | {carried.score:.3f} | {carried.saved_bytes / 1024:,.1f} | "
                f"{carried.updates:,} | {carried.seconds:.1f} |"
            )
        lines.append("")
    return lines[:-1]


def _picture(study: Study, path: Path) -> Path:
    """Draw score, memory and time over the unroll length, a row for each task; returns `path`."""
    figure = Figure(figsize=(12, 3.6 * len(study.tasks)), layout="constrained")
    for task, axes in zip(study.tasks, figure.subplots(len(study.tasks), 3, squeeze=False), strict=True):
        score, memory, seconds = axes
        for carried, label in ((False, "fresh state"), (True, "carried state")):
            chosen = [o for o in study.outcomes if o.task == task.name and o.carried == carried]
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
    figure.savefig(path, dpi=110)
    return path
