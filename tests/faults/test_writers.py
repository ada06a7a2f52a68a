"""Many writers on one session, in the short form."""

import pytest

from tests.faults.writers import run


@pytest.mark.parametrize("workers", [1, 2])
async def test_each_key_counts_once_however_many_write(workers: int) -> None:
    found = await run(1, workers=workers, observations=600)
    print(found)
    assert (found.distinct, found.same, found.bare) == (600, 1, 0)
    assert all(refusal.startswith("503 ") for refusal in found.refused)
