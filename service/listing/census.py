"""Counting sessions: how many each model has, how many are overdue, how well they are forecast, what one costs.

One process counts, when somebody asks; it keeps the count in the store for a while, for all processes of the service.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from service.listing.index import SessionIndex
from service.listing.readable import readable, sound
from service.sessions.places import Places
from service.sessions.registry import Registry
from service.storage.connection import Command, Failure, StoreUnavailable
from service.storage.layout import HEAD_BYTES, NO_TIME
from service.storage.record import heads_of
from service.storage.store import Found, SessionStore

LEAST_FRESH_S = 2.0
FRESH_FACTOR = 50.0
"""A count holds for this many times what it took, so that counting takes a fiftieth of one process's time at most."""
CLAIM_S = 10.0
"""A process that counts, and has not said so for this time, is taken for dead."""
PATIENCE_S = 1.0
"""A reader waits no longer for a count; it is then answered with the one before."""
LOOK_AGAIN_S = 0.1
PAGE = 128
PAUSE_FACTOR = 2.0
"""After each page a pause lasts this many times what the page took: observations go first."""
SAMPLE = 20
"""Sessions whose memory is asked for."""
STEPS, COVERED = 0, {"80": 4, "95": 5}
"""Where the running scores have the number of scored steps, and of those inside the interval of a level."""


class Count(msgspec.Struct, frozen=True):
    """Args:
    overdue: sessions whose next observation is more than one period late.
    drifting: sessions whose errors have changed of late, as their models notice it.
    scored: recent steps that were scored; `covered`: so many of them inside the interval of a level.
    bytes_each: of the store's memory; None = there are no sessions.
    """

    overdue: int = 0
    drifting: int = 0
    by_model: dict[str, int] = {}
    scored: float = 0.0
    covered: dict[str, float] = {}
    bytes_each: int | None = None

    @property
    def sessions(self) -> int:
        return sum(self.by_model.values())

    @property
    def coverage(self) -> dict[str, float]:
        """By level, the share of recent observations inside their intervals."""
        return {level: count / self.scored for level, count in self.covered.items()} if self.scored > 0 else {}


class Census:
    """Counts by the index; it may lag a few seconds, as the index does.

    Args:
        forgotten: is told which sessions of the index are not there any more: the store lets them expire by itself.
    """

    def __init__(
        self,
        store: SessionStore,
        index: SessionIndex,
        registry: Registry,
        forgotten: Callable[[Sequence[str]], None],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._forgotten = forgotten
        self._index = index
        self._registry = registry
        self._clock = clock
        self._last: Count | None = None
        self._task: asyncio.Task[None] | None = None

    async def count(self) -> Count | None:
        """The latest count; None before the first is done."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="census")
        await asyncio.wait({self._task}, timeout=PATIENCE_S)
        return self._last

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        """Take the count that is kept, or count; where another process is at it, wait a while for that."""
        give_up = self._clock() + PATIENCE_S
        try:
            while self._clock() < give_up:
                kept = await self._ask(b"GET", b"count")
                if kept is not None:
                    self._last = msgspec.json.decode(kept, type=Count)
                    return
                if await self._claim(b"NX"):
                    self._last = await self._kept()
                    return
                await asyncio.sleep(LOOK_AGAIN_S)
        except StoreUnavailable:
            return  # the next reader tries again

    async def _claim(self, *condition: bytes) -> bool:
        """Say to other processes that this one counts; whether it does."""
        return bool(await self._ask(b"SET", b"counting", b"1", b"PX", b"%d" % int(1000 * CLAIM_S), *condition))

    async def _kept(self) -> Count:
        """Count, and keep the count for others. Of no sessions none is kept: the first ones are seen at once."""
        try:
            began = self._clock()
            count = await self.counted()
            fresh_s = max(LEAST_FRESH_S, FRESH_FACTOR * (self._clock() - began) / (1 + PAUSE_FACTOR))
            if count.sessions:
                await self._ask(b"SET", b"count", msgspec.json.encode(count), b"PX", b"%d" % int(1000 * fresh_s))
        finally:
            await self._ask(b"DEL", b"counting")
        return count

    async def counted(self) -> Count:
        """Count now, whatever is kept. Raises StoreUnavailable."""
        overdue, drifting, scored = 0, 0, 0.0
        by_model, covered = Counter[str](), Counter[str]()
        sample: list[str] = []
        claimed = self._clock()
        async for names in self._index.walk(PAGE):
            began = self._clock()
            if began - claimed > CLAIM_S / 2:
                await self._claim()
                claimed = began
            sample = sample or names[:SAMPLE]
            reading = await self._store.read(names, self._registry.live_bytes)
            if not (there := reading.found != Found.ABSENT).all():
                self._forgotten([name for name, is_there in zip(names, there.tolist(), strict=True) if not is_there])
            places = Places(names, heads_of(reading.rows))
            groups = readable(places, reading, self._registry)
            for rows in groups.values():
                by_model.update(places.label(row).model for row in rows)
                overdue += sum(_is_overdue(places, row, reading.now_ms) for row in rows)
            for loaded, _, live in sound(groups, reading.rows):
                states = live[:, HEAD_BYTES:]
                drifting += int((loaded.model.alarmed(states) > 0).sum())
                scores = loaded.spec.layout.view(states, "scores.recent").sum(axis=0).tolist()
                scored += scores[STEPS]
                covered.update({level: scores[at] for level, at in COVERED.items()})
            await asyncio.sleep(PAUSE_FACTOR * (self._clock() - began))
        return Count(overdue, drifting, dict(by_model), scored, dict(covered), await self._bytes_each(sample))

    async def _ask(self, verb: bytes, name: bytes, *arguments: bytes) -> bytes | None:
        key = f"hs-index:{{{self._store.namespace}}}:".encode() + name
        [reply] = await self._store.servers.run([Command(key, (verb, key, *arguments))], self._store.timeout_s)
        if isinstance(reply, Failure):
            raise StoreUnavailable(reply.reason)
        told: bytes | None = reply
        return told

    async def _bytes_each(self, sessions: list[str]) -> int | None:
        """Bytes of the store's memory that one session takes, keys and all."""
        keys = [self._store.key(session) for session in sessions]
        commands = [Command(key, (b"MEMORY", b"USAGE", key)) for key in keys]
        replies = await self._store.servers.run(commands, self._store.timeout_s, repeatable=True)
        sizes = [size for size in replies if isinstance(size, int)]
        return sum(sizes) // len(sizes) if sizes else None


def _is_overdue(places: Places, row: int, now_ms: int) -> bool:
    grid, last = places.label(row).grid, places.lasts[row]
    return grid is not None and last != NO_TIME and grid.advance(last, 2) < 1000 * now_ms
