from datetime import datetime

import numpy as np
import pytest

from models.dates.detection import detect
from models.dates.grid import grid


@pytest.mark.parametrize("freq", ["min", "h", "D", "B", "W", "MS"])
def test_the_frequency_of_times_is_found_in_spite_of_gaps(freq: str) -> None:
    points = grid(freq).anchored(grid(freq).parse("2025-09-01"))
    first = points.parse("2025-09-01")
    instants = np.array([points.advance(first, step) for step in range(60)]) // 1_000_000
    stamps = instants.astype("datetime64[s]")
    assert detect([stamps[:20], np.delete(stamps, [5, 6, 30])]) == freq


def test_daily_times_without_weekends_by_chance_of_length_are_daily() -> None:
    assert detect([np.arange(np.datetime64("2025-09-01"), np.datetime64("2025-09-05")).astype("datetime64[s]")]) == "D"


def test_times_of_no_known_frequency_have_none() -> None:
    stamps = np.datetime64(datetime(2025, 9, 1)) + np.arange(9) * np.timedelta64(15, "m")
    assert detect([stamps]) is None
    assert detect([stamps[:1]]) is None
    assert detect([]) is None
