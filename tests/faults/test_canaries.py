"""Clients that disconnect at random, in the short form."""

from tests.faults.canaries import run


async def test_no_answer_holds_what_another_client_sent() -> None:
    findings = await run(2000, seed=1)
    print(findings)
    assert findings.wrong == []
    assert (findings.in_use, findings.waiting) == (0, 0)
    assert findings.answered > 500
    assert findings.left > 500
