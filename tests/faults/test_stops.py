"""Stops under load, in their short form."""

import pytest

from tests.faults.stops import run


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_stop_under_load_loses_nothing_and_exits_0(workers: str) -> None:
    stops = await run(2, seed=1, per_stop=800, workers=workers)
    print(stops)
    assert stops.statuses == [0, 0]
    assert stops.found.wrong == []
    assert stops.found.checked == stops.found.acknowledged == 1600
