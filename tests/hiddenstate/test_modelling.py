"""train and evaluate, run as a user runs them on a file of his own."""

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from hiddenstate.cli.faults import ExitCode
from tests.hiddenstate.command import run

SMALL = ("--synthetic-series", "20", "--hidden", "8", "--chunks", "1", "--threads", "1")


@pytest.fixture(scope="module")
def sales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stores whose sales follow the week; the last 14 days are the test part."""
    path = tmp_path_factory.mktemp("data") / "sales.csv"
    lines = ["unique_id,ds,y,test"]
    first = date(2025, 1, 1)
    for store in ("store-1", "store-2"):
        for day in range(150):
            value = 100 + 20 * (day % 7 >= 5) + (7 * day) % 11
            lines.append(f"{store},{first + timedelta(days=day)},{value},{str(day >= 136).lower()}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_trained_model_is_published_and_can_be_evaluated(sales: Path, tmp_path: Path) -> None:
    trained = run("train", str(sales), "--updates", "2", "--unroll", "30", *SMALL, "--state", "float16", cwd=tmp_path)
    assert trained.code == ExitCode.DONE, trained.err
    assert "update 2 of 2, 0 s left: loss " in trained.err
    *_, published, verdict = trained.out.splitlines()
    assert published == "published sales@1: trained/sales/1"
    assert verdict.startswith("sales@1 is better than repeating the last value: relMAE 0.")
    assert (tmp_path / "runs/sales/curve.png").is_file()
    report = (tmp_path / "trained/sales/1/report.html").read_text()
    assert report.count(verdict) == 2
    assert report.count("<svg") == 4
    evaluated = run("evaluate", str(sales), "--models-dir", "trained", "--model", "sales", "--json", cwd=tmp_path)
    assert evaluated.code == ExitCode.DONE, evaluated.err
    scores = json.loads(evaluated.out)
    assert scores["model"] == "sales@1"
    assert {row["forecaster"] for row in scores["rows"]} >= {"sales@1", "naive", "seasonal naive"}


def test_what_is_worse_than_repeating_the_last_value_is_published_only_when_told_to(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    days = np.datetime64("2025-01-01") + np.arange(200)
    lines = [f"{day},{value}" for day, value in zip(days, rng.standard_normal(200).cumsum(), strict=True)]
    (tmp_path / "walk.csv").write_text("ds,y\n" + "\n".join(lines) + "\n")
    small = ("train", "walk.csv", "--updates", "1", "--unroll", "20", *SMALL)
    refused = run(*small, cwd=tmp_path)
    assert refused.code == ExitCode.NEGATIVE
    assert "D series, by the recipe daily; a season has 7 steps" in refused.err
    assert "walk@1 is WORSE than repeating the last value" in refused.err
    assert ": relMAE 1." in refused.err
    assert not (tmp_path / "trained").exists()
    assert "walk@1 is WORSE" in (tmp_path / "runs/walk/report.html").read_text()
    published = run(*small, "--publish-anyway", cwd=tmp_path)
    assert published.code == ExitCode.DONE, published.err
    assert "resumed after 1 updates" in published.err
    assert "WORSE" in published.out.splitlines()[-1]
    assert (tmp_path / "trained/walk/1/model.json").is_file()


def test_days_of_a_zone_are_trained_on_and_scored(tmp_path: Path) -> None:
    zone, first = ZoneInfo("Europe/Berlin"), datetime(2025, 1, 1)
    days = [(first + timedelta(days=day)).replace(tzinfo=zone).isoformat() for day in range(150)]
    (tmp_path / "shop.csv").write_text("ds,y\n" + "".join(f"{day},{k % 7}\n" for k, day in enumerate(days)))
    small = ("--updates", "1", "--unroll", "20", "--publish-anyway", *SMALL)
    refused = run("train", "shop.csv", *small, cwd=tmp_path)
    assert refused.code == ExitCode.USAGE
    assert "next: name that zone: --timezone Europe/Berlin" in refused.err
    trained = run("train", "shop.csv", "--timezone", "Europe/Berlin", *small, cwd=tmp_path)
    assert trained.code == ExitCode.DONE, trained.err
    assert "1 series of 150 steps" in trained.err
    scored = ("--model", "shop", "--models-dir", "trained", "--test-steps", "14", "--timezone", "Europe/Berlin")
    assert run("evaluate", "shop.csv", *scored, cwd=tmp_path).code == ExitCode.DONE


@pytest.mark.parametrize(("patience", "card"), [("0", "0 % in the last 50 % of the training"), ("1", None)])
def test_a_recipe_has_its_ending_unless_patience_ends_the_training(
    sales: Path, tmp_path: Path, patience: str, card: str | None
) -> None:
    ending = "[training.ending]\nshare = 0.5\nrate = 0.5\nsynthetic = 0.0\nwalks = 0.0\n"
    source = f'[[source]]\nfile = "{sales.name}"\n'
    (tmp_path / "shops.toml").write_text(f'freqs = ["D"]\n[training]\nunroll = 20\n{ending}{source}')
    options = ("--recipe", "shops.toml", "--updates", "2", "--patience", patience)
    trained = run("train", str(sales.parent), *options, *SMALL, cwd=tmp_path)
    assert trained.code == ExitCode.DONE, trained.err
    text = (tmp_path / "trained/shops/1/MODEL_CARD.md").read_text()
    assert (card in text) if card else ("of the training" not in text)


def test_a_model_that_is_trained_further_keeps_its_architecture(sales: Path) -> None:
    refused = run("train", str(sales), "--from", "daily", "--hidden", "8")
    assert refused.code == ExitCode.USAGE
    assert "--hidden would make it another" in refused.err


def test_a_model_is_converted_and_can_be_evaluated(sales: Path, tmp_path: Path) -> None:
    converted = run("convert", "daily", "--name", "half", cwd=tmp_path)
    assert converted.code == ExitCode.DONE, converted.err
    assert converted.out.endswith("bytes of state: trained/half/1\n")
    evaluated = run("evaluate", str(sales), "--models-dir", "trained", "--model", "half", "--json", cwd=tmp_path)
    assert json.loads(evaluated.out)["model"] == "half@1"


def test_the_shipped_model_is_evaluated_as_a_table_and_as_a_page(sales: Path, tmp_path: Path) -> None:
    evaluated = run("evaluate", str(sales), "--report", str(tmp_path / "report.html"))
    assert evaluated.code == ExitCode.DONE, evaluated.err
    assert "alarms" in evaluated.out.splitlines()[0]
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") >= 2
    assert "daily@2 is better than repeating the last value" in page
    stream, horizon = evaluated.out.split("\n\n")
    for table in (stream, horizon):
        forecasters = [line.split()[1] for line in table.splitlines()[1:]]
        assert forecasters == ["daily@2", "without", "mixture", "seasonal", "naive"]
    assert horizon.split("\n")[0].split()[4:9] == ["season", "MASE", "MASE", "m=1", "sMAPE"]


def test_each_file_has_its_season_and_the_model_fits_the_first_ones_frequency(sales: Path, tmp_path: Path) -> None:
    hours = np.datetime64("2025-01-01T00") + np.arange(200)
    rows = "".join(f"{hour},{k % 24},{str(k >= 180).lower()}\n" for k, hour in enumerate(hours))
    (tmp_path / "trips.csv").write_text(f"ds,y,test\n{rows}")
    seasons = ("--season", "24", "--season", "sales=7")
    evaluated = run("evaluate", "trips.csv", str(sales), *seasons, "--json", cwd=tmp_path)
    assert evaluated.code == ExitCode.DONE, evaluated.err
    scores = json.loads(evaluated.out)
    assert scores["model"] == "hourly@1"
    assert {row["collection"]: row["horizon"]["season"] for row in scores["rows"]} == {
        "trips": 24, "sales": 7, "all": None,
    }  # fmt: skip
    assert scores["warnings"] == ["sales: hourly@1 was trained for h series, and these are D"]
    refused = run("evaluate", "trips.csv", "--season", "sale=7", cwd=tmp_path)
    assert refused.code == ExitCode.USAGE
    assert "one of a file (trips)" in refused.err


def test_figures_that_there_are_not_are_null_and_dashes(tmp_path: Path) -> None:
    days = np.datetime64("2025-01-01") + np.arange(60)
    (tmp_path / "still.csv").write_text("ds,y\n" + "".join(f"{day},5\n" for day in days))
    answer = run("evaluate", "still.csv", "--test-steps", "7", "--json", "--report", "still.html", cwd=tmp_path)
    assert answer.code == ExitCode.DONE, answer.err
    assert "Warning" not in answer.err
    assert json.loads(answer.out, parse_constant=pytest.fail)["rows"][0]["stream"]["relative_mae"] is None
    assert "no series has a horizon whose error can be scaled" in (tmp_path / "still.html").read_text()
    table = run("evaluate", "still.csv", "--test-steps", "7", cwd=tmp_path)
    assert "nan" not in table.out

def test_an_unknown_model_is_told_with_those_there_are(sales: Path) -> None:
    result = run("evaluate", str(sales), "--model", "yearly")
    assert result.code == ExitCode.USAGE
    assert "daily@2" in result.err
    assert len(result.err.splitlines()) <= 5


def test_a_name_that_cannot_be_published_is_refused_before_training(sales: Path) -> None:
    result = run("train", str(sales), "--name", "My Model")
    assert result.code == ExitCode.USAGE
    assert "'My Model'" in result.err
    assert len(result.err.splitlines()) <= 5


def test_the_study_writes_a_table_and_a_plot(tmp_path: Path) -> None:
    short = ("--lengths", "1,32", "--observations", "64", "--updates", "2")
    result = run("study", "unroll", "--out", "study", *short, cwd=tmp_path)
    assert result.code == ExitCode.DONE, result.err
    assert (tmp_path / "study/unroll.png").read_bytes().startswith(b"\x89PNG")
    table = (tmp_path / "study/unroll.md").read_text().splitlines()
    rows = [line.split("|")[1].strip() for line in table if "|" in line]
    assert rows.count("1") == rows.count("32") == 2


def test_unroll_lengths_that_are_no_numbers() -> None:
    result = run("study", "unroll", "--lengths", "1 2")
    assert result.code == ExitCode.USAGE
    assert "--lengths 1,8,64" in result.err


def test_a_column_that_is_no_covariate_of_the_file_is_refused_by_name(sales: Path) -> None:
    refused = run("train", str(sales), "--known", "promo", "--past", "rain")
    assert refused.code == ExitCode.USAGE
    assert "no column 'rain', 'promo'" in refused.err
