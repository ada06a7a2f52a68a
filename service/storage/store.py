"""Where sessions live: one class over the Redis protocol, for every deployment; `commit.lua` is its one atomic step."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from struct import Struct
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from service.storage.connection import Failure, Servers, StoreUnavailable, Unconfirmed, connect
from service.storage.durability import Demand
from service.storage.history import Fields
from service.storage.record import Writes
from service.storage.scripts import Script
from service.storage.status import Confirmation, StoreStatus, read_status
from service.storage.watch import Unwatched, Watch

__all__ = [
    "Change",
    "Found",
    "Kind",
    "Outcome",
    "OutcomeUnknown",
    "Reading",
    "SessionStore",
    "StoreStatus",
    "StoreUnavailable",
    "WholeReading",
]


class OutcomeUnknown(Exception):
    """The command was sent and no reply came: it may have been applied. Sending the same change again settles it."""


class Kind(IntEnum):
    WRITE = 1
    """In place; the first of `writes` begins at 0 and covers at least the head."""
    REPLACE = 2
    """`writes` is the whole record, ((0, record),)."""
    DELETE = 3
    """`writes` is empty; `expected=None` deletes whatever is there. A session that is not there is APPLIED."""
    CONFIRM = 4
    """`writes` is empty; nothing is changed. APPLIED = the session still holds what it held at `expected`."""


class Outcome(IntEnum):
    """What became of a change. The last three are the client's own: no answer of the script."""

    APPLIED = 1
    REPLAYED = 2
    """This very change (its token and digest) was applied before."""
    KEY_REUSED = 3
    """The token is known with another digest."""
    CONFLICT = 4
    REGRESSED = 5
    """The same incarnation, but the store holds a lower revision than expected: it lost acknowledged commits."""
    MISSING = 6
    EXPIRED = 7
    UNAVAILABLE = 8
    """Not sent, or refused: not applied."""
    UNKNOWN = 9
    """Sent, and no reply came: perhaps applied."""
    UNCONFIRMED = 10
    """APPLIED or REPLAYED, but it did not arrive in time where the durability asked for wants it."""


class Found(IntEnum):
    ABSENT = 0
    """Unknown, deleted, evicted and expired (by the store's clock) are the same."""
    PRESENT = 1
    UNAVAILABLE = 2


@dataclass(slots=True)  # frozen ones take three times as long to make, and each wave makes a hundred
class Change:
    """One commit of one session.

    Args:
        token: 16 bytes that name this change, looked up before anything is compared; zeros = none.
        digest: 8 bytes, hash of its payload.
        expected: 16 bytes, the position as read (layout.py); None = there must be no session, or an expired one.
        ttl_ms: after which the session expires, counted from this commit by the store's clock; 0 = never.
        full: the session keeps its whole history, before or after the change.
        history: what to put into that; a WRITE needs none, because the commit itself moves filled rings.
    """

    session: str
    token: bytes
    digest: bytes
    expected: bytes | None
    kind: Kind
    writes: Writes
    ttl_ms: int
    full: bool = False
    history: Fields = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """B sessions, in the order asked for: `found` (B,) of `Found`, `rows` (B, length) bytes, zeros if there are none.

    `now_ms` is the store's clock.
    """

    now_ms: int
    found: NDArray[np.uint8]
    rows: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class WholeReading:
    """B whole records; None where `found` is not PRESENT. `now_ms` is the store's clock."""

    now_ms: int
    found: list[Found]
    blobs: list[bytes | None]


@dataclass(frozen=True, slots=True)
class HistoryReading:
    """A whole record (None where `found` is not PRESENT) and parts of its history, read at one moment.

    `base` and `chunks` as history.py says; None = not there. `now_ms` is the store's clock.
    """

    now_ms: int
    found: Found
    blob: bytes | None
    base: bytes | None
    chunks: list[bytes | None]


ANY = Demand()
OUTCOMES = (None, *Outcome)
UNCONFIRMED_AS = dict.fromkeys((Outcome.APPLIED, Outcome.REPLAYED), Outcome.UNCONFIRMED)


