"""The death of a primary under load, in its short form."""

import pytest

from tests.faults.failover import Plan, run
from tests.replicated import GROUPS

SEED = 5


@pytest.mark.parametrize("deployment", GROUPS)
async def test_a_failover_loses_nothing_unseen_and_folds_nothing_twice(deployment: str) -> None:
    # Before it dies the primary is without its replicas: what it takes then is lost.
    assert await _lost(deployment, "memory") > 0


@pytest.mark.parametrize("deployment", GROUPS)
async def test_a_failover_loses_nothing_that_a_replica_confirmed(deployment: str) -> None:
    assert await _lost(deployment, "replica") == 0


async def _lost(deployment: str, durability: str) -> int:
    """Acknowledged observations that a failover lost."""
    seen = await run(Plan(deployment, durability, kills=1, seed=SEED))
    print(f"seed {SEED}: {seen}")
    assert seen.wrong == []
    assert len(seen.all_s) == 1
    return sum(seen.lost)
