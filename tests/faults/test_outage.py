"""The store gone for a moment, in the short form."""

import pytest

from tests.faults.outage import WAYS, run


@pytest.mark.parametrize("way", WAYS)
async def test_a_service_outlives_its_store_and_recovers_alone(way: str) -> None:
    found = await run(3.0, way)
    print(found)
    assert set(found.live) == {200}
    assert found.lost == 0
    assert found.posts[200] > 0
