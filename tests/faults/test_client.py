"""A client behind a network that loses replies, in the short form."""

import pytest

from tests.faults.client import run

SEED, THREADS = 1, 16


@pytest.mark.parametrize(("in_threads", "observations"), [(True, 2400), (False, 600)], ids=["threads", "tasks"])
async def test_each_observation_counts_once_where_every_tenth_reply_is_lost(
    in_threads: bool, observations: int
) -> None:
    seen = await run(observations, THREADS, SEED, in_threads=in_threads)
    print(f"seed {SEED}: {seen}")
    assert seen.wrong == []
    assert seen.steps == observations
    assert seen.lost > observations * 0.05
