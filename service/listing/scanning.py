"""Which sessions a store holds, by its own keys: nothing is missed, however far the index lags."""

from collections.abc import AsyncIterator

from service.storage.connection import Failure, StoreUnavailable
from service.storage.store import SessionStore

SCAN_COUNT = 1000


async def stored_sessions(store: SessionStore, prefix: str = "") -> AsyncIterator[list[str]]:
    """The ids that begin with a prefix, some at a time, each once.

    What is there from the beginning to the end is found; what comes or goes meanwhile may be.

    Raises:
        StoreUnavailable: one of the servers did not answer.
    """
    seen: set[str] = set()
    for node in await store.servers.nodes(store.timeout_s):
        cursor = b"0"
        while True:
            cursor, keys = await _scan(store, node, cursor, store.key(f"{prefix}*"))
            fresh = [session for session in map(store.session, keys) if session not in seen]
            fresh = list(dict.fromkeys(fresh))
            seen.update(fresh)
            if fresh:
                yield fresh
            if cursor == b"0":
                break


async def _scan(store: SessionStore, node: tuple[str, int], cursor: bytes, pattern: bytes) -> tuple[bytes, list[bytes]]:
    question = (b"SCAN", cursor, b"MATCH", pattern, b"COUNT", b"%d" % SCAN_COUNT)
    [reply] = await store.servers.run_at(node, [question], store.timeout_s)
    if isinstance(reply, Failure):
        raise StoreUnavailable(reply.reason)
    next_cursor, keys = reply
    return next_cursor, keys
