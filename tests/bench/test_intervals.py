"""Benchmarks of intervals further ahead, and after missing values: a row for each file, from forecasts as issued."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench import further, silence

Told = dict[str, str]
Run = Callable[[Callable[[], None]], Told]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The row that a benchmark prints of a file of random walks."""
    walks = np.random.default_rng(3).standard_normal((30, 780)).cumsum(axis=1)
    days = np.arange(780) + np.datetime64("2022-01-01")
    lines = [f"walk-{k},{day},{value}" for k, walk in enumerate(walks) for day, value in zip(days, walk, strict=True)]
    (tmp_path / "walks.csv").write_text("\n".join(["unique_id,ds,y", *lines, ""]))

    def run(benchmark: Callable[[], None]) -> Told:
        monkeypatch.setattr(sys, "argv", ["benchmark", str(tmp_path / "walks.csv")])
        benchmark()
        heads, _, row = (line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines())
        return dict(zip(heads, row, strict=True))

    return run


@pytest.mark.parametrize(
    ("benchmark", "counted", "columns"),
    [
        (further.main, ("origins", "90"), ("15 to 28", "29 to 42")),
        (silence.main, ("series", "30"), ("0", "3", "13", "30")),
    ],
)
def test_random_walks_are_held_by_the_intervals(
    told: Run, benchmark: Callable[[], None], counted: tuple[str, str], columns: tuple[str, ...]
) -> None:
    row = told(benchmark)
    assert row["collection"] == "walks"
    assert row[counted[0]] == counted[1]
    for column in columns:
        at_80, at_95 = map(float, row[column].split(", "))
        assert 0.65 <= at_80 <= 0.92
        assert at_80 < at_95
