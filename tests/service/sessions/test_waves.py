"""The queue in front of the store: who shares a wave, who waits, who is dropped."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from service.sessions.waves.waiting import Entry
from service.sessions.waves.waves import Waves
from service.wire.problems import DeadlineExceeded, NotReady, Overloaded


class Recorder:
    """Real work that remembers what it was given, and that a test can hold up."""

    def __init__(self) -> None:
        self.waves: list[list[tuple[str, int]]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.taken = asyncio.Event()

    async def wave(self, entries: Sequence[Entry[int, int]]) -> Sequence[Entry[int, int]]:
        self.waves.append([(entry.session, entry.work) for entry in entries])
        self.taken.set()
        await self.open.wait()
        for entry in entries:
            if entry.work < 0:
                raise ValueError("negative work")
            if entry.work < 1000:
                entry.settle(entry.work * 10)
        return [entry for entry in entries if entry.work >= 1000]

    async def alone(self, entry: Entry[int, int]) -> None:
        await self.open.wait()
        entry.settle(entry.work * 100)

    async def hold(self, waves: "Waves[int, int]") -> "asyncio.Task[int]":
        """Put a wave in flight that stays there until `open` is set."""
        self.open.clear()
        self.taken.clear()
        blocking = asyncio.create_task(waves.submit("first", 0, timeout_s=30.0))
        await self.taken.wait()
        return blocking


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def waves(recorder: Recorder) -> AsyncIterator[Waves[int, int]]:
    waves: Waves[int, int] = Waves(
        recorder.wave, recorder.alone, clock=asyncio.get_running_loop().time, max_waiting=8, max_waiting_per_session=3
    )
    waves.start()
    yield waves
    recorder.open.set()
    await waves.drain()


async def test_an_idle_queue_answers_at_once(waves: Waves[int, int], recorder: Recorder) -> None:
    assert await waves.submit("a", 7, timeout_s=30.0) == 70
    assert recorder.waves == [[("a", 7)]]


async def test_what_comes_during_a_wave_shares_the_next(waves: Waves[int, int], recorder: Recorder) -> None:
    blocking = await recorder.hold(waves)
    later = [asyncio.create_task(waves.submit(name, 1, timeout_s=30.0)) for name in "abc"]
    await asyncio.sleep(0)
    recorder.open.set()
    assert await asyncio.gather(blocking, *later) == [0, 10, 10, 10]
    assert recorder.waves[1:] == [[("a", 1), ("b", 1), ("c", 1)]]


async def test_who_asks_again_when_answered_shares_the_next_wave_with_those_that_waited(
    waves: Waves[int, int], recorder: Recorder
) -> None:
    async def twice() -> int:
        await waves.submit("first", 0, timeout_s=30.0)
        return await waves.submit("first", 2, timeout_s=30.0)

    recorder.open.clear()
    asking = asyncio.create_task(twice())
    await recorder.taken.wait()
    waited = asyncio.create_task(waves.submit("a", 1, timeout_s=30.0))
    await asyncio.sleep(0)
    recorder.open.set()
    assert [await waited, await asking] == [10, 20]
    assert recorder.waves == [[("first", 0)], [("a", 1), ("first", 2)]]


async def test_requests_of_one_session_go_in_order_one_a_wave(waves: Waves[int, int], recorder: Recorder) -> None:
    blocking = await recorder.hold(waves)
    later = [asyncio.create_task(waves.submit("a", number, timeout_s=30.0)) for number in (1, 2, 3)]
    await asyncio.sleep(0)
    recorder.open.set()
    assert await asyncio.gather(blocking, *later) == [0, 10, 20, 30]
    assert recorder.waves[1:] == [[("a", 1)], [("a", 2)], [("a", 3)]]


async def test_a_request_given_up_while_it_waits_is_never_taken(waves: Waves[int, int], recorder: Recorder) -> None:
    blocking = await recorder.hold(waves)
    given_up = asyncio.create_task(waves.submit("a", 1, timeout_s=30.0))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait({given_up})
    assert waves.waiting == 0
    recorder.open.set()
    await blocking
    await waves.drain()
    assert recorder.waves == [[("first", 0)]]


async def test_a_request_given_up_in_its_wave_is_worked_off_all_the_same(
    waves: Waves[int, int], recorder: Recorder
) -> None:
    blocking = await recorder.hold(waves)
    blocking.cancel()
    await asyncio.wait({blocking})
    recorder.open.set()
    assert await waves.submit("first", 5, timeout_s=30.0) == 50
    assert recorder.waves == [[("first", 0)], [("first", 5)]]


async def test_a_waiting_request_is_dropped_at_its_deadline(waves: Waves[int, int], recorder: Recorder) -> None:
    blocking = await recorder.hold(waves)
    with pytest.raises(DeadlineExceeded):
        await waves.submit("a", 1, timeout_s=0.02)
    recorder.open.set()
    await blocking
    await waves.drain()
    assert recorder.waves == [[("first", 0)]]


async def test_a_request_in_a_hanging_wave_is_answered_at_its_deadline(
    waves: Waves[int, int], recorder: Recorder
) -> None:
    recorder.open.clear()
    with pytest.raises(DeadlineExceeded):
        await waves.submit("a", 1, timeout_s=0.02)


async def test_a_full_queue_refuses_and_says_that_it_can_be_tried_again(
    waves: Waves[int, int], recorder: Recorder
) -> None:
    blocking = await recorder.hold(waves)
    waiting = [asyncio.create_task(waves.submit(f"s{n}", n, timeout_s=30.0)) for n in range(8)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await waves.submit("one more", 1, timeout_s=30.0)
    assert refused.value.retry_after_s is not None
    recorder.open.set()
    await asyncio.gather(blocking, *waiting)


async def test_one_session_cannot_fill_the_queue(waves: Waves[int, int], recorder: Recorder) -> None:
    blocking = await recorder.hold(waves)
    waiting = [asyncio.create_task(waves.submit("a", n, timeout_s=30.0)) for n in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await waves.submit("a", 4, timeout_s=30.0)
    other = asyncio.create_task(waves.submit("b", 4, timeout_s=30.0))
    recorder.open.set()
    assert await other == 40
    await asyncio.gather(blocking, *waiting)


async def test_long_work_runs_beside_the_waves_and_its_session_waits(
    waves: Waves[int, int], recorder: Recorder
) -> None:
    recorder.open.clear()
    long = asyncio.create_task(waves.submit("a", 1, timeout_s=30.0, alone=True))
    after = asyncio.create_task(waves.submit("a", 2, timeout_s=30.0))
    other = asyncio.create_task(waves.submit("b", 3, timeout_s=30.0))
    await recorder.taken.wait()
    assert recorder.waves == [[("b", 3)]]
    recorder.open.set()
    assert list(await asyncio.gather(long, after, other)) == [100, 20, 30]


async def test_what_a_wave_hands_on_is_worked_off_beside_it_and_its_session_waits(
    waves: Waves[int, int], recorder: Recorder
) -> None:
    works = [("a", 1000), ("a", 2), ("b", 3)]
    tasks = [asyncio.create_task(waves.submit(session, work, timeout_s=30.0)) for session, work in works]
    assert list(await asyncio.gather(*tasks)) == [100_000, 20, 30]
    assert recorder.waves == [[("a", 1000), ("b", 3)], [("a", 2)]]


async def test_an_error_in_a_wave_reaches_its_requests_and_the_next_wave_goes(
    waves: Waves[int, int], recorder: Recorder
) -> None:
    with pytest.raises(ValueError, match="negative"):
        await waves.submit("a", -1, timeout_s=30.0)
    assert await waves.submit("a", 2, timeout_s=30.0) == 20


async def test_drain_finishes_what_waits_and_refuses_the_rest(waves: Waves[int, int], recorder: Recorder) -> None:
    blocking = await recorder.hold(waves)
    waiting = [
        asyncio.create_task(waves.submit("a", 1, timeout_s=30.0)),
        asyncio.create_task(waves.submit("b", 2, timeout_s=30.0, alone=True)),
    ]
    await asyncio.sleep(0)
    draining = asyncio.create_task(waves.drain())
    await asyncio.sleep(0)
    with pytest.raises(NotReady):
        await waves.submit("c", 3, timeout_s=30.0)
    recorder.open.set()
    assert await asyncio.gather(blocking, *waiting) == [0, 10, 200]
    await draining


async def test_a_request_that_could_not_be_done_in_time_is_refused_at_once(recorder: Recorder) -> None:
    now = 0.0
    waves: Waves[int, int] = Waves(recorder.wave, recorder.alone, clock=lambda: now, max_wave=2)
    waves.start()
    first = await recorder.hold(waves)
    now += 10.0  # a wave takes long
    recorder.open.set()
    await first
    blocking = await recorder.hold(waves)
    fit = [asyncio.create_task(waves.submit(name, 1, timeout_s=5.0)) for name in "ab"]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await waves.submit("c", 1, timeout_s=5.0)
    patient = asyncio.create_task(waves.submit("c", 1, timeout_s=60.0))
    recorder.open.set()
    assert await asyncio.gather(blocking, *fit, patient) == [0, 10, 10, 10]
    await waves.drain()


async def test_a_line_of_one_session_that_takes_too_long_is_refused_at_once(recorder: Recorder) -> None:
    now = 0.0
    waves: Waves[int, int] = Waves(recorder.wave, recorder.alone, clock=lambda: now)
    waves.start()
    first = await recorder.hold(waves)
    now += 10.0
    recorder.open.set()
    await first
    blocking = await recorder.hold(waves)
    fit = [asyncio.create_task(waves.submit("a", 1, timeout_s=5.0)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await waves.submit("a", 1, timeout_s=5.0)
    recorder.open.set()
    assert await asyncio.gather(blocking, *fit) == [0, 10, 10]
    await waves.drain()


async def test_a_slice_that_asks_just_when_the_last_wave_ended_does_not_wait_for_another(recorder: Recorder) -> None:
    slices: list[asyncio.Task[None]] = []

    async def wave(entries: Sequence[Entry[int, int]]) -> Sequence[Entry[int, int]]:
        slices.append(asyncio.create_task(queue.between()))  # runs behind the wave's end, before all else
        return await recorder.wave(entries)

    clock = asyncio.get_running_loop().time
    queue: Waves[int, int] = Waves(wave, recorder.alone, clock=clock, max_waiting=8, max_waiting_per_session=3)
    queue.start()
    assert await queue.submit("a", 1, timeout_s=30.0) == 10
    await queue.drain()
    assert slices[0].done()
