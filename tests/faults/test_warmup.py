"""Single observations beside a long warm-up, in the short form: they are answered while it runs."""

from tests.faults.warmup import CLIENTS, run


async def test_single_observations_are_answered_while_a_session_warms_up() -> None:
    found = await run(1, rounds=1, steps=3000)
    print(found)
    assert len(found.beside) > 4 * CLIENTS
