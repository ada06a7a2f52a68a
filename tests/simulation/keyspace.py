"""A stand-in for the server: its keys, their expiry by its own clock, and the commands that the service sends."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.simulation.lua import Scripts
from tests.simulation.replies import OK, Reply, ReplyError, Status

SCRIPTS = Scripts()
"""Compiled once for all servers."""

WRONG_TYPE = b"WRONGTYPE Operation against a key holding the wrong kind of value"
WRITES = frozenset(
    b"SET SETRANGE DEL UNLINK PEXPIREAT PERSIST HSET HDEL ZADD ZREM FLUSHALL".split(),
)


class Hash(dict[bytes, bytes]):
    """Fields with their values."""

    def copy(self) -> Hash:
        return Hash(self)


class SortedSet(dict[bytes, float]):
    """Members with their scores."""

    def copy(self) -> SortedSet:
        return SortedSet(self)


Value: TypeAlias = bytes | Hash | SortedSet


@dataclass
class Contents:
    """What a server keeps: values, and when they expire (milliseconds of its clock)."""

    values: dict[bytes, Value] = field(default_factory=dict)
    expires: dict[bytes, int] = field(default_factory=dict)

    def copy(self) -> Contents:
        values = {key: _copied(value) for key, value in self.values.items()}
        return Contents(values, dict(self.expires))


def _copied(value: Value) -> Value:
    return value if isinstance(value, bytes) else value.copy()


class Keyspace:
    """Runs commands.

    Args:
        now_ms: the server's clock.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.contents = Contents()
        self.writes = 0
        self._now_ms = now_ms
        self._frozen_ms: int | None = None
        self._known: dict[bytes, bytes] = {}
        self._commands: dict[bytes, Callable[[Sequence[bytes]], Reply]] = {
            name.removeprefix("_do_").upper().encode(): getattr(self, name)
            for name in dir(type(self))
            if name.startswith("_do_")
        }

    def run(self, args: Sequence[bytes]) -> Reply:
        """The reply. Raises ReplyError."""
        name = args[0].upper()
        if name not in self._commands:
            raise ReplyError(b"ERR unknown command '%b'" % args[0])
        self.writes += name in WRITES
        try:
            return self._commands[name](args[1:])
        except (IndexError, ValueError):
            raise ReplyError(b"ERR wrong number of arguments for '%b' command" % name.lower()) from None

    def forget_scripts(self) -> None:
        self._known.clear()

    def get(self, key: bytes) -> Value | None:
        """What is kept, if it has not expired."""
        at = self.contents.expires.get(key)
        if at is not None and at <= self.now_ms:
            self._drop(key)
        return self.contents.values.get(key)

    @property
    def now_ms(self) -> int:
        """Time stands still while a script runs."""
        return self._now_ms() if self._frozen_ms is None else self._frozen_ms

    def _drop(self, key: bytes) -> bool:
        self.contents.expires.pop(key, None)
        return self.contents.values.pop(key, None) is not None

    # ------------------------------------------------ strings

    def _string(self, key: bytes) -> bytes | None:
        value = self.get(key)
        if value is not None and not isinstance(value, bytes):
            raise ReplyError(WRONG_TYPE)
        return value

    def _do_get(self, args: Sequence[bytes]) -> Reply:
        [key] = args
        return self._string(key)

    def _do_set(self, args: Sequence[bytes]) -> Reply:
        key, value = args
        self._drop(key)
        self.contents.values[key] = value
        return OK

    def _do_getrange(self, args: Sequence[bytes]) -> Reply:
        key, first, last = args
        value = self._string(key) or b""
        start, stop = int(first), int(last)
        if start < 0 and stop < 0 and start > stop:
            return b""
        start, stop = (max(at + len(value), 0) if at < 0 else at for at in (start, stop))
        return value[start : stop + 1]

    def _do_setrange(self, args: Sequence[bytes]) -> Reply:
        key, offset, data = args
        at = int(offset)
        if at < 0:
            raise ReplyError(b"ERR offset is out of range")
        value = self._string(key) or b""
        if data:
            value = value.ljust(at, b"\0")
            self.contents.values[key] = value[:at] + data + value[at + len(data) :]
            return max(len(value), at + len(data))
        return len(value)

    def _do_strlen(self, args: Sequence[bytes]) -> Reply:
        [key] = args
        return len(self._string(key) or b"")

    # ------------------------------------------------ hashes

    def _hash(self, key: bytes) -> Hash | None:
        value = self.get(key)
        if value is not None and not isinstance(value, Hash):
            raise ReplyError(WRONG_TYPE)
        return value

    def _do_hset(self, args: Sequence[bytes]) -> Reply:
        key, *pairs = args
        fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
        kept = self._hash(key)
        if kept is None:
            kept = Hash()
            self.contents.values[key] = kept
        before = len(kept)
        kept.update(fields)
        return len(kept) - before

    def _do_hget(self, args: Sequence[bytes]) -> Reply:
        key, name = args
        return (self._hash(key) or Hash()).get(name)

    def _do_hmget(self, args: Sequence[bytes]) -> Reply:
        key, first, *more = args
        kept = self._hash(key) or Hash()
        return [kept.get(name) for name in (first, *more)]

    def _do_hlen(self, args: Sequence[bytes]) -> Reply:
        [key] = args
        return len(self._hash(key) or Hash())

    def _do_hexists(self, args: Sequence[bytes]) -> Reply:
        key, name = args
        return int(name in (self._hash(key) or Hash()))

    def _do_hdel(self, args: Sequence[bytes]) -> Reply:
        key, first, *more = args
        kept = self._hash(key) or Hash()
        gone = sum(kept.pop(name, None) is not None for name in (first, *more))
        if gone and not kept:
            self._drop(key)
        return gone

    # ------------------------------------------------ sorted sets

    def _sorted(self, key: bytes) -> SortedSet | None:
        value = self.get(key)
        if value is not None and not isinstance(value, SortedSet):
            raise ReplyError(WRONG_TYPE)
        return value

    def _do_zadd(self, args: Sequence[bytes]) -> Reply:
        key, *pairs = args
        kept = self._sorted(key)
        if kept is None:
            kept = SortedSet()
            self.contents.values[key] = kept
        before = len(kept)
        kept.update({member: float(score) for score, member in zip(pairs[::2], pairs[1::2], strict=True)})
        return len(kept) - before

    def _do_zrem(self, args: Sequence[bytes]) -> Reply:
        key, first, *more = args
        kept = self._sorted(key) or SortedSet()
        gone = sum(kept.pop(member, None) is not None for member in (first, *more))
        if gone and not kept:
            self._drop(key)
        return gone

    def _do_zcard(self, args: Sequence[bytes]) -> Reply:
        [key] = args
        return len(self._sorted(key) or SortedSet())

    def _do_zscore(self, args: Sequence[bytes]) -> Reply:
        key, member = args
        score = (self._sorted(key) or SortedSet()).get(member)
        return None if score is None else b"%.17g" % score

    # ------------------------------------------------ keys

    def _do_del(self, args: Sequence[bytes]) -> Reply:
        first, *more = args
        return sum(self.get(key) is not None and self._drop(key) for key in (first, *more))

    _do_unlink = _do_del

    def _do_exists(self, args: Sequence[bytes]) -> Reply:
        first, *more = args
        return sum(self.get(key) is not None for key in (first, *more))

    def _do_pexpireat(self, args: Sequence[bytes]) -> Reply:
        key, text = args
        at = int(text)
        if self.get(key) is None:
            return 0
        if at <= self.now_ms:
            self._drop(key)
        else:
            self.contents.expires[key] = at
        return 1

    def _do_pexpiretime(self, args: Sequence[bytes]) -> Reply:
        [key] = args
        if self.get(key) is None:
            return -2
        return self.contents.expires.get(key, -1)

    def _do_persist(self, args: Sequence[bytes]) -> Reply:
        [key] = args
        return int(self.get(key) is not None and self.contents.expires.pop(key, None) is not None)

    def _do_scan(self, args: Sequence[bytes]) -> Reply:
        """All keys at once: a cursor that has seen everything."""
        options = dict(zip(args[1::2], args[2::2], strict=True))
        prefix = options.get(b"MATCH", b"*").rstrip(b"*").replace(b"\\", b"")
        keys: list[Reply] = [key for key in list(self.contents.values) if key.startswith(prefix) and self.get(key)]
        return [b"0", keys]

    def _do_flushall(self, args: Sequence[bytes]) -> Reply:
        self.contents = Contents()
        return OK

    # ------------------------------------------------ server

    def _do_time(self, args: Sequence[bytes]) -> Reply:
        now = self.now_ms
        return [b"%d" % (now // 1000), b"%d" % (now % 1000 * 1000)]

    def _do_ping(self, args: Sequence[bytes]) -> Reply:
        return Status(b"PONG")

    def _do_client(self, args: Sequence[bytes]) -> Reply:
        return OK

    def _do_select(self, args: Sequence[bytes]) -> Reply:
        return OK

    # ------------------------------------------------ scripts

    def _do_script(self, args: Sequence[bytes]) -> Reply:
        if args[0].upper() == b"FLUSH":
            self.forget_scripts()
            return OK
        if args[0].upper() == b"EXISTS":
            return [int(sha in self._known) for sha in args[1:]]
        raise ReplyError(b"ERR unknown subcommand")

    def _do_eval(self, args: Sequence[bytes]) -> Reply:
        source = args[0]
        reply = self._script(source, args[1:])
        self._known[hashlib.sha1(source, usedforsecurity=False).hexdigest().encode()] = source
        return reply

    def _do_evalsha(self, args: Sequence[bytes]) -> Reply:
        source = self._known.get(args[0].lower())
        if source is None:
            raise ReplyError(b"NOSCRIPT No matching script. Please use EVAL.")
        return self._script(source, args[1:])

    def _script(self, source: bytes, args: Sequence[bytes]) -> Reply:
        count = int(args[0])
        self._frozen_ms = self._now_ms()
        try:
            return SCRIPTS.run(source, args[1 : 1 + count], args[1 + count :], self.run)
        finally:
            self._frozen_ms = None


