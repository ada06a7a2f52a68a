"""Forecast against actual as a PNG picture, with the 80 % band."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from hiddenstate.demo.replay import Day

INK, BLUE = "#222222", "#2a6fbb"


def draw(days: Sequence[Day], title: str, path: Path) -> None:
    """Write the picture to `path`, over one that is there."""
    with mpl.rc_context({"date.converter": "concise"}):
        figure = _figure(days, title)
        figure.savefig(path, dpi=120)


def _figure(days: Sequence[Day], title: str) -> Figure:
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots()
    dates = np.array([day.date for day in days], dtype="datetime64[D]")
    lower, upper = [day.lower for day in days], [day.upper for day in days]
    axes.fill_between(dates, lower, upper, color=BLUE, alpha=0.22, linewidth=0, label="80 % interval, one day ahead")
    axes.plot(dates, [day.median for day in days], color=BLUE, linewidth=1.6, label="forecast the day before")
    axes.plot(dates, [day.actual for day in days], "o", color=INK, markersize=3, label="actual")
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.margins(x=0.01)
    axes.legend(frameon=False, ncols=3, loc="upper left")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.12 * (high - low))  # room for the legend
    return figure
