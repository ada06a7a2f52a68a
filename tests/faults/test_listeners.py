"""Many who listen while a worker is killed, in the short form."""

from tests.faults.listeners import run

SEED = 1


async def test_each_listener_hears_of_every_step_or_of_a_gap_while_a_worker_is_killed() -> None:
    heard = await run(100, 160, 1, SEED)
    print(f"seed {SEED}: {heard}")
    assert heard.wrong == []
    assert heard.came_again > 0
    assert heard.told - heard.twice + heard.lost == 100 * 160
