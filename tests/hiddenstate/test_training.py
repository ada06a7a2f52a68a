"""train, run as a user runs it: what it refuses before it begins, and what becomes of a training that was published."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from hiddenstate.cli.faults import ExitCode
from tests.hiddenstate.command import run

SHORT = ("--synthetic-series", "20", "--chunks", "1", "--threads", "1")
SMALL = (*SHORT, "--hidden", "8", "--unroll", "30")


def written(path: Path, times: Sequence[object], season: int, *, rows: slice = slice(None)) -> Path:
    """A file of one series that follows a season, with a little noise; its name is the path's."""
    noise = np.random.default_rng(3).standard_normal(len(times))
    shape = np.resize(np.random.default_rng(1).uniform(50.0, 150.0, season), len(times))
    lines = [f"{time},{value:.3f}" for time, value in zip(times, shape + noise, strict=True)]
    path.write_text("ds,y\n" + "\n".join(lines[rows]) + "\n")
    return path


def days(count: int) -> list[date]:
    return [date(2025, 1, 6) + timedelta(days=day) for day in range(count)]


def hours(count: int) -> list[str]:
    return np.datetime_as_string(np.datetime64("2025-01-06T00") + np.arange(count), unit="m").tolist()


BUSINESS_DAYS = [day for day in days(300) if day.weekday() < 5]


@pytest.fixture
def sales(tmp_path: Path) -> Path:
    return written(tmp_path / "sales.csv", days(150), 7)


def test_a_model_of_another_frequency_is_not_trained_further(tmp_path: Path) -> None:
    of_hours = written(tmp_path / "hour.csv", hours(300), 24)
    refused = run("train", str(of_hours), "--from", "daily", cwd=tmp_path)
    assert refused.code == ExitCode.USAGE
    assert "--from daily@2 cannot be used for h series" in refused.err
    assert "it is for D series, with a season of 7 steps" in refused.err
    assert "--from hourly, or leave --from out" in refused.err
    of_business_days = written(tmp_path / "biz.csv", BUSINESS_DAYS, 5)
    refused = run("train", str(of_business_days), "--from", "daily", cwd=tmp_path)
    assert refused.code == ExitCode.USAGE
    assert "leave --from out: no shipped model is for B" in refused.err
    assert not (tmp_path / "runs").exists()


def test_quarters_of_an_hour_have_the_season_of_a_day(tmp_path: Path) -> None:
    stamps = np.datetime_as_string(np.datetime64("2025-01-06T00:00") + 15 * np.arange(900)).tolist()
    quarter = written(tmp_path / "quarter.csv", stamps, 96)
    trained = run("train", str(quarter), "--updates", "1", *SMALL, cwd=tmp_path)
    assert trained.code == ExitCode.DONE, trained.err
    assert "15min series, by the recipe hourly; a season has 96 steps, a day" in trained.err
    assert "quarter@1 is better than repeating the last value: relMAE 0." in trained.out.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--freq", "M"), "month end is ME, month start is MS"),
        (("--freq", "0h"), "--freq cannot be used"),
        (("--minutes", "0"), "--minutes 0 is no length"),
        (("--minutes", "-1"), "--minutes -1 is no length"),
        (("--minutes", "nan"), "--minutes nan is no length"),
    ],
)
def test_a_frequency_or_a_length_that_there_is_not_is_refused(sales: Path, options: Sequence[str], told: str) -> None:
    refused = run("train", str(sales), *options, cwd=sales.parent)
    assert refused.code == ExitCode.USAGE
    assert told in refused.err
    assert len(refused.err.splitlines()) == 3
