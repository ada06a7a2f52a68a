"""The load under kill -9, in its short form."""

from tests.faults.load import Plan, run


async def test_every_acknowledged_observation_is_there_once_and_none_twice() -> None:
    plan = Plan(observations=4000, sessions=200, connections=64, kills=2, seed=1)
    findings = await run(plan)
    print(f"seed {plan.seed}: {findings}")
    assert findings.wrong == []
    assert findings.left_behind == []
    assert (findings.acknowledged, findings.checked, findings.kills) == (4000, 4000, 2)