class SessionStore:
    """Sessions in a Redis-protocol store. Calls may run at the same time; none lasts longer than `timeout_s`.

    Attributes:
        now_ms: the store's clock, as its latest answer told it.
        unsettled: changes so far of which nobody knows whether they were applied.
        watch: is told how the store is used.
    """

    def __init__(self, servers: Servers, namespace: str, timeout_s: float, demand: Demand = ANY) -> None:
        self.servers = servers
        self.namespace = namespace
        self.timeout_s = timeout_s
        self.demand = demand
        self.now_ms = self.unsettled = 0
        self.watch: Watch = Unwatched()
        self._confirmation = Confirmation(servers, demand)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, namespace: str = "default", timeout_s: float = 2.0, demand: Demand = ANY
    ) -> AsyncIterator[SessionStore]:
        """Connect lazily: a store that is down makes the calls fail, not this one.

        Args:
            url: `redis://`, `rediss://`, `unix://`, `redis+sentinel://h1:p,h2:p/service/db` or `redis+cluster://h1:p,h2:p`.
            demand: what must have become of a commit before it is APPLIED.

        Raises:
            ValueError: the URL is none of these.
        """
        servers = connect(url, timeout_s)
        try:
            yield cls(servers, namespace, timeout_s, demand)
        finally:
            await servers.close()

    def key(self, session: str) -> bytes:
        return f"hs:{{{self.namespace}/{session}}}".encode()

    def session(self, key: bytes) -> str:
        """The session whose record's key this is."""
        return key[len(self.key("")) - 1 : -1].decode()

    def history_key(self, session: str) -> bytes:
        return self.key(session) + b":history"

    async def read(self, sessions: Sequence[str], length: int) -> Reading:
        """The first `length` bytes (head and state) of each record, in one round trip.

        Never raises for the store's faults: see `found`.
        """
        begun = perf_counter()
        found = np.full(len(sessions), Found.UNAVAILABLE, np.uint8)
        rows = np.zeros((len(sessions), length), np.uint8)
        now_ms = 0
        replies = await self._read(sessions, length)
        self.watch.called("read", begun)
        for part, reply in replies:
            size = part.stop - part.start
            now_ms = int.from_bytes(reply[:8], "little")
            found[part] = np.frombuffer(reply, np.uint8, size, 8)
            rows[part] = np.frombuffer(reply, np.uint8, offset=8 + size).reshape(size, length)
            self.now_ms = now_ms
        return Reading(now_ms, found, rows)

    async def read_whole(self, sessions: Sequence[str]) -> WholeReading:
        """Whole records, in one round trip. Never raises for the store's faults: see `found`."""
        begun = perf_counter()
        found = [Found.UNAVAILABLE] * len(sessions)
        blobs: list[bytes | None] = [None] * len(sessions)
        now_ms = 0
        replies = await self._read(sessions, 0)
        self.watch.called("read_whole", begun)
        for part, reply in replies:
            size = part.stop - part.start
            now_ms = int.from_bytes(reply[:8], "little")
            found[part] = [Found(flag) for flag in reply[8 : 8 + size]]
            at, lengths = 8 + 5 * size, Struct(f"<{size}I").unpack_from(reply, 8 + size)
            for row, length in zip(range(part.start, part.stop), lengths, strict=True):
                if found[row] is Found.PRESENT:
                    blobs[row] = reply[at : at + length]
                at += length
        return WholeReading(now_ms, found, blobs)

    async def read_history(self, session: str, first: int, last: int = 0) -> HistoryReading:
        """A record whose history is kept in full, with the chunks of the steps from `first` to `last` (0 = the newest).

        Never raises for the store's faults: see `found`.
        """
        keys, arguments = [self.key(session), self.history_key(session)], [b"%d" % first, b"%d" % last]
        begun = perf_counter()
        [reply] = await self.servers.run([HISTORY.command(keys, arguments)], self.timeout_s, repeatable=True)
        self.watch.called("read_history", begun)
        if isinstance(reply, Failure):
            return HistoryReading(0, Found.UNAVAILABLE, None, None, [])
        now, blob, base, *chunks = reply
        found = Found.PRESENT if blob else Found.ABSENT
        return HistoryReading(int.from_bytes(now, "little"), found, blob or None, base, chunks)

    async def commit(self, changes: Sequence[Change]) -> list[Outcome]:
        """Apply each change (of different sessions) if its session still stands where it was read, in one round trip.

        Each change is atomic; those of one call are not atomic together. Never raises for the store's faults: a node
        that fails costs its own sessions UNAVAILABLE or UNKNOWN and no others. Where replicas
        must confirm, each node is waited for on the connection that wrote, and what is not confirmed is UNCONFIRMED.
        """
        parts = self._parts(len(changes))
        must_write = self.demand.wait is not None
        commands = [
            COMMIT.command(
                self._keys(changes[part]),
                [argument for change in changes[part] for argument in _packed(change, must_write=must_write)],
            )
            for part in parts
        ]
        outcomes: list[Outcome] = []
        begun = perf_counter()
        replies = await self.servers.run(commands, self.timeout_s, waits=self._confirmation)
        self.watch.called("commit", begun)
        for part, reply in zip(parts, replies, strict=True):
            if isinstance(reply, Failure):
                outcomes += [Outcome.UNKNOWN if reply.sent else Outcome.UNAVAILABLE] * (part.stop - part.start)
                self.unsettled += reply.sent * (part.stop - part.start)
                continue
            told = reply.reply if isinstance(reply, Unconfirmed) else reply
            self.now_ms = int.from_bytes(told[:8], "little")
            self.watch.conflicted(told.count(Outcome.CONFLICT, 8))
            if isinstance(reply, Unconfirmed):
                outcomes += [UNCONFIRMED_AS.get(Outcome(code), Outcome(code)) for code in told[8:]]
            else:
                outcomes += [OUTCOMES[code] for code in told[8:]]
        return outcomes

    async def confirm(self, session: str, position: bytes) -> Outcome:
        """Settle that what was read at a position is as durable as asked, before it is told as an earlier answer.

        Costs nothing where the durability asked for takes no wait. APPLIED, UNCONFIRMED, UNAVAILABLE, UNKNOWN, or, if
        the session does not hold any more what was read: REGRESSED, CONFLICT, MISSING or EXPIRED.
        """
        if self.demand.wait is None:
            return Outcome.APPLIED
        [outcome] = await self.commit([confirmation(session, position)])
        return outcome

    async def read_one(self, session: str) -> bytes | None:
        """One whole record; None = there is none.

        Raises:
            StoreUnavailable: the store did not answer.
        """
        reading = await self.read_whole([session])
        if reading.found[0] is Found.UNAVAILABLE:
            raise StoreUnavailable("the store did not answer")
        return reading.blobs[0]

    async def commit_one(self, change: Change) -> Outcome:
        """One change.

        Raises:
            StoreUnavailable: it was not applied.
            OutcomeUnknown: it may have been.
        """
        [outcome] = await self.commit([change])
        if outcome is Outcome.UNAVAILABLE:
            raise StoreUnavailable("the store did not take the change")
        if outcome is Outcome.UNKNOWN:
            raise OutcomeUnknown("the store did not answer")
        return outcome

    async def status(self) -> StoreStatus:
        """What the store is and promises; of several servers the weakest promise counts.

        Raises:
            StoreUnavailable: one of its servers did not answer, within STATUS_S.
        """
        begun = perf_counter()
        status, abilities = await read_status(self.servers, self.demand, self.timeout_s)
        self.watch.called("status", begun)
        self._confirmation.learn(abilities)
        return status

    async def _read(self, sessions: Sequence[str], length: int) -> list[tuple[slice, bytes]]:
        parts = self._parts(len(sessions))
        arguments = [str(length).encode()]
        commands = [READ.command([self.key(session) for session in sessions[part]], arguments) for part in parts]
        replies = await self.servers.run(commands, self.timeout_s, repeatable=True)
        return [(part, reply) for part, reply in zip(parts, replies, strict=True) if not isinstance(reply, Failure)]

    def _keys(self, changes: Sequence[Change]) -> list[bytes]:
        records = [self.key(change.session) for change in changes]
        return [*records, *(self.history_key(change.session) for change in changes if change.full)]

    def _parts(self, count: int) -> list[slice]:
        batch = self.servers.batch
        return [slice(at, min(at + batch, count)) for at in range(0, count, batch)]


def confirmation(session: str, position: bytes) -> Change:
    """What `SessionStore.confirm` commits."""
    return Change(session, bytes(16), bytes(8), position, Kind.CONFIRM, (), ttl_ms=0)


COMMIT = Script("commit.lua")
READ = Script("read.lua")
HISTORY = Script("history.lua")

@lru_cache(maxsize=256)
def _change(writes: int) -> Struct:
    return Struct(f"<BB16s8s16sQBI{writes}I")


def _packed(change: Change, *, must_write: bool) -> list[bytes]:
    """A change as commit.lua reads it. `must_write`: also where it finds itself done, so that it can be waited for."""
    writes, history = change.writes, change.history
    offsets, pieces = zip(*writes, strict=True) if writes else ((), ())
    what = _change(len(writes)).pack(
        change.kind,
        (change.expected is not None) | must_write << 1,
        change.token,
        change.digest,
        change.expected or b"",
        change.ttl_ms,
        len(writes),
        len(history),
        *offsets,
    )
    if not history:
        return [what, *pieces]
    return [what, *pieces, *[part for field in history for part in field]]
