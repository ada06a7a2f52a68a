"""Sessions of one model, and how many sessions a list has: by their records' heads, as the index knows no models."""

from collections.abc import Callable, Sequence

from service.listing.census import Census
from service.listing.index import SessionIndex
from service.sessions.demands import is_of
from service.storage.connection import StoreUnavailable
from service.storage.layout import HEAD_BYTES
from service.storage.record import heads_of
from service.storage.store import Found, SessionStore

PAGE = 500
"""Sessions read at once."""
LEAST_FRESH_S = 2.0
FRESH_FACTOR = 20.0
"""A count holds for this many times what it took."""
COUNTS = 64
"""That are kept."""


class Selecting:
    """Filters sessions by their model, and counts what a filter lets through; both may lag, as the index does."""

    def __init__(
        self, store: SessionStore, index: SessionIndex, census: Census, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._index = index
        self._census = census
        self._clock = clock
        self._counts: dict[tuple[str, str], tuple[float, int]] = {}

    async def of_model(self, sessions: Sequence[str], model: str) -> list[bool]:
        """Which sessions are there and have a model of this name, or `name@version`. Raises StoreUnavailable."""
        if not sessions:
            return []
        reading = await self._store.read(sessions, HEAD_BYTES)
        if (reading.found == Found.UNAVAILABLE).any():
            raise StoreUnavailable("the store did not answer")
        labels = heads_of(reading.rows)["model"].tolist()
        there = (reading.found == Found.PRESENT).tolist()
        return [found and is_of(label.decode(), model) for found, label in zip(there, labels, strict=True)]

    async def count(self, prefix: str, model: str) -> int:
        """How many sessions have ids that begin so, and such a model; "" = any. Raises StoreUnavailable."""
        if not model:
            return await self._index.count(prefix)
        counted = None if prefix else await self._census.count()
        if counted is not None:
            return sum(count for label, count in counted.by_model.items() if is_of(label, model))
        due, count = self._counts.get((prefix, model), (0.0, 0))
        began = self._clock()
        if began >= due:
            count = await self._counted(prefix, model)
            fresh_s = max(LEAST_FRESH_S, FRESH_FACTOR * (self._clock() - began))
            self._counts.pop((prefix, model), None)
            self._counts[prefix, model] = self._clock() + fresh_s, count
            if len(self._counts) > COUNTS:
                del self._counts[next(iter(self._counts))]
        return count

    async def _counted(self, prefix: str, model: str) -> int:
        count, names = 0, await self._index.by_name(prefix=prefix, limit=PAGE)
        while names:
            count += sum(await self.of_model(names, model))
            names = await self._index.by_name(prefix=prefix, after=names[-1], limit=PAGE)
        return count
