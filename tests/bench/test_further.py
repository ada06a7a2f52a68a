"""The benchmark of forecasts beyond a model's horizon: a row for each file, from forecasts as they are answered."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bench import further


def test_random_walks_are_held_by_the_intervals_as_far_as_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    walks = np.random.default_rng(3).standard_normal((20, 780)).cumsum(axis=1)
    days = np.arange(780) + np.datetime64("2022-01-01")
    lines = [f"walk-{k},{day},{value}" for k, walk in enumerate(walks) for day, value in zip(days, walk, strict=True)]
    (tmp_path / "walks.csv").write_text("\n".join(["unique_id,ds,y", *lines, ""]))
    monkeypatch.setattr(sys, "argv", ["further", str(tmp_path / "walks.csv")])
    further.main()
    heads, _, row = (line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines())
    told = dict(zip(heads, row, strict=True))
    assert (told["collection"], told["origins"]) == ("walks", "60")
    for steps in ("15 to 28", "29 to 42"):
        at_80, at_95 = map(float, told[steps].split(", "))
        assert 0.65 <= at_80 <= 0.92
        assert at_80 < at_95
