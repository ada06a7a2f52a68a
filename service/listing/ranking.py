"""Which sessions are forecast worst: their recent errors in the index, brought up to date when somebody asks.

Nobody pays for it but whoever asks: commits know nothing of it, and only sessions that were committed since the last
time are read.
"""

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from service.listing.index import SessionIndex
from service.sessions.registry import Registry
from service.storage.connection import StoreUnavailable
from service.storage.layout import HEAD_BYTES
from service.storage.record import heads_of
from service.storage.store import Found, SessionStore

FRESH_S = 2.0
PAUSE_FACTOR = 4.0
LONGEST_PAUSE_S = 60.0
"""The order is left as it is for this many times what it took to bring it up to date: commits go first."""
PATIENCE_S = 1.0
"""A reader waits no longer; the order may then lag."""
PAGE = 256
OVERLAP_MS = 60_000
"""Commits may be noted in the index so much later than others that came after them."""
UNKNOWN = -1.0
"""Of a session without an error yet, or whose model is not here: less than any."""


class Ranking:
    """Orders sessions by their recent MASE; it may lag, as the index does."""

    def __init__(
        self, store: SessionStore, registry: Registry, index: SessionIndex, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._registry = registry
        self._index = index
        self._clock = clock
        self._due = 0.0
        self._task: asyncio.Task[None] | None = None

    async def page(self, *, after: tuple[float, str] | None, limit: int, descending: bool) -> list[tuple[float, str]]:
        """At most `limit` (error, id), in order, those that follow `after` only. Raises StoreUnavailable."""
        if self._task is None or (self._task.done() and self._clock() >= self._due):
            self._task = asyncio.get_running_loop().create_task(self._run(), name="ranking")
        await asyncio.wait({self._task}, timeout=PATIENCE_S)
        return await self._index.by_error(after=after, limit=limit, descending=descending)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        began = self._clock()
        try:
            await self._catch_up()
        except StoreUnavailable:
            return  # the next reader tries again
        pause = PAUSE_FACTOR * (self._clock() - began)
        self._due = self._clock() + min(max(FRESH_S, pause), LONGEST_PAUSE_S)

    async def _catch_up(self) -> None:
        """Rank the sessions that were committed since the last time, the longest ago first."""
        after = max(await self._index.ranked_until() - OVERLAP_MS, 0), ""
        while found := await self._index.by_time(after=after, limit=PAGE):
            after = found[-1]
            await self._index.rank(await self._errors([name for _, name in found]), after[0])

    async def _errors(self, sessions: Sequence[str]) -> dict[str, float]:
        """The recent errors of those that are there."""
        reading = await self._store.read(sessions, self._registry.live_bytes)
        if (reading.found == Found.UNAVAILABLE).any():
            raise StoreUnavailable("the store did not answer")
        fingerprints = heads_of(reading.rows)["fingerprint"]
        errors = np.full(len(sessions), UNKNOWN)
        for loaded in self._registry.models:
            of_model = np.flatnonzero((fingerprints == np.frombuffer(loaded.spec.fingerprint, np.uint8)).all(axis=1))
            states = reading.rows[of_model, HEAD_BYTES : loaded.layout.live_bytes]
            errors[of_model] = _relative(loaded.spec.layout.view(states, "scores.recent"))
        present = zip(sessions, errors.tolist(), (reading.found == Found.PRESENT).tolist(), strict=True)
        return {session: error for session, error, is_there in present if is_there}


def _relative(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B,) the MASE of scores (B, 6); UNKNOWN where there is none, or it is no number."""
    error, naive = sums[:, 1], sums[:, 2]
    known = (naive > 0) & np.isfinite(error) & np.isfinite(naive)
    return np.where(known, error / np.where(known, naive, 1.0), UNKNOWN)
