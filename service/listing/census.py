"""Counting sessions: how many each model has, how many are overdue, what one costs. Done when asked, kept a while."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from service.listing.index import SessionIndex
from service.sessions.places import Places
from service.storage.connection import Command, StoreUnavailable
from service.storage.layout import HEAD_BYTES, NO_TIME
from service.storage.plausible import implausible
from service.storage.record import heads_of
from service.storage.store import Found, SessionStore
from service.wire.session_problems import RecordDamaged

FRESH_S = 30.0
PATIENCE_S = 1.0
"""A reader waits no longer for a count; it is then answered with the one before."""
PAGE = 500
SAMPLE = 20
"""Sessions whose memory is asked for."""


@dataclass(frozen=True, slots=True)
class Count:
    """`overdue`: sessions whose next observation is more than one period late. `bytes_each` None = there are none."""

    overdue: int = 0
    by_model: Counter[str] = field(default_factory=Counter)
    bytes_each: int | None = None


class Census:
    """Counts by the index; it may lag a few seconds, as the index does."""

    def __init__(self, store: SessionStore, index: SessionIndex, clock: Callable[[], float]) -> None:
        self._store = store
        self._index = index
        self._clock = clock
        self._last: Count | None = None
        self._counted_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def count(self) -> Count | None:
        """The latest count; None before the first is done."""
        if self._last is None or self._clock() - self._counted_at > FRESH_S:
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(self._run(), name="census")
            await asyncio.wait({self._task}, timeout=PATIENCE_S)
        return self._last

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        try:
            self._last = await self._counted()
        except StoreUnavailable:
            return  # the next reader tries again
        self._counted_at = self._clock()

    async def _counted(self) -> Count:
        overdue, by_model, after = 0, Counter[str](), ""
        sample: list[str] = []
        while names := await self._index.by_name(after=after, limit=PAGE):
            after = names[-1]
            sample = sample or names[:SAMPLE]
            reading = await self._store.read(names, HEAD_BYTES)
            heads = heads_of(reading.rows)
            places, damaged = Places(names, heads), implausible(heads)
            for row in range(len(names)):
                if reading.found[row] != Found.PRESENT or row in damaged:
                    continue
                with suppress(RecordDamaged):
                    by_model[places.label(row).model] += 1
                    overdue += _is_overdue(places, row, reading.now_ms)
        return Count(overdue, by_model, await self._bytes_each(sample))

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
