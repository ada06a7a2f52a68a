import numpy as np
import pytest

from models.data import DataError, Series
from models.training.survey import require_enough, warnings


def series(name: str, values: list[float], test_steps: int = 2) -> Series:
    return Series(name, np.array(values), np.zeros(len(values), dtype=bool), None, test_steps)


def test_what_may_surprise_is_told_by_series() -> None:
    nan = float("nan")
    told = warnings(
        [
            series("fine", [1.0, 2.0] * 20),
            series("still", [3.0] * 30),
            series("gappy", [1.0, nan, nan, 4.0, nan, *[1.0, 5.0] * 20]),
            series("short", [1.0, 2.0], test_steps=0),
            series("empty", [nan] * 28 + [1.0, 2.0]),
        ],
        season=7,
        horizon=14,
    )
    assert told == [
        "1 series too short to be tested on: short",
        "1 series shorter than two seasons of 7 steps and one horizon of 14: short (2 training steps)",
        "1 series without a single value in the training part: empty",
        "1 series constant, so that nothing is learned from them: still = 3",
        "2 series with gaps, which are folded as missing values: empty (28 of 30 steps, 28 in a row), "
        "gappy (3 of 45 steps, 2 in a row)",
    ]


def test_many_series_with_one_trouble_are_one_line() -> None:
    [line] = warnings([series(f"s{k}", [1.0] * 50) for k in range(7)], season=7, horizon=14)
    assert line.endswith("s0 = 1, s1 = 1, s2 = 1, s3 = 1, s4 = 1 and 2 more")


def test_sound_series_give_no_warning() -> None:
    assert warnings([series("fine", [1.0, 2.0] * 20)], season=7, horizon=14) == []


def test_series_too_short_for_one_whole_forecast_are_refused_with_what_is_needed_and_what_there_is() -> None:
    nan = float("nan")
    short = [series("a", [1.0, nan, *[2.0] * 16]), series("b", [1.0] * 4)]
    with pytest.raises(DataError, match=r"of 14 steps.* must have 16 values.*'a', has 15 .and 2 steps"):
        require_enough(short, 14)
    require_enough(short, 13)
