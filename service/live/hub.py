"""One reader of the log in each process, for all who listen there; it reads only while somebody does."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import chain
from typing import NamedTuple

from service.live import positions, rendering
from service.live.entries import Entry, unread
from service.live.events import Event, Missed, encode
from service.live.log import LEASE_S
from service.live.positions import SHARDS, START, Place
from service.live.streams import EventStreams, Listening
from service.live.subscriber import Filter, Subscriber
from service.storage.connection import StoreUnavailable

LISTEN_S = 2.0
"""That somebody listens is said so often."""
RETRY_S = 0.2
AWARE_S = 0.02
"""Between two looks whether every process knows that somebody listens."""
UNCERTAIN_MS = 2000
"""What a process had committed that long before it said that it is there may not have been logged yet."""
AT_ONCE = 32
"""Events that are told before other work may go on."""


class Subscription(NamedTuple):
    """A subscriber, from which place on he is told what happens, and since when that is logged."""

    subscriber: Subscriber
    place: Place
    since_ms: int


class Hub:
    """Reads what every process tells, and tells it to the subscribers of this one."""

    def __init__(self, streams: EventStreams) -> None:
        self._streams = streams
        self._subscribers: set[Subscriber] = set()
        self._by_session: dict[str, set[Subscriber]] = defaultdict(set)
        self._by_prefix: dict[str, set[Subscriber]] = defaultdict(set)
        self._place = Place(0, (START,) * SHARDS)
        self._since_ms = 0
        self._users = 0
        self._is_closed = False
        self._start: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def __len__(self) -> int:
        """Those who listen to this process."""
        return self._users

    @property
    def place(self) -> Place:
        """As far as subscribers were told what happened."""
        return self._place

    @asynccontextmanager
    async def subscribed(self, wants: Filter) -> AsyncIterator[Subscription]:
        """Somebody who listens. Raises StoreUnavailable: the log cannot be read."""
        self._users += 1
        subscriber = Subscriber(wants)
        try:
            await self._reading()
            self._enter(subscriber)
            yield Subscription(subscriber, self._place, self._since_ms)
        finally:
            self._leave(subscriber)
            self._users -= 1
            if not self._users:
                self._stop_reading()

    def close(self) -> None:
        """The service is about to stop: all who listen are told so, and nobody listens any more."""
        self._is_closed = True
        for subscriber in self._subscribers:
            subscriber.close()

    async def _reading(self) -> None:
        if self._start is None:
            self._start = asyncio.get_running_loop().create_task(self._begin(), name="listening")
        start = self._start
        try:
            await asyncio.shield(start)
        except StoreUnavailable:
            if self._start is start:
                self._start = None
            raise

    async def _begin(self) -> None:
        listening = await self._known()
        ends = await asyncio.gather(*map(self._streams.end, range(SHARDS)))
        self._since_ms, self._place = listening.since_ms, Place(listening.now_ms, tuple(ends))
        create = asyncio.get_running_loop().create_task
        self._tasks = [create(self._read(shard), name=f"events {shard}") for shard in range(SHARDS)]
        self._tasks.append(create(self._listen(), name="listening"))

    async def _known(self) -> Listening:
        """Say that somebody listens, and wait until no process lets go of what it commits."""
        listening = await self._streams.listen()
        loop = asyncio.get_running_loop()
        leases_end = loop.time() + LEASE_S
        while listening.unaware and loop.time() < leases_end:
            await asyncio.sleep(AWARE_S)
            listening = await self._streams.listen()
        return listening

    def _stop_reading(self) -> None:
        for task in (*self._tasks, *((self._start,) if self._start is not None else ())):
            task.cancel()
        self._start, self._tasks = None, []

    def _enter(self, subscriber: Subscriber) -> None:
        self._subscribers.add(subscriber)
        for index, name in self._places(subscriber):
            index[name].add(subscriber)
        if self._is_closed:
            subscriber.close()

    def _leave(self, subscriber: Subscriber) -> None:
        self._subscribers.discard(subscriber)
        for index, name in self._places(subscriber):
            index[name].discard(subscriber)
            if not index[name]:
                del index[name]

    def _places(self, subscriber: Subscriber) -> list[tuple[dict[str, set[Subscriber]], str]]:
        wants = subscriber.wants
        return [(self._by_session, name) for name in wants.sessions] or [(self._by_prefix, wants.prefix)]

    async def _listen(self) -> None:
        """Say again and again that somebody listens, and see to what nobody else would notice."""
        while True:
            await asyncio.sleep(LISTEN_S)
            with suppress(StoreUnavailable):
                listening = await self._streams.listen()
                if listening.since_ms != self._since_ms:  # the store had forgotten that somebody listens
                    listening = await self._known()
                    self._tell(Missed(self._place.ms, listening.now_ms), listening.now_ms, self._subscribers)
                self._since_ms, self._place = listening.since_ms, self._place._replace(ms=listening.now_ms)
                if listening.ended:
                    await self._bury(listening.ended, listening.now_ms)

    async def _bury(self, ended: Sequence[tuple[bytes, int]], now_ms: int) -> None:
        """Processes ended without a word: what they had committed last may never have been logged."""
        missed = Missed(min(there_ms for _, there_ms in ended) - UNCERTAIN_MS, now_ms)
        if all(await self._streams.append([(0, 1, encode([missed]))])):
            await self._streams.leave([writer for writer, _ in ended])

    async def _read(self, shard: int) -> None:
        while True:
            try:
                entries = await self._streams.read(shard, self._place.at[shard])
            except StoreUnavailable:
                await asyncio.sleep(RETRY_S)
                continue
            await self._told(shard, entries)

    async def _told(self, shard: int, entries: Sequence[Entry]) -> None:
        for number, (position, event) in enumerate(unread(entries, self._place.at[shard]), 1):
            self._place = self._place.moved(shard, position)
            self._tell(event, position.ms, self._interested(event))
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    def _interested(self, event: Event) -> Iterable[Subscriber]:
        if isinstance(event, Missed):
            return self._subscribers
        by_prefix = [subscribers for prefix, subscribers in self._by_prefix.items() if event.session.startswith(prefix)]
        return list(chain(self._by_session.get(event.session, ()), *by_prefix))

    def _tell(self, event: Event, at_ms: int, subscribers: Iterable[Subscriber]) -> None:
        if subscribers and (parts := rendering.told(event, at_ms)):
            said = rendering.identified(positions.written(self._place), parts)
            for subscriber in subscribers:
                subscriber.tell(said, at_ms)
