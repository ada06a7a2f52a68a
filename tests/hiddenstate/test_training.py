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
    return [str(hour) for hour in np.datetime64("2025-01-06T00:00") + 60 * np.arange(count)]


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
    stamps = np.datetime64("2025-01-06T00:00") + 15 * np.arange(900)
    quarter = written(tmp_path / "quarter.csv", stamps.tolist(), 96)
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


def test_newer_data_make_the_next_version_and_the_same_command_none(tmp_path: Path) -> None:
    sales = written(tmp_path / "sales.csv", days(150), 7, rows=slice(140))
    command = ("train", str(sales), "--updates", "1", *SMALL)
    first = run(*command, cwd=tmp_path)
    assert first.code == ExitCode.DONE, first.err
    again = run(*command, cwd=tmp_path)
    assert (again.code, again.out) == (ExitCode.DONE, "already published as sales@1: trained/sales/1\n")
    written(sales, days(150), 7)
    newer = run(*command, cwd=tmp_path)
    assert newer.code == ExitCode.DONE, newer.err
    assert "the training of sales@1 in runs/sales is ended: this one begins anew there" in newer.err
    assert "published sales@2: trained/sales/2" in newer.out
    others = run(*command, "--learning-rate", "0.001", cwd=tmp_path)
    assert "published sales@3: trained/sales/3" in others.out
    renamed = run(*command, "--learning-rate", "0.001", "--name", "shops", "--run", "runs/sales", cwd=tmp_path)
    assert "published shops@1: trained/shops/1" in renamed.out, renamed.err


def test_a_model_trained_further_is_told_beside_the_one_that_it_began_with(sales: Path) -> None:
    further = ("train", str(sales), "--from", "daily", "--updates", "1", "--unroll", "30", *SHORT)
    trained = run(*further, "--patience", "0", cwd=sales.parent)
    assert trained.code == ExitCode.DONE, trained.err
    assert "the weights kept are those after update 1 of 1" in trained.err
    published, gain, verdict = trained.out.splitlines()[-3:]
    assert published == "published sales@1: trained/sales/1"
    assert " % less error than daily@2: relMAE 0." in gain or " % more error than daily@2: relMAE 0." in gain
    assert "; over the horizon MASE " in gain
    assert verdict.startswith("sales@1 is ")
    assert any(line.split()[1:3] == ["from", "daily@2"] for line in trained.out.splitlines())
    assert gain in (sales.parent / "trained/sales/1/report.html").read_text()
    assert "| from daily@2 |" in (sales.parent / "trained/sales/1/MODEL_CARD.md").read_text()


def test_the_weights_of_from_are_published_only_when_told_to(sales: Path) -> None:
    wild = ("train", str(sales), "--from", "daily", "--updates", "1", "--unroll", "30", *SHORT, "--learning-rate", "9")
    refused = run(*wild, cwd=sales.parent)
    assert refused.code == ExitCode.NEGATIVE
    kept = "the weights kept are those of daily@2, unchanged: none of 1 updates had less error on what validates"
    assert kept in refused.err
    assert "why:  its weights are those of daily@2, unchanged" in refused.err
    assert not (sales.parent / "trained").exists()
    published = run(*wild, "--publish-anyway", cwd=sales.parent)
    assert "published sales@1" in published.out, published.err
    assert "sales@1 has 0.0 % more error than daily@2" in published.out


def test_a_file_that_is_named_as_a_shipped_model_gives_no_name(tmp_path: Path) -> None:
    daily = written(tmp_path / "daily.csv", days(150), 7)
    command = ("train", str(daily), "--updates", "1", *SMALL)
    refused = run(*command, cwd=tmp_path)
    assert refused.code == ExitCode.USAGE
    assert "daily is a shipped model: a newer version of it would take its place" in refused.err
    assert "--name my-daily, or --name daily if that is meant" in refused.err
    assert "published daily@3" in run(*command, "--name", "daily", cwd=tmp_path).out
