"""What a log says of the time that is left."""

from collections.abc import Iterator

import pytest

from hiddenstate.cli.progress import Estimate


@pytest.mark.parametrize(
    ("seconds", "left"), [(10.0, ", 30 s left"), (120.0, ", 6 min left"), (7200.0, ", 6.0 h left")]
)
def test_the_time_left_follows_from_what_was_done_since_it_was_first_asked(seconds: float, left: str) -> None:
    clock: Iterator[float] = iter((100.0, 100.0 + seconds))
    estimate = Estimate(lambda: next(clock))
    assert estimate.left(0.2) == ""  # resumed: what was done before took another time
    assert estimate.left(0.4) == left
