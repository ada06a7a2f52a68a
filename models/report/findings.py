"""What a report shows, in numbers: every forecaster on every series, and what is drawn of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.data import Series
from models.evaluation import baselines, classical
from models.evaluation.scoring import Issued, intervals, scale_of_training, stream_scores

Array = NDArray[np.float64]
COMPARED = 100
"""Series that classical methods are fitted to, at most: every so-manieth."""

NOT_INSTALLED = f"ETS and Theta are compared where {classical.LIBRARY} is installed; here it is not"
NOT_FITTED = f"ETS and Theta ({classical.LIBRARY}) could not be fitted to any of the series"
NOTHING_JUDGED = "ETS and Theta are not compared: no series has a horizon whose error can be scaled"


@dataclass(frozen=True, slots=True)
class SeriesScore:
    """The model on one series: one step ahead over its test part; see `scoring.StreamScores`."""

    series: Series
    issued: Issued
    relative_mae: float
    mase: float
    coverage: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Errors of the horizon, on series that all forecasters could forecast.

    Attributes:
        errors: by forecaster, (N, H) absolute errors of the medians over the seasonal step; NaN where none is judged.
        lacking: why the classical methods are not among the forecasters; None where they are.
    """

    errors: dict[str, Array]
    lacking: str | None

    @property
    def series(self) -> int:
        return max(map(len, self.errors.values()), default=0)

    def ahead(self) -> dict[str, Array]:
        """By forecaster: (H,) mean error at each step ahead."""
        return {name: _means(errors, axis=0) for name, errors in self.errors.items()}

    def mase(self) -> dict[str, float]:
        """By forecaster, the least first: MASE of the horizon, as `scoring.HorizonScores` has it."""
        found = {name: float(np.mean(_means(errors, axis=1))) for name, errors in self.errors.items() if len(errors)}
        return dict(sorted(found.items(), key=lambda item: item[1]))


@dataclass(slots=True)
class Findings:
    """Collected while a model is evaluated.

    Attributes:
        label: of the model, as it is named among the forecasters.
        seasons: steps of one, over which each series' errors of the horizon are scaled.
        issued: by forecaster, of all series.
    """

    label: str
    series: list[Series] = field(default_factory=list)
    seasons: list[int] = field(default_factory=list)
    issued: dict[str, list[Issued]] = field(default_factory=dict)

    def take(self, forecaster: str, series: Sequence[Series], issued: Sequence[Issued], season: int) -> None:
        """What one forecaster issued for the series of one collection; the model comes first."""
        if forecaster == self.label:
            self.series.extend(series)
            self.seasons.extend([season] * len(series))
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

    def comparison(self) -> Comparison:
        """The model beside the naive forecasts and, where they can be fitted, beside the classical methods."""
        errors = {
            name: _scaled(self.series, issued, self.seasons)
            for name, issued in self.issued.items()
            if name != baselines.UNCALIBRATED  # its medians are the model's
        }
        judged = _judged(errors)
        if not classical.is_installed() or not len(judged):
            return Comparison(_of(errors, judged), NOT_INSTALLED if len(judged) else NOTHING_JUDGED)
        chosen = judged[:: -(-len(judged) // COMPARED)]
        series, seasons = [self.series[k] for k in chosen], [self.seasons[k] for k in chosen]
        fitted = classical.forecasts(series, horizon=len(self.issued[self.label][0].fan), seasons=seasons)
        beside = {name: _scaled(series, issued, seasons) for name, issued in fitted.items()}
        compared = _judged(beside)
        if not len(compared):
            return Comparison(_of(errors, judged), NOT_FITTED)
        return Comparison(_of(_of(errors, chosen) | beside, compared), None)

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


def _judged(errors: Mapping[str, Array]) -> NDArray[np.intp]:
    """The series for which every forecaster has an error."""
    return np.flatnonzero(np.all([(~np.isnan(of_one)).any(axis=1) for of_one in errors.values()], axis=0))


def _of(errors: Mapping[str, Array], chosen: NDArray[np.intp]) -> dict[str, Array]:
    return {name: of_one[chosen] for name, of_one in errors.items()}


def _scaled(series: Sequence[Series], issued: Sequence[Issued], seasons: Sequence[int]) -> Array:
    """(N, H) absolute errors of the medians over each series' seasonal step; NaN where nothing is judged."""
    errors = np.full((len(series), len(issued[0].fan)), np.nan)
    for row, (one, its, season) in enumerate(zip(series, issued, seasons, strict=True)):
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
