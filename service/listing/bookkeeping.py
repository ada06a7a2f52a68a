"""Keeping the index of sessions up to date behind the answers: it may lag, and never holds one up."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from service.listing.index import SessionIndex
from service.storage.connection import StoreUnavailable

PAUSE_S = 2.0
"""Between two updates while commits go on; the first after a pause is made at once."""
PAUSE_FACTOR = 4.0
"""A pause lasts at least this many times what the update took: where writes wait for a slow disk, commits go first."""
SETTLE_S = 1.0
"""Whoever lists sessions waits no longer than this for what was just committed here."""
SLICE = 256
"""Sessions that are noted at once. Of a thousand, the store's and this process's next answers would come 10 ms late."""

logger = logging.getLogger(__name__)


class Bookkeeping:
    """Notes which sessions were committed and which are gone, and brings the index up to date in the background."""

    def __init__(self, index: SessionIndex) -> None:
        self._index = index
        self._updated: dict[str, int] = {}
        self._gone: set[str] = set()
        self._news = asyncio.Event()
        self._wanted = asyncio.Event()
        self._begun, self._ended = 0, 0
        self._ending = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    def committed(self, sessions: Sequence[str], now_ms: int) -> None:
        """These sessions were committed at about this time of the store's clock."""
        self._updated.update(dict.fromkeys(sessions, now_ms))
        if self._gone:
            self._gone.difference_update(sessions)
        self._news.set()

    def gone(self, sessions: Sequence[str]) -> None:
        """These sessions are not there any more."""
        for session in sessions:
            self._updated.pop(session, None)
        self._gone.update(sessions)
        self._news.set()

    async def settle(self) -> None:
        """Wait, for a moment at most, until the index has what was committed here: who then lists finds it."""
        expected = self._begun + bool(self._updated or self._gone)
        if self._ended >= expected:
            return
        self._wanted.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S), self._ending:
                await self._ending.wait_for(lambda: self._ended >= expected)

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="bookkeeping")

    async def stop(self) -> None:
        """Bring the index up to date a last time."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        try:
            await self._update(len(self._updated) + len(self._gone))
        except StoreUnavailable:
            logger.warning("the index of sessions was not brought up to date; it is rebuilt from the records when lost")

    async def _run(self) -> None:
        whole = False
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                if not whole and not await self._index.is_whole():
                    await self._index.rebuild()
                whole = True
                await self._news.wait()
                began = clock()
                await self._round()
            except StoreUnavailable:
                whole = False  # a store that comes back may have come back empty
                self._begun = self._ended
            pause = max(PAUSE_S - (clock() - began), PAUSE_FACTOR * (clock() - began))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), pause)
            self._wanted.clear()

    async def _round(self) -> None:
        self._begun += 1
        await self._update(SLICE)
        async with self._ending:
            self._ended = self._begun
            self._ending.notify_all()

    async def _update(self, at_once: int) -> None:
        """Note all that is known now, so many sessions at once."""
        clock = asyncio.get_running_loop().time
        self._news.clear()
        updated, gone = list(self._updated.items()), list(self._gone)
        self._updated, self._gone = {}, set()
        try:
            while updated or gone:
                began = clock()
                if updated:
                    await self._index.note(dict(updated[-at_once:]))
                    del updated[-at_once:]
                else:
                    await self._index.forget(gone[-at_once:])
                    del gone[-at_once:]
                if updated or gone:
                    await asyncio.sleep(PAUSE_FACTOR * (clock() - began))
        except BaseException:
            self._updated = {**dict(updated), **self._updated}
            self._gone.update(session for session in gone if session not in self._updated)
            self._news.set()
            raise
