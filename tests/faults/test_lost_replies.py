"""Lost replies to commits of many sessions, in the short form."""

from tests.faults.lost_replies import run


async def test_each_retry_after_a_lost_reply_finds_its_own_success() -> None:
    seed, rounds = 1, 25
    seen = await run(rounds, seed)
    print(f"seed {seed}: {seen}")
    assert seen.wrong == []
    assert seen.waves == rounds
    assert seen.recognised == seen.lost
