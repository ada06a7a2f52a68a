"""What the last request of a session was answered, for some minutes after the session is gone.

`hs:{<namespace>/<session>}:ended` is a value in the record's slot of a Cluster, which expires by itself. It is no part
of a session: only a request that ended one, and is sent again because its answer was lost, is answered from it.
"""

from collections.abc import Sequence

import msgspec

from models.dates.grid import grid
from service.storage.answers import Answer, Label
from service.storage.connection import Command, Failure, StoreUnavailable
from service.storage.store import SessionStore

KEPT_MS = 600_000
"""Clients that got no answer ask again within seconds."""


class Ending(msgspec.Struct, frozen=True):
    """An answer, and token and digest of the request that it was given to."""

    token: bytes
    digest: bytes
    model: str
    freq: str | None
    timezone: str
    answer: Answer

    def label(self, session: str) -> Label:
        """What the answer shows of the session."""
        if self.freq is None:
            return Label(session, self.model, None)
        return Label(session, self.model, grid(self.freq, self.timezone, self.answer.forecast_time))


class Endings:
    """Keeps them."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store

    async def keep(self, label: Label, answer: Answer, token: bytes, digest: bytes) -> None:
        """Keep the answer to a request that ends a session, before the session is deleted. Raises StoreUnavailable."""
        freq, timezone = (None, "") if label.grid is None else (label.grid.freq, label.grid.timezone)
        ending = msgspec.msgpack.encode(Ending(token, digest, label.model, freq, timezone, answer))
        key = self._key(label.session)
        await self._run(key, (b"SET", key, ending, b"PX", b"%d" % KEPT_MS))

    async def find(self, session: str) -> Ending | None:
        """The last one of a session, if it is kept still. Raises StoreUnavailable."""
        key = self._key(session)
        kept = await self._run(key, (b"GET", key))
        try:
            return None if kept is None else msgspec.msgpack.decode(kept, type=Ending)
        except msgspec.DecodeError:  # of another version
            return None

    def _key(self, session: str) -> bytes:
        return self._store.key(session) + b":ended"

    async def _run(self, key: bytes, arguments: Sequence[bytes]) -> bytes | None:
        [reply] = await self._store.servers.run([Command(key, tuple(arguments))], self._store.timeout_s)
        if isinstance(reply, Failure):
            raise StoreUnavailable("the store did not answer")
        found: bytes | None = reply
        return found
