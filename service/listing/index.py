"""Which sessions there are, by name, by time of the last commit and by error: derived from the records, rebuilt when it
is gone.

It is brought up to date behind the answers and may lag or name a session that has expired; the records decide.
Session ids are spread over a fixed number of shards, each three sorted sets under one hash tag, so that no server of a
Cluster holds all. Errors are looked up only when they are asked for (`ranking.py`).
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any
from zlib import crc32

from service.listing.scanning import stored_sessions
from service.storage.connection import Command, Failure, StoreUnavailable
from service.storage.layout import HEAD_BYTES
from service.storage.record import heads_of
from service.storage.store import Found, SessionStore

SHARDS = 16
PAGE = 500
"""Sessions read at once while the index is rebuilt."""


class SessionIndex:
    """The sessions of one store and namespace. Every call may raise StoreUnavailable."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store

    async def note(self, updated_ms: Mapping[str, int]) -> None:
        """These sessions were committed, at these times of the store's clock."""
        commands = []
        for shard, sessions in _by_shard(updated_ms).items():
            names = [part for session in sessions for part in (b"0", session.encode())]
            times = [part for session in sessions for part in (b"%d" % updated_ms[session], session.encode())]
            commands += [self._command(shard, b"ZADD", b"name", *names), self._command(shard, b"ZADD", b"time", *times)]
        await self._run(commands)

    async def forget(self, sessions: Iterable[str]) -> None:
        """These sessions are gone."""
        commands = []
        for shard, gone in _by_shard(sessions).items():
            members = [session.encode() for session in gone]
            commands += [self._command(shard, b"ZREM", order, *members) for order in (b"name", b"time", b"error")]
        await self._run(commands)

    async def count(self, prefix: str = "") -> int:
        """How many ids begin so."""
        span = (b"[" + prefix.encode(), b"(" + prefix.encode() + b"\xff") if prefix else (b"-", b"+")
        shards = range(SHARDS)
        counts: list[int] = await self._run([self._command(shard, b"ZLEXCOUNT", b"name", *span) for shard in shards])
        return sum(counts)

    async def by_name(self, *, prefix: str = "", after: str = "", limit: int, descending: bool = False) -> list[str]:
        """At most `limit` ids that begin with `prefix`, in order; those that follow `after`, "" = all."""
        low, high = b"[" + prefix.encode(), b"(" + prefix.encode() + b"\xff"
        if after and descending:
            high = b"(" + after.encode()
        elif after:
            low = b"(" + after.encode()
        span = (high, low, b"BYLEX", b"REV") if descending else (low, high, b"BYLEX")
        pages = await self._pages(b"name", *span, b"LIMIT", b"0", b"%d" % limit)
        found = heapq.merge(*([name.decode() for name in page] for page in pages), reverse=descending)
        return list(found)[:limit]

    async def walk(self, limit: int) -> AsyncIterator[list[str]]:
        """All ids, at most `limit` at once, in no order that means anything."""
        for shard in range(SHARDS):
            low = b"-"
            while True:
                span = (low, b"+", b"BYLEX", b"LIMIT", b"0", b"%d" % limit)
                [page] = await self._run([self._command(shard, b"ZRANGE", b"name", *span)])
                if not page:
                    break
                yield [name.decode() for name in page]
                low = b"(" + page[-1]

    async def by_time(
        self, *, after: tuple[int, str] | None = None, limit: int, descending: bool = False
    ) -> list[tuple[int, str]]:
        """At most `limit` (updated_ms, id), in order, those that follow `after` only."""
        found = await self._by_score(b"time", after, limit, descending)
        return [(int(time), name) for time, name in found]

    async def by_error(
        self, *, after: tuple[float, str] | None = None, limit: int, descending: bool = False
    ) -> list[tuple[float, str]]:
        """At most `limit` (error, id), in order, those that follow `after` only; as `rank` was told."""
        return await self._by_score(b"error", after, limit, descending)

    async def rank(self, errors: Mapping[str, float], until_ms: int) -> None:
        """These sessions have these errors; all that were committed before `until_ms` are ranked now."""
        commands = []
        for shard, sessions in _by_shard(errors).items():
            scored = [part for session in sessions for part in (repr(errors[session]).encode(), session.encode())]
            commands.append(self._command(shard, b"ZADD", b"error", *scored))
        await self._run([*commands, self._marker(b"ranked", b"SET", b"%d" % until_ms)])

    async def ranked_until(self) -> int:
        """The `until_ms` of the last call of `rank`; 0 = none was ranked."""
        return int((await self._run([self._marker(b"ranked", b"GET")]))[0] or 0)

    async def is_whole(self) -> bool:
        """Whether the index was ever built in this store: it is lost with it, and by a flush."""
        return bool((await self._run([self._marker(b"built", b"EXISTS")]))[0])

    async def rebuild(self) -> int:
        """Read every record's key and time, and index it; how many there are. Commits may go on meanwhile."""
        found = 0
        async for sessions in stored_sessions(self._store):
            for at in range(0, len(sessions), PAGE):
                found += await self._index(sessions[at : at + PAGE])
        await self._run([self._marker(b"built", b"SET", b"1")])
        return found

    async def _index(self, sessions: Sequence[str]) -> int:
        reading = await self._store.read(sessions, HEAD_BYTES)
        times = heads_of(reading.rows)["updated_ms"].tolist()
        rows = zip(sessions, times, reading.found, strict=True)
        present = {session: time for session, time, found in rows if found == Found.PRESENT}
        await self.note(present)
        return len(present)

    async def _by_score(
        self, order: bytes, after: tuple[float, str] | None, limit: int, descending: bool
    ) -> list[tuple[float, str]]:
        start = repr(after[0]).encode() if after else (b"+inf" if descending else b"-inf")
        span = (start, b"-inf", b"BYSCORE", b"REV") if descending else (start, b"+inf", b"BYSCORE")
        # Sessions of one wave share their time, so those at the start that were given before are asked for again.
        same = await self._count_of(order, after[0]) if after else 0
        pages = await self._pages(order, *span, b"LIMIT", b"0", b"%d" % (limit + same), b"WITHSCORES")
        scored = [pair for page in pages for pair in zip(page[::2], page[1::2], strict=True)]
        found = sorted(((float(score), name.decode()) for name, score in scored), reverse=descending)
        if after:
            found = [entry for entry in found if (entry < after if descending else entry > after)]
        return found[:limit]

    async def _count_of(self, order: bytes, score: float) -> int:
        """At most how many sessions of a shard have this score."""
        at = repr(score).encode()
        counts: list[int] = await self._run([self._command(i, b"ZCOUNT", order, at, at) for i in range(SHARDS)])
        return max(counts)

    async def _pages(self, order: bytes, *span: bytes) -> list[list[bytes]]:
        return await self._run([self._command(shard, b"ZRANGE", order, *span) for shard in range(SHARDS)])

    async def _run(self, commands: Sequence[Command]) -> list[Any]:
        replies = await self._store.servers.run(commands, self._store.timeout_s, repeatable=True)
        for reply in replies:
            if isinstance(reply, Failure):
                raise StoreUnavailable(reply.reason)
        return replies

    def _command(self, shard: int, verb: bytes, order: bytes, *arguments: bytes) -> Command:
        key = f"hs-index:{{{self._store.namespace}/{shard}}}:".encode() + order
        return Command(key, (verb, key, *arguments))

    def _marker(self, name: bytes, verb: bytes, *arguments: bytes) -> Command:
        key = f"hs-index:{{{self._store.namespace}}}:".encode() + name
        return Command(key, (verb, key, *arguments))


def _by_shard(sessions: Iterable[str]) -> dict[int, list[str]]:
    shards: dict[int, list[str]] = defaultdict(list)
    for session in sessions:
        shards[crc32(session.encode()) % SHARDS].append(session)
    return shards
