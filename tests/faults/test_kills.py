"""kill -9 of each process while observations are posted; twenty rounds of it by `python -m tests.faults.load`."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from tests.deployments import ENGINES
from tests.faults import policies
from tests.faults.load import TARGETS, Plan, run

SLOW_MS, SLOWEST_MS = 400, 1500
"""Disks on which an fsync takes this long; behind the slowest a server that syncs every second is soon caught."""
SEED = 7


@pytest.mark.parametrize("target", TARGETS)
async def test_nothing_acknowledged_is_lost_and_no_process_left_behind(target: str) -> None:
    await _survives(Plan(observations=3000, sessions=120, connections=16, kills=3, seed=SEED, target=target))


@pytest.mark.parametrize("target", TARGETS)
async def test_nothing_acknowledged_is_lost_behind_a_slow_fsync(target: str) -> None:
    plan = Plan(observations=64, sessions=32, connections=32, kills=1, seed=SEED, target=target, fsync_ms=SLOW_MS)
    await _survives(plan)


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_server_that_syncs_every_second_is_seen_to_lose_behind_a_slow_fsync(engine: str) -> None:
    # A kill between two fsyncs loses nothing: about every fourth does.
    async with aclosing(policies.run(engine, "everysec", rounds=8, fsync_ms=SLOWEST_MS, seed=SEED)) as rounds:
        lost = [one.lost async for one in until_one_loses(rounds)]
    print(f"seed {SEED}: lost {lost}")
    assert lost[-1] > 0


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_server_that_syncs_always_loses_nothing_behind_a_slow_fsync(engine: str) -> None:
    async with aclosing(policies.run(engine, "always", rounds=2, fsync_ms=SLOWEST_MS, seed=SEED)) as rounds:
        seen = [one async for one in rounds]
    print(f"seed {SEED}: {seen}")
    assert all(one.acknowledged for one in seen)
    assert all(one.lost == 0 for one in seen)


async def until_one_loses(rounds: AsyncIterator[policies.Round]) -> AsyncIterator[policies.Round]:
    async for one in rounds:
        yield one
        if one.lost:
            return


async def _survives(plan: Plan) -> None:
    findings = await run(plan)
    print(f"seed {plan.seed}: {findings}")
    assert findings.wrong == []
    assert findings.left_behind == []
    assert findings.kills == plan.kills
    assert findings.checked == plan.observations // plan.sessions * plan.sessions
