"""train and evaluate, run as a user runs them on a file of his own."""

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from hiddenstate.cli.faults import ExitCode
from tests.hiddenstate.command import run


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
    small = ("--updates", "2", "--synthetic-series", "50", "--hidden", "8", "--unroll", "30", "--state", "float16")
    trained = run("train", str(sales), *small, cwd=tmp_path)
    assert trained.code == ExitCode.DONE, trained.err
    *_, published, verdict = trained.out.splitlines()
    assert published == "published sales@1: trained/sales/1"
    assert verdict.startswith("sales@1 is better than repeating the last value: relMAE 0.")
    assert (tmp_path / "runs/sales/curve.png").is_file()
    evaluated = run("evaluate", str(sales), "--models-dir", "trained", "--model", "sales", "--json", cwd=tmp_path)
    assert evaluated.code == ExitCode.DONE, evaluated.err
    scores = json.loads(evaluated.out)
    assert scores["model"] == "sales@1"
    assert {row["forecaster"] for row in scores["rows"]} >= {"sales@1", "naive", "seasonal naive"}


def test_what_is_worse_than_repeating_the_last_value_is_published_only_when_told_to(tmp_path: Path) -> None:
    """Nothing foretells a random walk; the frequency, the test part and the length of a season are found, too."""
    rng = np.random.default_rng(1)
    stamps = np.datetime64("2025-01-06T00") + np.arange(400)
    lines = [f"{stamp},{value}" for stamp, value in zip(stamps, rng.standard_normal(400).cumsum(), strict=True)]
    (tmp_path / "walk.csv").write_text("ds,y\n" + "\n".join(lines) + "\n")
    small = ("train", "walk.csv", "--updates", "2", "--synthetic-series", "50", "--hidden", "8", "--unroll", "30")
    refused = run(*small, cwd=tmp_path)
    assert refused.code == ExitCode.NEGATIVE
    assert "h series, by the recipe hourly; a season has 24 steps" in refused.err
    assert "walk@1 is WORSE than repeating the last value: relMAE 1." in refused.err
    assert not (tmp_path / "trained").exists()
    published = run(*small, "--publish-anyway", cwd=tmp_path)
    assert published.code == ExitCode.DONE, published.err
    assert "resumed after 2 updates" in published.err
    assert "WORSE" in published.out.splitlines()[-1]
    assert (tmp_path / "trained/walk/1/model.json").is_file()


def test_a_model_is_trained_further_from_the_weights_of_another(sales: Path, tmp_path: Path) -> None:
    further = ("--from", "daily", "--updates", "2", "--synthetic-series", "50", "--name", "ours")
    trained = run("train", str(sales), *further, cwd=tmp_path)
    assert trained.code == ExitCode.DONE, trained.err
    config = json.loads((tmp_path / "trained/ours/1/model.json").read_text())
    assert config["provenance"]["from"]["model"] == "daily@2"
    assert config["architecture"]["hidden"] == 64
    refused = run("train", str(sales), *further, "--hidden", "8", cwd=tmp_path)
    assert refused.code == ExitCode.USAGE
    assert "--hidden would make it another" in refused.err


def test_a_model_is_converted_and_can_be_evaluated(sales: Path, tmp_path: Path) -> None:
    converted = run("convert", "daily", "--name", "half", cwd=tmp_path)
    assert converted.code == ExitCode.DONE, converted.err
    assert converted.out.endswith("bytes of state: trained/half/1\n")
    evaluated = run("evaluate", str(sales), "--models-dir", "trained", "--model", "half", "--json", cwd=tmp_path)
    assert json.loads(evaluated.out)["model"] == "half@1"


def test_the_shipped_model_is_evaluated_as_a_table(sales: Path) -> None:
    evaluated = run("evaluate", str(sales))
    assert evaluated.code == ExitCode.DONE, evaluated.err
    forecasters = [line.split()[1] for line in evaluated.out.splitlines()[1:]]
    assert forecasters == ["daily@2", "without", "mixture", "seasonal", "naive"]


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
