"""The figures of a report, as SVG that stands in a page."""

import io
from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.evaluation.scoring import intervals
from models.report.findings import SeriesScore

SHOWN = 56
"""Training steps before a fan, at most."""

SHADES = {95: "#dbe7f3", 80: "#a9c8e6"}
MODEL, ACTUAL = "#1f5f9e", "#222222"


def fan_chart(score: SeriesScore) -> str:
    """One series: its last training steps, what came, and the fan that was forecast from the last training step."""
    figure, axes = _axes(4.4, 2.4)
    series, issued = score.series, score.issued
    first, steps = series.train_steps, min(series.test_steps, len(issued.fan))
    ahead = np.arange(first, first + steps)
    for level, (low, high) in reversed(intervals(issued.quantiles).items()):
        if level in SHADES:
            bounds = issued.fan[:steps, [low, high]].T
            axes.fill_between(ahead, *bounds, color=SHADES[level], linewidth=0, label=f"{level} %")
    axes.plot(ahead, issued.fan[:steps, issued.fan.shape[1] // 2], color=MODEL, linewidth=1.2, label="forecast")
    known = np.arange(max(first - SHOWN, 0), first + steps)
    axes.plot(known, series.values[known], color=ACTUAL, linewidth=0.9, label="actual")
    axes.axvline(first - 0.5, color="#999999", linewidth=0.6)
    axes.set_title(f"{series.unique_id}: relMAE {score.relative_mae:.3f}", fontsize=9)
    return _svg(figure)


def coverage_chart(coverage: Mapping[int, tuple[float, float]]) -> str:
    """Share of actuals inside of each interval, against the share that it promises."""
    figure, axes = _axes(4.4, 3.2)
    levels = list(coverage)
    axes.plot([0, 100], [0, 100], color="#999999", linewidth=0.8)
    for k, (name, marker) in enumerate((("one step ahead", "o"), ("whole horizon", "s"))):
        axes.plot(levels, [100 * coverage[level][k] for level in levels], marker=marker, label=name, linewidth=1)
    axes.set(xlabel="promised, %", ylabel="inside, %", xlim=(40, 100), ylim=(40, 100))
    axes.legend(fontsize=8)
    return _svg(figure)


def horizon_chart(errors: Mapping[str, NDArray[np.float64]], label: str) -> str:
    """Error at each step ahead, of the model and its rivals."""
    figure, axes = _axes(4.4, 3.2)
    for name, error in errors.items():
        width = 2.0 if name == label else 1.0
        axes.plot(np.arange(1, len(error) + 1), error, marker=".", linewidth=width, label=name)
    axes.set(xlabel="steps ahead", ylabel="error over the seasonal step", ylim=(0, None))
    axes.legend(fontsize=7)
    return _svg(figure)


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes


def _svg(figure: Figure) -> str:
    """The element alone, the same for the same figure."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
