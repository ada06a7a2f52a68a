"""Where sessions live: one class over the Redis protocol, for every deployment; `commit.lua` is its one atomic step."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from service.record import Writes


class StoreUnavailable(Exception):
    """The store could not be asked, or refused: nothing was changed."""


class OutcomeUnknown(Exception):
    """The command was sent and no reply came: it may have been applied. Sending the same change again settles it."""


class Kind(IntEnum):
    WRITE = 1
    """In place; the first of `writes` begins at 0 and covers at least the head."""
    REPLACE = 2
    """`writes` is the whole record, ((0, record),)."""
    DELETE = 3
    """`writes` is empty; `expected=None` deletes whatever is there. A session that is not there is APPLIED."""


class Outcome(IntEnum):
    """What became of a change. The last two are the client's own: no answer of the script."""

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
    WRONG_MODEL = 8
    UNAVAILABLE = 9
    """Not sent, or refused: not applied."""
    UNKNOWN = 10
    """Sent, and no reply came: perhaps applied."""


class Found(IntEnum):
    ABSENT = 0
    """Unknown, deleted, evicted and expired (by the store's clock) are the same."""
    PRESENT = 1
    UNAVAILABLE = 2


@dataclass(frozen=True, slots=True)
class Change:
    """One commit of one session.

    Args:
        token: 16 bytes that name this change, looked up before anything is compared; zeros = none.
        digest: 8 bytes, hash of its payload.
        expected: 16 bytes, incarnation and revision as read; None = there must be no session, or an expired one.
        fingerprint: 32 bytes, model of the record as it was read; not compared if `expected` is None and for DELETE.
        ttl_ms: after which the session expires, counted from this commit by the store's clock; 0 = never.
    """

    session: str
    token: bytes
    digest: bytes
    expected: bytes | None
    fingerprint: bytes
    kind: Kind
    writes: Writes
    ttl_ms: int


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
class StoreStatus:
    """What the store is and promises, in the words of `/v1/status`."""

    engine: str
    version: str
    deployment: str
    persistence: str
    eviction: str
    durability: str
    used_bytes: int
    limit_bytes: int | None
    writable: bool


class SessionStore:
    """Sessions in a Redis-protocol store. Calls may run at the same time; none lasts longer than `timeout_s`."""

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, namespace: str = "default", timeout_s: float = 2.0) -> AsyncIterator[SessionStore]:
        """Connect lazily: a store that is down makes the calls fail, not this one.

        Args:
            url: `redis://`, `rediss://`, `unix://`, `redis+sentinel://h1:p,h2:p/service/db` or `redis+cluster://h1:p,h2:p`.
        """
        raise NotImplementedError
        yield cls()

    async def read(self, sessions: Sequence[str], length: int) -> Reading:
        """The first `length` bytes (head and state) of each record, in one round trip.

        Never raises for the store's faults: see `found`.
        """
        raise NotImplementedError

    async def read_whole(self, sessions: Sequence[str]) -> WholeReading:
        """Whole records, in one round trip."""
        raise NotImplementedError

    async def commit(self, changes: Sequence[Change]) -> list[Outcome]:
        """Apply each change (of different sessions) if its session still stands where it was read, in one round trip.

        Each change is atomic; those of one call are not atomic together. Never raises for the store's faults: a node
        that fails costs its own sessions UNAVAILABLE or UNKNOWN and no others.
        """
        raise NotImplementedError

    async def read_one(self, session: str) -> bytes | None:
        """One whole record. Raises StoreUnavailable."""
        raise NotImplementedError

    async def commit_one(self, change: Change) -> Outcome:
        """One change. Raises StoreUnavailable, OutcomeUnknown."""
        raise NotImplementedError

    async def status(self) -> StoreStatus:
        """Raises StoreUnavailable."""
        raise NotImplementedError
