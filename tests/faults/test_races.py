"""Observations racing corrections, and stale writers, in their short form."""

from tests.faults.races import run


async def test_a_correction_is_in_the_state_and_a_stale_writer_is_refused() -> None:
    findings = await run(1, rounds=36)
    assert findings.wrong == []
    assert (findings.corrected, findings.stale_requests, findings.stale_changes) == (36, 36, 36)
