"""Scores of forecasts against actuals: the streaming protocol (predict, then observe) and the horizon protocol.

Errors are scaled by each series' own training part, so that series of any unit can be averaged. Values that were filled
in, or are missing, are never scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.data import Series
from models.evaluation.naive2 import naive2

Array = NDArray[np.float64]
NEGLIGIBLE = 1e-3
"""Of the scale: added to both errors of relMAE, so that a series that stands still does not decide the mean."""

MSIS_LEVEL = 95
"""In percent, of the interval that MSIS judges."""


@dataclass(frozen=True, slots=True)
class Issued:
    """What a forecaster issued for one series' test part of K steps.

    Attributes:
        stream: (K, Q) quantiles of each test step, issued when all steps before it were known.
        fan: (H, Q) quantiles of the first H test steps, issued at the end of the training part.
        quantiles: the Q probabilities, 0.5 in the middle; only 0.5 for a forecaster without intervals.
        alarms: steps of the test part that raised an alarm of drift; None for a forecaster that raises none.
    """

    stream: Array
    fan: Array
    quantiles: tuple[float, ...] = (0.5,)
    alarms: int | None = None


@dataclass(frozen=True, slots=True)
class StreamScores:
    """One step ahead over the test part.

    Attributes:
        relative_mae: relMAE, geometric mean over series of MAE over that of repeating the last value.
        mase: MAE over the mean absolute step of the training part.
        smape: percent.
        win_share: share of the series with a relMAE below 1, among those that have one.
        crps: twice the mean pinball loss over the quantiles, over the same scale as `mase`; None without intervals.
        coverage: share of the actuals inside the interval, by its level in percent.
        width: mean width of the interval, over the same scale, by level.
        alarms: of drift, in 1,000 steps of the test parts; None for a forecaster that raises none.
        unscaled: series whose training part does not move: they count in `smape` and `coverage` alone.
    """

    series: int
    relative_mae: float
    mase: float
    smape: float
    win_share: float
    crps: float | None
    coverage: dict[int, float]
    width: dict[int, float]
    alarms: float | None = None
    unscaled: int = 0


@dataclass(frozen=True, slots=True)
class HorizonScores:
    """The whole fan from the end of the training part, by the measures of the M4 competition.

    Attributes:
        season: m, over which the scale of `mase` and `msis` is taken, and Naive2's season; None where series differ.
        mase: MAE over the mean absolute seasonal step of the training part.
        mase_m1: the same over the mean absolute step, whatever the season.
        smape: percent.
        owa: mean of `smape` and `mase`, each over that of Naive2: below 1 is better than Naive2.
        msis: mean interval score of the 95 % interval, over the same scale as `mase`; None without intervals.
        coverage: share of the actuals inside the interval, by its level in percent.
    """

    series: int
    horizon: int
    season: int | None
    mase: float
    mase_m1: float
    smape: float
    owa: float
    msis: float | None
    coverage: dict[int, float]


@dataclass(frozen=True, slots=True)
class _Scored:
    """One series' scored steps: actuals (N,), the values known before them, quantiles (N, Q).

    Attributes:
        places: (N,) of these steps in the test part, from 0 on.
    """

    actual: Array
    before: Array
    quantiles: Array
    places: NDArray[np.intp]
    train: Array

    @property
    def median(self) -> Array:
        median: Array = self.quantiles[:, self.quantiles.shape[1] // 2]
        return median

    def naive2(self, season: int) -> Array:
        """(N,) Naive2 of these steps, from the end of the training part."""
        known = last_known(self.train)
        forecasts = naive2(known[~np.isnan(known)], int(self.places[-1]) + 1, season)
        of_steps: Array = forecasts[self.places]
        return of_steps


def stream_scores(series: Sequence[Series], issued: Sequence[Issued]) -> StreamScores:
    """Score one step ahead; NaN where no series has a step that can be scored."""
    scored = [_scored(one, its.stream) for one, its in zip(series, issued, strict=True)]
    cases = [case for case in scored if len(case.actual)]
    probabilities = issued[0].quantiles
    scale = np.array([scale_of_training(case.train, 1) for case in cases])
    mae = np.array([np.abs(case.actual - case.median).mean() for case in cases])
    naive = np.array([np.abs(case.actual - case.before).mean() for case in cases])
    relative = (mae + NEGLIGIBLE * scale) / (naive + NEGLIGIBLE * scale)
    return StreamScores(
        series=len(cases),
        relative_mae=float(np.exp(_mean(np.log(relative)))),
        mase=_mean(mae / scale),
        smape=_mean(np.array([_smape(case.actual, case.median) for case in cases])),
        win_share=_mean(np.where(np.isnan(relative), np.nan, relative < 1.0)),
        crps=_crps(cases, probabilities, scale),
        coverage={level: _coverage(cases, *bounds) for level, bounds in intervals(probabilities).items()},
        width={level: _width(cases, scale, *bounds) for level, bounds in intervals(probabilities).items()},
        alarms=_alarms(issued),
        unscaled=int(np.isnan(scale).sum()),
    )


def _alarms(issued: Sequence[Issued]) -> float | None:
    counted = [(its.alarms, len(its.stream)) for its in issued if its.alarms is not None]
    steps = sum(count for _, count in counted)
    return 1000.0 * sum(alarms for alarms, _ in counted) / steps if steps else None


def horizon_scores(
    series: Sequence[Series], issued: Sequence[Issued], season: int | Sequence[int]
) -> HorizonScores:
    """Score the fans on as many of their steps as the test part has.

    Args:
        season: of all series, or of each.
    """
    seasons = np.broadcast_to(season, len(series)).tolist()
    scored = [_scored(one, its.fan) for one, its in zip(series, issued, strict=True)]
    kept = [(case, m) for case, m in zip(scored, seasons, strict=True) if len(case.actual)]
    cases = [case for case, _ in kept]
    levels = intervals(issued[0].quantiles)
    scale = np.array([scale_of_training(case.train, m) for case, m in kept])
    steps = np.array([scale_of_training(case.train, 1) for case in cases])
    mae = np.array([np.abs(case.actual - case.median).mean() for case in cases])
    rival = [case.naive2(m) for case, m in kept]
    rival_mae = np.array([np.abs(case.actual - its).mean() for case, its in zip(cases, rival, strict=True)])
    rival_smape = np.array([_smape(case.actual, its) for case, its in zip(cases, rival, strict=True)])
    mase, smape = _mean(mae / scale), _mean(np.array([_smape(case.actual, case.median) for case in cases]))
    return HorizonScores(
        series=len(cases),
        horizon=len(issued[0].fan),
        season=seasons[0] if len(set(seasons)) == 1 else None,
        mase=mase,
        mase_m1=_mean(mae / steps),
        smape=smape,
        owa=(_ratio(smape, _mean(rival_smape)) + _ratio(mase, _mean(rival_mae / scale))) / 2.0,
        msis=_msis(cases, scale, *levels[MSIS_LEVEL]) if MSIS_LEVEL in levels else None,
        coverage={level: _coverage(cases, *bounds) for level, bounds in levels.items()},
    )


def scale_of_training(train: Array, season: int) -> float:
    """Mean absolute difference over `season` steps; over one step where that is zero; NaN where both are."""
    known = train[~np.isnan(train)]
    for lag in (season, 1):
        if len(known) > lag:
            size = float(np.abs(known[lag:] - known[:-lag]).mean())
            if size > 0.0:
                return size
    return float("nan")


def intervals(probabilities: Sequence[float]) -> dict[int, tuple[int, int]]:
    """By level in percent: the positions of the two quantiles that bound the central interval."""
    count = len(probabilities)
    return {round(100 * (1 - 2 * probabilities[k])): (k, count - 1 - k) for k in reversed(range(count // 2))}


def _scored(series: Series, quantiles: Array) -> _Scored:
    steps = min(series.test_steps, len(quantiles))
    first = series.train_steps
    actual, imputed = series.values[first : first + steps], series.imputed[first : first + steps]
    before = last_known(series.values)[first - 1 : first - 1 + steps]
    keep = ~(imputed | np.isnan(actual) | np.isnan(before))
    return _Scored(
        actual[keep], before[keep], quantiles[:steps][keep], np.flatnonzero(keep), series.values[:first]
    )


def last_known(values: Array) -> Array:
    """Each value, or where it is missing the latest one before it."""
    where = np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(len(values))))
    known: Array = values[where]
    return known


def _mean(values: Array) -> float:
    """Mean over the series that have a scale; NaN where none has."""
    finite = values[~np.isnan(values)]
    return float(finite.mean()) if len(finite) else float("nan")


def _smape(actual: Array, forecast: Array) -> float:
    size = np.abs(actual) + np.abs(forecast)
    return float((200.0 * np.divide(np.abs(actual - forecast), size, out=np.zeros_like(size), where=size > 0)).mean())


def _ratio(error: float, rival: float) -> float:
    return error / rival if rival > 0.0 else float("nan")


def _msis(cases: Sequence[_Scored], scale: Array, low: int, high: int) -> float:
    """The interval's width, and 2 / alpha for each unit that an actual lies outside (Gneiting and Raftery 2007)."""
    penalty = 2.0 / (1.0 - MSIS_LEVEL / 100.0)
    scores = []
    for case in cases:
        bottom, top = case.quantiles[:, low], case.quantiles[:, high]
        outside = np.maximum(bottom - case.actual, 0.0) + np.maximum(case.actual - top, 0.0)
        scores.append((top - bottom + penalty * outside).mean())
    return _mean(np.array(scores) / scale)


def _crps(cases: Sequence[_Scored], probabilities: Sequence[float], scale: Array) -> float | None:
    if len(probabilities) == 1:
        return None
    tau = np.array(probabilities)
    errors = [case.actual[:, None] - case.quantiles for case in cases]
    loss = np.array([np.maximum(tau * error, (tau - 1.0) * error).mean() for error in errors])
    return _mean(2.0 * loss / scale)


def _coverage(cases: Sequence[_Scored], low: int, high: int) -> float:
    inside = [(c.actual >= c.quantiles[:, low]) & (c.actual <= c.quantiles[:, high]) for c in cases]
    return _mean(np.array([one.mean() for one in inside]))


def _width(cases: Sequence[_Scored], scale: Array, low: int, high: int) -> float:
    return _mean(np.array([(c.quantiles[:, high] - c.quantiles[:, low]).mean() for c in cases]) / scale)
