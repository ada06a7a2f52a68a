"""The event log against every kind of deployment: whoever listens hears of everything, or hears that he did not."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count

import pytest

from service.live import hub, log, resuming, streams
from service.live.events import Happened, encode
from service.live.hub import Hub
from service.live.log import EventLog, shard_of
from service.live.positions import SHARDS, START, Place, read, written
from service.live.streams import EventStreams
from service.live.subscriber import Filter
from service.storage.connection import Command
from service.storage.store import SessionStore
from tests.deployments import Deployment

EVERYTHING = Filter()


def happened(number: int) -> Happened:
    """An event of one of some sessions; these lie in different streams."""
    return Happened(f"s{number % 8}", "corrected", number, None)


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]], limit_s: float = 30.0) -> None:
    give_up = time.monotonic() + limit_s
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < give_up, "it did not come about"
        await asyncio.sleep(0.02)


class Heard:
    """What one subscriber is told."""

    def __init__(self) -> None:
        self.text = b""

    @property
    def gaps(self) -> int:
        return self.text.count(b"event: gap\n")

    @property
    def last_id(self) -> Place:
        return read(self.text.rpartition(b"id: ")[2].partition(b"\n")[0].decode())

    def has(self, event: Happened) -> bool:
        return f'"step":{event.step},'.encode() in self.text

    def times(self, event: Happened) -> int:
        return self.text.count(f'"step":{event.step},'.encode())


@asynccontextmanager
async def logging(store: SessionStore, name: bytes = b"one") -> AsyncIterator[EventLog]:
    writer = EventLog(EventStreams(store), name)
    writer.start()
    try:
        yield writer
    finally:
        await writer.stop()


@asynccontextmanager
async def listening(store: SessionStore, since: Place | None = None) -> AsyncIterator[Heard]:
    heard = Heard()
    events = EventStreams(store)

    async def take() -> None:
        if since is not None:
            async for said in resuming.missed(events, since, subscription):
                heard.text += said
        while True:
            heard.text += await subscription.subscriber.take(60)

    async with Hub(events).subscribed(EVERYTHING) as subscription:
        heard.text += b"id: " + written(subscription.place) + b"\n"
        task = asyncio.create_task(take())
        try:
            yield heard
        finally:
            task.cancel()
            await asyncio.wait({task})


async def test_everything_that_is_told_is_heard_once_whoever_told_it(store: SessionStore) -> None:
    async with logging(store) as one, logging(store, b"two") as two, listening(store) as heard:
        events = [happened(number) for number in range(200)]
        for number, event in enumerate(events):
            (one if number % 2 else two).tell(event)
            if number % 20 == 0:
                await asyncio.sleep(0.01)
        await until(lambda: all(map(heard.has, events)))
        assert [heard.times(event) for event in events] == [1] * 200
        assert heard.gaps == 0


async def test_nothing_is_logged_while_nobody_listens(store: SessionStore) -> None:
    events = EventStreams(store)
    async with logging(store) as writer:
        writer.tell(happened(1))
        await asyncio.sleep(3 * log.UNWANTED_PAUSE_S)
        assert [await events.end(shard) for shard in range(SHARDS)] == [START] * SHARDS
        async with listening(store) as heard:
            writer.tell(happened(2))
            await until(lambda: heard.has(happened(2)))
            assert not heard.has(happened(1))


async def test_whoever_begins_to_listen_while_processes_know_of_nobody_hears_all_that_follows(
    store: SessionStore,
) -> None:
    async with logging(store) as one, logging(store, b"two") as two:
        told = count()

        async def tell(writer: EventLog) -> None:
            while True:
                writer.tell(happened(next(told)))
                await asyncio.sleep(0.002)

        telling = [asyncio.create_task(tell(writer)) for writer in (one, two)]
        await asyncio.sleep(1.5 * log.UNWANTED_PAUSE_S)  # between two questions
        async with listening(store) as heard:
            first = next(told)
            await asyncio.sleep(2 * log.LEASE_S)
            for task in telling:
                task.cancel()
            await asyncio.wait(telling)
            following = [happened(number) for number in range(first + 1, next(told))]
            await until(lambda: all(map(heard.has, following)))
            assert heard.gaps == 0


async def test_who_comes_again_hears_what_he_missed(store: SessionStore) -> None:
    async with logging(store) as writer:
        async with listening(store) as heard:
            writer.tell(happened(1))
            await until(lambda: heard.has(happened(1)))
        for number in range(2, 60):
            writer.tell(happened(number))
            await asyncio.sleep(0.002)
        async with listening(store, heard.last_id) as again:
            await until(lambda: all(again.has(happened(number)) for number in range(2, 60)))
            assert not again.has(happened(1))
            assert again.gaps == 0


async def test_what_is_logged_while_somebody_comes_again_is_heard_once(store: SessionStore) -> None:
    events, shard, again = EventStreams(store), shard_of(happened(0)), Heard()
    async with listening(store) as heard:
        await events.append([(shard, 1, encode([happened(0)]))])
        await until(lambda: heard.has(happened(0)))
    await events.append([(shard, 1, encode([happened(8)]))])
    async with Hub(events).subscribed(EVERYTHING) as subscription:
        await events.append([(shard, 1, encode([happened(16)]))])
        async for said in resuming.missed(events, heard.last_id, subscription):
            again.text += said
        again.text += await subscription.subscriber.take(60)
    assert [again.times(happened(number)) for number in (0, 8, 16)] == [0, 1, 1]
    assert again.gaps == 0


async def test_an_id_inside_of_an_entry_goes_on_inside_of_it(store: SessionStore) -> None:
    events, entry = EventStreams(store), [happened(8 * number) for number in range(5)]
    shard = shard_of(entry[0])
    async with listening(store) as heard:
        [appended] = await events.append([(shard, 5, encode(entry))])
        await until(lambda: heard.has(entry[4]))
        assert appended is not None
    part = heard.last_id.moved(shard, appended.last._replace(number=3))
    async with listening(store, part) as again:
        await until(lambda: again.has(entry[4]))
        assert [again.times(event) for event in entry] == [0, 0, 0, 1, 1]
        assert again.gaps == 0


async def test_what_the_log_let_go_is_a_gap(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "EVENTS_KEPT", 10)
    events, shard = EventStreams(store), shard_of(happened(0))
    async with listening(store) as heard:
        for number in range(30):
            await events.append([(shard, 1, encode([happened(8 * number)]))])
        await until(lambda: heard.has(happened(8 * 29)))
    start = read(heard.text.partition(b"id: ")[2].partition(b"\n")[0].decode())
    kept = await events.look(shard, START)
    assert [entry.last.number for entry in kept] == list(range(21, 31))
    async with listening(store, start) as again:
        await until(lambda: again.has(happened(8 * 29)))
        assert again.gaps == 1
        assert again.times(happened(8 * 19)) == 0
    async with listening(store, heard.last_id) as up_to_date:
        assert up_to_date.gaps == 0


async def test_a_log_that_was_lost_is_a_gap_to_who_listens_and_to_who_comes_again(store: SessionStore) -> None:
    async with logging(store) as writer, listening(store) as heard:
        for number in range(16):
            writer.tell(happened(number))
        await until(lambda: all(heard.has(happened(number)) for number in range(16)))
        before = heard.last_id
        for shard in range(SHARDS):
            key = EventStreams(store)._key(shard)
            await store.servers.run([Command(key, (b"DEL", key))], 5.0)
        writer.tell(*(happened(number) for number in range(100, 116)))
        await until(lambda: all(heard.has(happened(number)) for number in range(100, 116)))
        await until(lambda: heard.gaps > 0)
    async with listening(store, before) as again:
        await until(lambda: again.gaps > 0)


async def test_of_who_ended_without_a_word_something_may_be_missing(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "LAPSE_MS", 300)
    monkeypatch.setattr(hub, "LISTEN_S", 0.1)
    events = EventStreams(store)
    await events.attend(b"killed")
    async with listening(store) as heard:
        await until(lambda: heard.gaps == 1)
        assert (await events.listen()).ended == []
    async with logging(store, b"stopped"):
        pass
    async with listening(store) as after:
        await asyncio.sleep(1.0)
        assert after.gaps == 0


async def test_a_store_that_forgot_that_somebody_listens_is_a_gap(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "LISTEN_S", 0.1)
    async with listening(store) as heard:
        before = heard.last_id
        key = EventStreams(store)._common_keys()[0]
        await asyncio.sleep(0.01)
        await store.servers.run([Command(key, (b"DEL", key))], 5.0)
        await until(lambda: heard.gaps == 1)
    async with listening(store, before) as again:
        await until(lambda: again.gaps == 1)


async def test_what_was_told_outlives_the_store(store: SessionStore, running: Deployment) -> None:
    async with logging(store) as writer, listening(store) as heard:
        writer.tell(happened(1))
        await until(lambda: heard.has(happened(1)))
        before = heard.last_id
        running.restart()
        writer.tell(happened(2))
        await until(lambda: heard.has(happened(2)))
    async with listening(store, before) as again:
        await until(lambda: again.has(happened(2)))


async def test_more_than_can_wait_for_the_store_is_given_up_and_told(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MOST_WAITING", 100)
    async with listening(store) as heard, logging(store) as writer:
        await asyncio.sleep(2 * log.PAUSE_S)
        writer.tell(*(happened(number) for number in range(80)))
        writer.tell(*(happened(number) for number in range(1000, 1080)))
        await until(lambda: heard.gaps == 1)
        assert not heard.has(happened(1))


async def test_a_commit_of_which_nobody_knows_is_a_gap(store: SessionStore) -> None:
    async with listening(store) as heard, logging(store) as writer:
        writer.tell(happened(1))
        await until(lambda: heard.has(happened(1)))
        store.unsettled += 1
        writer.tell(happened(2))
        await until(lambda: heard.gaps == 1)


async def test_what_another_version_told_is_a_gap(store: SessionStore) -> None:
    events = EventStreams(store)
    async with listening(store) as heard:
        await events.append([(0, 3, b"\xc1"), (1, 1, encode([happened(1)]))])
        await until(lambda: heard.gaps == 1 and heard.has(happened(1)))
        await events.append([(0, 1, encode([happened(2)]))])
        await until(lambda: heard.has(happened(2)))
        assert heard.gaps == 1
