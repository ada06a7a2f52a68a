"""The figures of a report, as SVG that stands in a page."""

import io
from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from models.data import Series
from models.evaluation.scoring import intervals
from models.report.findings import SeriesScore

SHOWN = 56
"""Training steps before a fan, at most."""

SHADES = {95: "#dbe7f3", 80: "#a9c8e6"}
MODEL, ACTUAL = "#1f5f9e", "#222222"
OTHERS = ("#d9822b", "#3c9a4e", "#b2434a", "#8a6bbf", "#7a5c4a", "#cc79a7")
"""Of forecasters beside the model."""

FAR = 4.0
"""Times the model's greatest error: a rival's error beyond would leave no room for the others on a linear axis."""


def fan_chart(score: SeriesScore) -> str:
    """One series: its last training steps, what came, and the fan that was forecast from the last training step."""
    figure, axes = _axes(4.4, 2.8)
    series, issued = score.series, score.issued
    first, steps = series.train_steps, min(series.test_steps, len(issued.fan))
    begin = max(first - SHOWN, 0)
    when = _times(series)[begin : first + steps]
    ahead = when[first - begin :]
    for level, (low, high) in reversed(intervals(issued.quantiles).items()):
        if level in SHADES:
            bounds = issued.fan[:steps, [low, high]].T
            axes.fill_between(ahead, *bounds, color=SHADES[level], linewidth=0, label=f"{level} %")
    axes.plot(ahead, issued.fan[:steps, issued.fan.shape[1] // 2], color=MODEL, linewidth=1.2, label="forecast")
    axes.plot(when, series.values[begin : first + steps], color=ACTUAL, linewidth=0.9, label="actual")
    axes.axvline(ahead[0] - (ahead[0] - when[first - begin - 1]) / 2, color="#999999", linewidth=0.6)
    if series.timestamps is not None:
        locator = AutoDateLocator(maxticks=7)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.set_title(f"{series.unique_id}: relMAE {score.relative_mae:.3f}", fontsize=9)
    figure.legend(loc="outside lower center", ncols=4, fontsize=7, frameon=False)
    return _svg(figure)


def coverage_chart(coverage: Mapping[int, tuple[float, float]]) -> str:
    """Share of actuals inside of each interval, against the share that it promises."""
    figure, axes = _axes(4.4, 3.6)
    levels = list(coverage)
    axes.plot([0, 100], [0, 100], color="#999999", linewidth=0.8)
    for k, (name, marker) in enumerate((("one step ahead", "o"), ("whole horizon", "s"))):
        axes.plot(levels, [100 * coverage[level][k] for level in levels], marker=marker, label=name, linewidth=1)
    axes.set(xlabel="promised, %", ylabel="inside, %", xlim=(0, 102), ylim=(0, 102))
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return _svg(figure)


def horizon_chart(errors: Mapping[str, NDArray[np.float64]], label: str) -> str:
    """Error at each step ahead, of the model and its rivals."""
    figure, axes = _axes(4.4, 3.6)
    axes.set_prop_cycle(color=OTHERS)
    for name, error in errors.items():
        style = {"color": MODEL, "linewidth": 2.4, "zorder": 3} if name == label else {"linewidth": 1.0}
        axes.plot(np.arange(1, len(error) + 1), error, marker=".", label=name, **style)
    axes.set(xlabel="steps ahead", ylabel="error over the seasonal step")
    shown = np.concatenate([error[~np.isnan(error)] for error in errors.values()])
    if len(shown) and shown.min() > 0.0 and shown.max() > FAR * np.nanmax(errors[label]):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{error:g}"))
    else:
        axes.set_ylim(0.0, None)
    figure.legend(loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    return _svg(figure)


def _times(series: Series) -> NDArray[Any]:
    """(T,) dates and times, or steps where the series has none."""
    return np.arange(len(series), dtype=np.float64) if series.timestamps is None else series.timestamps


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
