"""More than the service can carry, in a short form: what is refused is told when to come back, and nothing is lost."""

from tests.faults.overload import run


async def test_what_is_too_much_is_refused_with_retry_after_and_nothing_is_lost() -> None:
    findings = await run(2.0, seed=1, sessions=400, connections=300, clients=32, queue_limit="32")
    print(findings)
    assert findings.wrong == []
    assert (findings.tally.bare, findings.tally.lost) == (0, 0)
    assert findings.tally.statuses.keys() == {200, 503}
