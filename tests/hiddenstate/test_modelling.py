"""train and evaluate, run as a user runs them on a file of his own."""

import json
from datetime import date, timedelta
from pathlib import Path

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
    assert trained.out.splitlines()[-1] == "published sales@1: trained/sales/1"
    assert (tmp_path / "runs/sales/curve.png").is_file()
    evaluated = run("evaluate", str(sales), "--models-dir", "trained", "--model", "sales", "--json", cwd=tmp_path)
    assert evaluated.code == ExitCode.DONE, evaluated.err
    scores = json.loads(evaluated.out)
    assert scores["model"] == "sales@1"
    assert {row["forecaster"] for row in scores["rows"]} >= {"sales@1", "naive", "seasonal naive"}


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
