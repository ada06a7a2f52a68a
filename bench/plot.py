"""The picture of the report: all services side by side, and what one observation costs as the history grows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Lines = Mapping[str, Mapping[str, float]]
BLUE, GREY, OURS = "#2a6fbb", "#777777", "hiddenstate"


def draw(plotted: Mapping[str, Lines], path: Path) -> bool:
    """Draw what there is of the sections `requests` and `growth`; False where there is neither."""
    panels = [(name, plotted[name]) for name in ("requests", "growth") if plotted.get(name)]
    if not panels:
        return False
    figure = Figure(figsize=(7 * len(panels), 5), layout="constrained")
    for axes, (name, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        (_bars if name == "requests" else _lines)(axes, lines)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x" if name == "requests" else "y", alpha=0.3)
    figure.savefig(path, dpi=110)
    return True


def _bars(axes: Axes, groups: Lines) -> None:
    """For each service a bar for each number of connections: requests per second over the bare handler's."""
    services = list(dict.fromkeys(service for ratios in groups.values() for service in ratios))
    height = 0.8 / len(groups)
    for index, (label, ratios) in enumerate(groups.items()):
        rows = [row for row, service in enumerate(services) if service in ratios]
        places = [row + (index - (len(groups) - 1) / 2) * height for row in rows]
        colours = [BLUE if services[row].startswith(OURS) else GREY for row in rows]
        shade = (index + 1) / len(groups)
        bars = axes.barh(places, [ratios[services[row]] for row in rows], height, color=colours, alpha=shade)
        axes.bar_label(bars, fmt="%.2g", fontsize=7, padding=2)
        axes.barh([0], [0], color=GREY, alpha=shade, label=label)
    axes.set_yticks(range(len(services)), services)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_title("Requests/s over the bare handler's", loc="left")
    axes.legend(frameon=False, loc="lower right")


def _lines(axes: Axes, lines: Lines) -> None:
    """Milliseconds of one request over the length of the history, a line for each kind of service."""
    for label, values in lines.items():
        axes.plot([int(length) for length in values], list(values.values()), marker="o", label=label.replace("`", ""))
    axes.set(xscale="log", yscale="log", xlabel="observations so far", ylabel="median of one request, ms")
    axes.set_title("Cost against history", loc="left")
    axes.legend(frameon=False)
