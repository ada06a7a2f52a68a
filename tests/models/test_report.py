"""Reports of series for which it is known what a good forecast is."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from models.data import Series
from models.evaluation.baselines import NAIVE, UNCALIBRATED, naive
from models.evaluation.classical import ETS, THETA
from models.evaluation.scoring import HorizonScores, Issued, StreamScores, horizon_scores, stream_scores
from models.evaluation.streaming import Evaluation, Row
from models.evaluation.verdict import Verdict
from models.report.figures import coverage_chart, fan_chart
from models.report.findings import NOT_FITTED, NOT_INSTALLED, NOTHING_JUDGED, Findings, SeriesScore, actuals
from models.report.page import page, write

QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)
SEASON, TEST = 7, 14
TEXTS = re.compile(r"<text [^>]*>([^<]*)</text>")


def weekly(name: str, noise: float, rng: np.random.Generator) -> Series:
    values = 10.0 + np.resize([0.0, 1.0, 2.0, 3.0, 4.0, 9.0, 8.0], 140) + noise * rng.standard_normal(140)
    return Series(name, values, np.zeros(140, dtype=bool), None, TEST)


def knowing(series: Series, error: float) -> Issued:
    """What a forecaster issues that is wrong by so much, always in one direction, with intervals of +-1 and +-2."""
    actual = series.values[series.train_steps :]
    quantiles = actual[:, None] + error + np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    return Issued(quantiles, quantiles, QUANTILES)


@pytest.fixture
def findings() -> Findings:
    """A model that is nearly right on `a`, wrong by more than its 80 % interval on `<b>`, and useless on `c`."""
    rng = np.random.default_rng(5)
    series = [weekly(name, 0.3, rng) for name in ("a", "<b>", "c")]
    found = Findings("ours@1")
    issued = [knowing(one, error) for one, error in zip(series, (0.1, 1.5, 9.0), strict=True)]
    found.take("ours@1", series, issued, SEASON)
    found.take(NAIVE, series, naive(series, TEST), SEASON)
    return found


def test_series_are_ranked_by_their_error_over_that_of_repeating_the_last_value(findings: Findings) -> None:
    ranked = findings.by_series()
    assert [one.series.unique_id for one in ranked] == ["a", "<b>", "c"]
    assert ranked[0].relative_mae < 0.1 < ranked[1].relative_mae < 1.0 < ranked[2].relative_mae
    assert [one.coverage for one in ranked] == [1.0, 0.0, 0.0]


def test_coverage_is_the_share_of_actuals_inside_of_an_interval(findings: Findings) -> None:
    third = pytest.approx((1 / 3, 1 / 3))
    assert findings.coverage() == {80: third, 95: pytest.approx((2 / 3, 2 / 3))}


def test_errors_by_horizon_are_those_of_each_step_over_the_seasonal_step(findings: Findings) -> None:
    errors = findings.comparison().ahead()
    assert errors["ours@1"].shape == (TEST,)
    assert np.ptp(errors["ours@1"]) == pytest.approx(0.0, abs=1e-12)
    expected = horizon_scores(findings.series, findings.issued["ours@1"], SEASON).mase
    assert errors["ours@1"].mean() == pytest.approx(expected)


def test_classical_methods_find_the_week_that_repeating_the_last_value_misses(findings: Findings) -> None:
    flat = Series("flat", np.full(40, 3.0), np.zeros(40, dtype=bool), None, TEST)
    findings.take("ours@1", [flat], [knowing(flat, 0.0)], SEASON)
    findings.take(NAIVE, [flat], naive([flat], TEST), SEASON)
    comparison = findings.comparison()
    assert comparison.series == 3, "a series that does not move has no scale"
    assert comparison.mase()[ETS] < 1.2 < 4.0 < comparison.mase()[NAIVE]
    assert comparison.mase()[THETA] < 1.2
    assert comparison.ahead()[ETS].shape == (TEST,)


def test_why_classical_methods_are_not_there_is_told(findings: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    still = Findings("ours@1")
    flat = Series("flat", np.full(40, 3.0), np.zeros(40, dtype=bool), None, TEST)
    still.take("ours@1", [flat], [knowing(flat, 0.0)], SEASON)
    assert findings.comparison().lacking is None
    assert still.comparison().lacking == NOTHING_JUDGED
    monkeypatch.setattr("models.evaluation.classical._theta", unfit)
    assert findings.comparison().lacking == NOT_FITTED
    monkeypatch.setattr("models.evaluation.classical.LIBRARY", "no_such_library")
    assert findings.comparison().lacking == NOT_INSTALLED
    assert set(findings.comparison().mase()) == {"ours@1", NAIVE}


def unfit(*_: object) -> None:
    raise ValueError("as the library does for what it cannot fit")


def test_medians_that_are_the_models_are_not_drawn_over_it(findings: Findings) -> None:
    findings.take(UNCALIBRATED, findings.series, findings.issued["ours@1"], SEASON)
    assert set(findings.comparison().ahead()) == {"ours@1", NAIVE, ETS, THETA}


def test_a_fan_is_drawn_over_dates_with_a_legend(findings: Findings) -> None:
    one = findings.series[0]
    days = np.datetime64("2025-01-01", "s") + np.arange(140) * np.timedelta64(1, "D")
    dated = replace(one, timestamps=days.astype("datetime64[s]"))
    chart = fan_chart(SeriesScore(dated, findings.issued["ours@1"][0], 0.1, 0.1, 1.0))
    assert "2025-May" in chart
    assert {"95 %", "80 %", "forecast", "actual"} <= {text for text in TEXTS.findall(chart)}
    counted = fan_chart(SeriesScore(one, findings.issued["ours@1"][0], 0.1, 0.1, 1.0))
    assert "120" in TEXTS.findall(counted)


def test_coverage_below_half_is_on_the_chart() -> None:
    chart = coverage_chart({50: (0.1, 0.2), 95: (0.3, 0.9)})
    assert {"0", "20"} <= set(TEXTS.findall(chart))


def test_what_was_filled_in_is_judged_in_no_report(findings: Findings) -> None:
    series = findings.series[0]
    series.imputed[-TEST + 2] = True
    assert np.isnan(actuals(series, 5)).tolist() == [False, False, True, False, False]


def evaluation(findings: Findings) -> Evaluation:
    rows = [
        Row("sales", name, stream_scores(findings.series, issued), horizon_scores(findings.series, issued, SEASON))
        for name, issued in findings.issued.items()
    ]
    return Evaluation("ours@1", 100, rows, {})


def test_the_page_is_one_file_with_figures_tables_and_the_verdict(findings: Findings, tmp_path: Path) -> None:
    scored = evaluation(findings)
    verdict = Verdict.of(scored, "ours@1")
    text = page(scored, findings, verdict, ["1 series constant: x & y"])
    read = write(tmp_path / "run" / "report.html", text).read_text()
    assert read.count(str(verdict)) == 2
    assert "<td>&lt;b&gt;</td>" in read
    assert "x &amp; y" in read
    assert "ETS" in read
    assert "src=" not in read
    assert "href=" not in read.replace("xlink:href=\"#", "")
    figures = [f"<svg{part.split('</svg>')[0]}</svg>" for part in read.split("<svg")[1:]]
    assert len(figures) == 5
    assert all(ElementTree.fromstring(figure).tag.endswith("svg") for figure in figures)


def scores(relative_mae: float, ahead: float = 0.5, series: int = 4) -> Evaluation:
    """Of a model with these errors over those of repeating the last value."""
    stream = StreamScores(series, relative_mae, 1.0, 1.0, 0.75, None, {}, {})
    horizons = [HorizonScores(series, TEST, SEASON, mase, mase, 1.0, 1.0, None, {}) for mase in (2.0 * ahead, 2.0)]
    rows = [Row("x", name, stream, horizon) for name, horizon in zip(("m@1", NAIVE), horizons, strict=True)]
    return Evaluation("m@1", 1, rows, {})


RIVAL = "repeating the last value"
AHEAD = "over the horizon of 14 steps MASE 1.0000 for 2.0000, 50.0 % less error"
UNJUDGED = float("nan")


@pytest.mark.parametrize(
    ("relative_mae", "ahead", "is_worse", "said"),
    [
        (0.9, 0.5, False, f"m@1 is better than {RIVAL}: relMAE 0.9000, 10.0 % less error; on 3 of 4 series; {AHEAD}"),
        (1.25, 2.0, True, f"m@1 is WORSE than {RIVAL}: relMAE 1.2500, 25.0 % more error; better on 3 of 4"),
        (1.25, 2.0, True, "over the horizon of 14 steps MASE 4.0000 for 2.0000, 100.0 % more error"),
        (0.9, 1.0, True, f"m@1 is better than {RIVAL} one step ahead, and WORSE over the horizon: relMAE 0.9000, "),
        (1.0, 0.5, True, f"m@1 is WORSE than {RIVAL} one step ahead, and better over the horizon: relMAE 1.0000, "),
        (0.9, UNJUDGED, False, f"m@1 is better than {RIVAL}: relMAE 0.9000"),
        (1.1, UNJUDGED, True, f"m@1 is WORSE than {RIVAL}: relMAE 1.1000"),
        (UNJUDGED, 0.5, False, "m@1 was not scored"),
    ],
)
def test_the_verdict_says_better_or_worse_and_by_how_much(
    relative_mae: float, ahead: float, is_worse: bool, said: str
) -> None:
    verdict = Verdict.of(scores(relative_mae, ahead), "m@1")
    assert verdict.is_worse is is_worse
    assert said in str(verdict)


def test_what_was_not_scored_is_neither_better_nor_worse() -> None:
    verdict = Verdict.of(None, "m@1")
    assert not verdict.is_worse
    assert "is not known" in str(verdict)
