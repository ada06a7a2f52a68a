from datetime import datetime

import numpy as np
import pytest

from models.dates.detection import detect
from models.dates.grid import grid


@pytest.mark.parametrize("freq", ["min", "15min", "h", "2h", "D", "B", "W", "MS"])
def test_the_frequency_of_times_is_found_in_spite_of_gaps(freq: str) -> None:
    points = grid(freq).anchored(grid(freq).parse("2025-09-01"))
    first = points.parse("2025-09-01")
    instants = np.array([points.advance(first, step) for step in range(60)]) // 1_000_000
    stamps = instants.astype("datetime64[s]")
    assert detect([stamps[:20], np.delete(stamps, [5, 6, 30])]) == freq


def test_daily_times_without_weekends_by_chance_of_length_are_daily() -> None:
    assert detect([np.arange(np.datetime64("2025-09-01"), np.datetime64("2025-09-05")).astype("datetime64[s]")]) == "D"


@pytest.mark.parametrize(("freq", "first"), [("ME", "2025-01-31"), ("QS", "2020-04-01"), ("QE", "2020-03-31"),
                                             ("YS", "2000-01-01"), ("YE", "2000-12-31")])  # fmt: skip
def test_first_and_last_days_of_months_quarters_and_years_are_found(freq: str, first: str) -> None:
    points = grid(freq).anchored(grid(freq).parse(first))
    instants = np.array([points.advance(points.parse(first), step) for step in range(13)]) // 1_000_000
    assert detect([np.delete(instants.astype("datetime64[s]"), 5)]) == freq


def test_times_of_no_known_frequency_have_none() -> None:
    for minutes in (7, 31 * 24 * 60, 0):
        stamps = np.datetime64(datetime(2025, 9, 1)) + np.arange(9) * np.timedelta64(minutes, "m")
        assert detect([stamps]) is None
    assert detect([stamps[:1]]) is None
    assert detect([]) is None
