"""Writing down what happens to sessions, behind the answers: no answer waits for it, and none fails with it.

While nobody listens, nothing is written, and nothing kept: each process asks again and again whether somebody does.
To be told that nobody does is good for LEASE_S, and who begins to listen waits until every process knows of it, or
until no such word is good any more (`hub.py`). While somebody listens, or did within the hour, what a process has
committed is in the store at once, or, if it does much, in PAUSE_S.

What may be missing is told, as `Missed`: where the store does not take the events for so long that there are too many,
where nobody knows whether a commit was applied, where the store lost what it had taken. For a process that ended
without saying so, those who listen tell it (`hub.py`).
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from time import monotonic
from zlib import crc32

from service.live.entries import RETAINED_MS
from service.live.events import Answered, Event, Missed, encode
from service.live.positions import SHARDS, START
from service.live.streams import Appended, EventStreams
from service.storage.answers import Answer, Label
from service.storage.connection import StoreUnavailable

PAUSE_S = 0.05
"""Between two times of writing; the first after a pause is at once."""
UNWANTED_PAUSE_S = 0.25
"""The same between two questions whether somebody listens, while commits go on and nobody does."""
LEASE_S = 0.5
"""Nobody begins to listen within this time after a process asked, unless it has asked again."""
PAUSE_FACTOR = 4.0
"""A pause lasts this many times what the writing took: where writes wait for a slow disk, commits go first."""
LONGEST_PAUSE_S = 0.5
ATTEND_S = 2.0
"""A process says at least so often that it is there."""
AT_ONCE = 1024
"""Events that are encoded together: some 1.2 ms."""
MOST_WAITING = 50_000
"""Events that wait for the store; beyond, the oldest are given up."""

Told = Iterable[tuple[Label, Answer]]
"""Answers to writes, looked at once at most, and later."""

logger = logging.getLogger(__name__)


class EventLog:
    """What this process tells.

    Args:
        writer: a name that no other process has.
    """

    def __init__(self, streams: EventStreams, writer: bytes) -> None:
        self._streams = streams
        self._writer = writer
        self._waiting: list[tuple[int, Iterable[Event]]] = []
        self._count = 0
        self._news = asyncio.Event()
        self._wanted = self._is_behind = False
        self._unwanted_until = 0.0
        self._complete_to_ms = self._unsettled = 0
        self._missed_from: int | None = None
        self._ends = [START] * SHARDS
        self._task: asyncio.Task[None] | None = None

    def answered(self, count: int, told: Told) -> None:
        """So many writes were committed and answered."""
        self._take(count, (Answered.of(label, answer) for label, answer in told))

    def tell(self, *events: Event) -> None:
        """Something was committed."""
        self._take(len(events), events)

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="event log")

    async def stop(self) -> None:
        """Write what is left, and say that this process is gone."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        try:
            await self._update(attend=True)
            if not self._count and self._missed_from is None:
                await self._streams.leave([self._writer])
        except StoreUnavailable:
            logger.warning("the last events were not logged; who listens is told so")

    def _take(self, count: int, events: Iterable[Event]) -> None:
        self._news.set()
        if monotonic() < self._unwanted_until:
            return
        self._waiting.append((count, events))
        self._count += count
        if self._count > MOST_WAITING:
            self._miss()
            while self._count > MOST_WAITING // 2:
                self._count -= self._waiting.pop(0)[0]

    def _miss(self) -> None:
        if self._missed_from is None:
            self._missed_from = self._complete_to_ms

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            began = clock()
            # Whoever says that it is there has nothing to write from before.
            attend = not self._wanted or (began >= due and not self._is_behind)
            if attend:
                due = began + ATTEND_S
            with suppress(StoreUnavailable):
                await self._update(attend=attend)
            least = PAUSE_S if self._wanted else UNWANTED_PAUSE_S
            await asyncio.sleep(min(max(least, PAUSE_FACTOR * (clock() - began)), LONGEST_PAUSE_S))
            with suppress(TimeoutError):
                async with asyncio.timeout(ATTEND_S):
                    await self._news.wait()

    async def _update(self, *, attend: bool) -> None:
        """Write all that waits, if anybody wants it. Raises StoreUnavailable: some of it still waits."""
        self._news.clear()
        unsettled, self._unsettled = self._unsettled, self._streams.unsettled
        if self._unsettled > unsettled:
            self._miss()
        if attend:
            self._wanted = await self._is_wanted()
        waiting, self._waiting, self._count = self._waiting, [], 0
        now_ms = self._streams.now_ms
        self._complete_to_ms = self._complete_to_ms or now_ms
        if self._wanted:
            self._is_behind = True
            await self._write(chain(self._missed(now_ms), *(events for _, events in waiting)))
        else:
            self._missed_from = None
        self._is_behind, self._complete_to_ms = False, now_ms

    def _missed(self, now_ms: int) -> list[Event]:
        since, self._missed_from = self._missed_from, None
        return [] if since is None else [Missed(since, now_ms)]

    async def _is_wanted(self) -> bool:
        began, self._unwanted_until = monotonic(), 0.0  # what is committed while it is asked may be wanted
        wanted = await self._streams.attend(self._writer) > 0
        if not wanted:
            self._unwanted_until = began + LEASE_S
        return wanted

    def _put_back(self, waiting: list[tuple[int, Iterable[Event]]]) -> None:
        self._waiting[:0] = waiting
        self._count += sum(count for count, _ in waiting)
        self._news.set()

    async def _write(self, events: Iterator[Event]) -> None:
        left: list[Event] = []
        some: list[Event] = []
        try:
            while some := list(islice(events, AT_ONCE)):
                left += await self._append(some)
        finally:
            left += chain(some, events)
            if left:
                self._put_back([(len(left), left)])
        if left:
            raise StoreUnavailable("some events are not logged")

    async def _append(self, events: Sequence[Event]) -> list[Event]:
        """Returns those that may not have been appended."""
        shards: dict[int, list[Event]] = defaultdict(list)
        for event in events:
            shards[shard_of(event)].append(event)
        entries = [(shard, len(some), encode(some)) for shard, some in shards.items()]
        left: list[Event] = []
        for (shard, count, _), appended in zip(entries, await self._streams.append(entries), strict=True):
            if appended is None:
                left += shards[shard]
            else:
                self._see(shard, count, appended)
        return left

    def _see(self, shard: int, count: int, appended: Appended) -> None:
        """Notice where the stream does not hold any more what this process had appended."""
        before, self._ends[shard] = self._ends[shard], appended.last
        if appended.last.number - count < before.number and appended.last.ms - before.ms < RETAINED_MS:
            self._missed_from = min(self._missed_from or before.ms, max(appended.before_ms, before.ms - RETAINED_MS))
            self._news.set()


def shard_of(event: Event) -> int:
    """The stream that an event is kept in."""
    return 0 if isinstance(event, Missed) else crc32(event.session.encode()) % SHARDS
