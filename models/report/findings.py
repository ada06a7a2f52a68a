"""What a report shows, in numbers: every forecaster on every series, and what is drawn of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.data import Series
from models.evaluation import classical
from models.evaluation.scoring import Issued, intervals, scale_of_training, stream_scores

Array = NDArray[np.float64]
COMPARED = 100
"""Series that classical methods are fitted to, at most: every so-manieth."""


@dataclass(frozen=True, slots=True)
class SeriesScore:
    """The model on one series: one step ahead over its test part; see `scoring.StreamScores`."""

    series: Series
    issued: Issued
    relative_mae: float
    mase: float
    coverage: float


@dataclass(slots=True)
class Findings:
    """Collected while a model is evaluated.

    Attributes:
        label: of the model, as it is named among the forecasters.
        season: steps of one, over which errors of the horizon are scaled.
        issued: by forecaster, of all series.
    """

    label: str
    season: int
    series: list[Series] = field(default_factory=list)
    issued: dict[str, list[Issued]] = field(default_factory=dict)

    def take(self, forecaster: str, series: Sequence[Series], issued: Sequence[Issued]) -> None:
        """What one forecaster issued for the series of one collection; the model comes first."""
        if forecaster == self.label:
            self.series.extend(series)
        self.issued.setdefault(forecaster, []).extend(issued)

    def by_series(self) -> list[SeriesScore]:
        """The model on each series that could be scored, the best one first."""
        found = []
        for one, its in zip(self.series, self.issued[self.label], strict=True):
            scores = stream_scores([one], [its])
            if scores.series and not np.isnan(scores.relative_mae):
                found.append(SeriesScore(one, its, scores.relative_mae, scores.mase, scores.coverage[80]))
        return sorted(found, key=lambda score: score.relative_mae)

    def coverage(self) -> dict[int, tuple[float, float]]:
        """By level in percent: the share of actuals inside of the interval, one step ahead and of the whole horizon."""
        mine = self.issued[self.label]
        streamed = stream_scores(self.series, mine).coverage
        inside = {level: self._inside(mine, *bounds) for level, bounds in intervals(mine[0].quantiles).items()}
        return {level: (streamed[level], inside[level]) for level in sorted(inside)}

    def errors_ahead(self) -> dict[str, Array]:
        """By forecaster: (H,) mean absolute error at each step ahead, over the seasonal step of each series."""
        scaled = {name: _scaled(self.series, issued, self.season) for name, issued in self.issued.items()}
        return {name: _means(errors, axis=0) for name, errors in scaled.items()}

    def rivals(self) -> dict[str, tuple[int, float]]:
        """The model, the naive ones and classical methods: on how many series, and their MASE of the horizon there.

        Only series that all of them could forecast; empty where the library is not installed.
        """
        if not classical.is_installed():
            return {}
        chosen = range(0, len(self.series), max(1, -(-len(self.series) // COMPARED)))
        series = [self.series[k] for k in chosen]
        horizon = len(self.issued[self.label][0].fan)
        issued = {name: [its[k] for k in chosen] for name, its in self.issued.items()}
        issued |= classical.forecasts(series, horizon=horizon, season=self.season)
        errors = {name: _means(_scaled(series, its, self.season), axis=1) for name, its in issued.items()}
        whole = ~np.isnan(list(errors.values())).any(axis=0)
        if not whole.any():
            return {}
        return {name: (int(whole.sum()), float(one[whole].mean())) for name, one in errors.items()}

    def _inside(self, issued: Iterable[Issued], low: int, high: int) -> float:
        shares = []
        for one, its in zip(self.series, issued, strict=True):
            actual = actuals(one, len(its.fan))
            bounds = its.fan[: len(actual)]
            inside = (actual >= bounds[:, low]) & (actual <= bounds[:, high])
            if (~np.isnan(actual)).any():
                shares.append(inside[~np.isnan(actual)].mean())
        return float(np.mean(shares)) if shares else float("nan")


def actuals(series: Series, horizon: int) -> Array:
    """The first values of the test part; NaN where one is missing or was filled in."""
    steps = slice(series.train_steps, series.train_steps + min(horizon, series.test_steps))
    return np.where(series.imputed[steps], np.nan, series.values[steps])


def _scaled(series: Sequence[Series], issued: Sequence[Issued], season: int) -> Array:
    """(N, H) absolute errors of the medians over each series' seasonal step; NaN where nothing is judged."""
    errors = np.full((len(series), len(issued[0].fan)), np.nan)
    for row, (one, its) in enumerate(zip(series, issued, strict=True)):
        actual = actuals(one, errors.shape[1])
        scale = scale_of_training(one.values[: one.train_steps], season)
        median = its.fan[: len(actual), its.fan.shape[1] // 2]
        errors[row, : len(actual)] = np.abs(actual - median) / scale
    return errors


def _means(errors: Array, axis: int) -> Array:
    """Of what is judged; NaN where nothing is."""
    judged = (~np.isnan(errors)).sum(axis=axis)
    means: Array = np.where(judged > 0, np.nansum(errors, axis=axis) / np.maximum(judged, 1), np.nan)
    return means
