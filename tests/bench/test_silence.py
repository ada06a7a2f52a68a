"""The benchmark of values missing in a row: a row for each file, by how many are missing."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bench import silence


def test_a_random_walk_that_comes_back_is_inside_the_interval_of_its_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    walks = np.random.default_rng(3).standard_normal((30, silence.STEPS)).cumsum(axis=1)
    days = np.arange(silence.STEPS) + np.datetime64("2022-01-01")
    lines = [f"walk-{k},{day},{value}" for k, walk in enumerate(walks) for day, value in zip(days, walk, strict=True)]
    (tmp_path / "walks.csv").write_text("\n".join(["unique_id,ds,y", *lines, ""]))
    monkeypatch.setattr(sys, "argv", ["silence", str(tmp_path / "walks.csv")])
    silence.main()
    heads, _, row = (line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines())
    told = dict(zip(heads, row, strict=True))
    assert (told["collection"], told["series"]) == ("walks", "30")
    for length in ("0", "3", "13", "30"):
        at_80, at_95 = map(float, told[length].split(", "))
        assert 0.65 <= at_80 <= 0.92
        assert at_80 < at_95
