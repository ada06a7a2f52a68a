"""The death of a primary under load, in its short form."""

import pytest

from tests.faults.failover import Plan, run
from tests.replicated import GROUPS


@pytest.mark.parametrize("deployment", GROUPS)
async def test_a_failover_loses_nothing_unseen_and_folds_nothing_twice(deployment: str) -> None:
    plan = Plan(deployment, "memory", kills=1, seed=5)
    seen = await run(plan)
    print(f"seed {plan.seed}: {seen}")
    assert seen.wrong == []
    assert len(seen.all_s) == plan.kills
    assert sum(seen.lost) > 0  # what the primary took without its replicas
