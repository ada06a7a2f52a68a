"""Which sessions are forecast worst: their recent errors in the index, brought up to date when somebody asks.

Nobody pays for it but whoever asks: commits know nothing of it, and only sessions that were committed since the last
time are read.
"""

import asyncio
from collections.abc import Callable

from service.listing.index import SessionIndex
from service.sessions.views import View, Views
from service.storage.connection import StoreUnavailable

FRESH_S = 2.0
PATIENCE_S = 1.0
"""A reader waits no longer; the order may then lag."""
PAGE = 500
OVERLAP_MS = 60_000
"""Commits may be noted in the index so much later than others that came after them."""
UNKNOWN = -1.0
"""Of a session without an error yet, or whose model is not here: less than any."""


class Ranking:
    """Orders sessions by their recent MASE; it may lag, as the index does."""

    def __init__(self, index: SessionIndex, views: Views, clock: Callable[[], float]) -> None:
        self._index = index
        self._views = views
        self._clock = clock
        self._done_at: float | None = None
        self._task: asyncio.Task[None] | None = None

    async def page(self, *, after: tuple[float, str] | None, limit: int, descending: bool) -> list[tuple[float, str]]:
        """At most `limit` (error, id), in order, those that follow `after` only. Raises StoreUnavailable."""
        if self._done_at is None or self._clock() - self._done_at > FRESH_S:
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(self._run(), name="ranking")
            await asyncio.wait({self._task}, timeout=PATIENCE_S)
        return await self._index.by_error(after=after, limit=limit, descending=descending)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        try:
            await self._catch_up()
        except StoreUnavailable:
            return  # the next reader tries again
        self._done_at = self._clock()

    async def _catch_up(self) -> None:
        """Rank the sessions that were committed since the last time, the longest ago first."""
        after = max(await self._index.ranked_until() - OVERLAP_MS, 0), ""
        while found := await self._index.by_time(after=after, limit=PAGE):
            after = found[-1]
            names = [name for _, name in found]
            views = await self._views.many(names)
            errors = {name: _error(view) for name, view in zip(names, views, strict=True) if view is not None}
            await self._index.rank(errors, after[0])


def _error(view: object) -> float:
    error = view.recent_error if isinstance(view, View) else None
    return UNKNOWN if error is None else error
