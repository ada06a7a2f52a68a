"""Scores as rows of text, the same on a terminal and on a page."""

from math import isnan

from models.evaluation.scoring import HorizonScores, StreamScores

MISSING = "-"
"""In place of a figure that there is not."""

STREAM = ("series", "relMAE", "MASE", "CRPS", "in 80 %", "in 95 %", "alarms")
HORIZON = ("season", "MASE", "MASE m=1", "sMAPE", "OWA", "MSIS 95", "in 80 %", "in 95 %")


def of_stream(scores: StreamScores) -> tuple[str, ...]:
    """Under the headings STREAM; alarms are of drift, in 1,000 steps."""
    figures = [_figure(value) for value in (scores.relative_mae, scores.mase, scores.crps)]
    return (str(scores.series), *figures, *_inside(scores.coverage), _figure(scores.alarms, 2))


def of_horizon(scores: HorizonScores) -> tuple[str, ...]:
    """Under the headings HORIZON."""
    season = MISSING if scores.season is None else str(scores.season)
    errors = [_figure(value) for value in (scores.mase, scores.mase_m1, scores.smape, scores.owa, scores.msis)]
    return (season, *errors, *_inside(scores.coverage))


def _figure(value: float | None, digits: int = 4) -> str:
    return MISSING if value is None or isnan(value) else f"{value:.{digits}f}"


def _inside(coverage: dict[int, float]) -> list[str]:
    shares = [coverage.get(level) for level in (80, 95)]
    return [MISSING if share is None or isnan(share) else f"{100 * share:.1f} %" for share in shares]
