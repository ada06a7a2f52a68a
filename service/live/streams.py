"""The log in the store: a few bounded streams, who writes to them, and whether anybody reads them.

Entries are derived from commits and come after them; no commit waits for one. Each holds the events of many commits.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from service.live.entries import RETAINED_MS, Entry
from service.live.positions import START, Position
from service.storage.connection import Command, Failure, StoreUnavailable
from service.storage.scripts import Script
from service.storage.store import SessionStore

EVENTS_KEPT = 10_000
"""In each stream at least, unless they are older than RETAINED_MS."""
WANTED_MS = RETAINED_MS + 60_000
"""So long after somebody listened events are logged still: longer than an id that was given out is good for."""
IDLE_MS = 600_000
"""While nobody listens, a process says every so often that it is there."""
LAPSE_MS = 10_000
"""A process that has not said for so long that it is there, while somebody listens, has ended."""
ENTRIES_AT_ONCE = 16
LONGEST_BLOCK_MS = 1000

APPEND, ATTEND, LISTEN = (Script(f"{name}.lua", "service.live") for name in ("append", "attend", "listen"))


class Appended(NamedTuple):
    """An entry was appended: where its last event stands, and the time of the entry before it."""

    last: Position
    before_ms: int


class Listening(NamedTuple):
    """Since when events are logged, the time, how many processes may not know of it yet, and those that ended.

    Those that ended without saying so, each with the time at which it was last there.
    """

    since_ms: int
    now_ms: int
    unaware: int
    ended: list[tuple[bytes, int]]


class EventStreams:
    """The streams of one store and namespace. Every call may raise StoreUnavailable; times are the store's, in ms."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store

    @property
    def now_ms(self) -> int:
        """The store's clock, as its latest answer to anything told it."""
        return self._store.now_ms

    @property
    def unsettled(self) -> int:
        """Changes of this process so far of which nobody knows whether they were applied."""
        return self._store.unsettled

    async def attend(self, writer: bytes) -> int:
        """This process is there. Returns since when events are logged; 0 = nobody wants them."""
        [reply] = await self._run([ATTEND.command(self._common_keys(), [writer, b"%d" % IDLE_MS])])
        since, self._store.now_ms = reply
        return int(since)

    async def leave(self, writers: Sequence[bytes]) -> None:
        """These processes are gone, and nothing is missing from them."""
        if writers:
            key = self._common_keys()[1]
            await self._run([Command(key, (b"ZREM", key, *writers))])

    async def listen(self) -> Listening:
        """Somebody listens, now and for WANTED_MS."""
        arguments = [b"%d" % ms for ms in (WANTED_MS, LAPSE_MS, 2 * IDLE_MS)]
        [(since, now, unaware, *ended)] = await self._run([LISTEN.command(self._common_keys(), arguments)])
        self._store.now_ms = now
        return Listening(since, now, unaware, list(zip(ended[::2], ended[1::2], strict=True)))

    async def append(self, entries: Sequence[tuple[int, int, bytes]]) -> list[Appended | None]:
        """Append entries: stream, count of events, events. None where one may not have been appended."""
        kept = [b"%d" % EVENTS_KEPT, b"%d" % RETAINED_MS]
        commands = [
            APPEND.command([self._key(shard)], [b"%d" % count, events, *kept]) for shard, count, events in entries
        ]
        replies = await self._store.servers.run(commands, self._store.timeout_s)
        return [None if isinstance(reply, Failure) else Appended(_position(reply[0]), reply[1]) for reply in replies]

    async def end(self, shard: int) -> Position:
        """Where the last entry of a stream stands."""
        key = self._key(shard)
        [found] = await self._run([Command(key, (b"XREVRANGE", key, b"+", b"-", b"COUNT", b"1"))])
        return _entry(found[0]).last if found else START

    async def read(self, shard: int, after: Position) -> list[Entry]:
        """The next entries, some at once; those of an entry whose first events were read come again. Waits a while."""
        key, block_ms = self._key(shard), min(LONGEST_BLOCK_MS, round(500 * self._store.timeout_s))
        arguments = (b"COUNT", b"%d" % ENTRIES_AT_ONCE, b"BLOCK", b"%d" % block_ms, b"STREAMS", key, _id(after))
        [found] = await self._run([Command(key, (b"XREAD", *arguments))])
        return [_entry(entry) for _, entries in found or () for entry in entries]

    async def look(self, shard: int, after: Position) -> list[Entry]:
        """The same without waiting."""
        key = self._key(shard)
        arguments = (b"(" + _id(after), b"+", b"COUNT", b"%d" % ENTRIES_AT_ONCE)
        [found] = await self._run([Command(key, (b"XRANGE", key, *arguments))])
        return [_entry(entry) for entry in found]

    async def _run(self, commands: Sequence[Command]) -> list[Any]:
        replies = await self._store.servers.run(commands, self._store.timeout_s, repeatable=True)
        for reply in replies:
            if isinstance(reply, Failure):
                raise StoreUnavailable(reply.reason)
        return replies

    def _key(self, shard: int) -> bytes:
        return f"hs-events:{{{self._store.namespace}/{shard}}}".encode()

    def _common_keys(self) -> list[bytes]:
        return [f"hs-events:{{{self._store.namespace}}}:{name}".encode() for name in ("wanted", "writers")]


def _id(position: Position) -> bytes:
    return b"%d-%d" % position


def _position(entry_id: bytes) -> Position:
    ms, _, number = entry_id.partition(b"-")
    return Position(int(ms), int(number))


def _entry(entry: list[Any]) -> Entry:
    entry_id, (_, count, _, events) = entry
    return Entry(_position(entry_id), int(count), events)
