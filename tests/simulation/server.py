"""A simulated server: its keyspace, its clock, and the ways in which it fails."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Protocol

import numpy as np

from service.storage.layout import HEAD
from service.storage.store import COMMIT, READ
from tests.simulation.keyspace import Contents, Keyspace
from tests.simulation.loop import VirtualLoop
from tests.simulation.replies import ReplyError, encode

EPOCH_MS = 1_767_225_600_000
"""The clocks of servers begin on the first day of 2026."""
OLDER_KEPT = 4
"""Older states that a server can fall back to."""


class Watcher(Protocol):
    """Who looks at what a server keeps after each change."""

    def changed(self, server: Server) -> None: ...

    def fell_back(self, server: Server, contents: Contents, notes: Any) -> int: ...  # noqa: ANN401 - the watcher's own


class Server:
    """Args:
    watcher: sees each change, and keeps notes that go back with what is kept.
    outage: seconds until it is back after a crash.
    confirms: whether its replica has received what it is asked for.
    """

    def __init__(
        self, loop: VirtualLoop, *, watcher: Watcher, outage: Callable[[], float], confirms: Callable[[], bool]
    ) -> None:
        self.up = True
        self.keyspace = Keyspace(self.now_ms)
        self.on_crash: Callable[[Server], None] = lambda server: None
        self.jumps = 0
        self.latest_ms = 0
        """The latest time that its clock has shown: what had expired then is gone."""
        self.notes: dict[str, Any] = {}
        """The watcher's, of what this server keeps; goes back with it."""
        self._older: deque[tuple[Contents, dict[str, Any]]] = deque([(Contents(), {})], maxlen=OLDER_KEPT)
        self._loop = loop
        self._watcher = watcher
        self._outage = outage
        self._confirms = confirms
        self._replicated = 0
        self._ahead_ms = 0
        self._commit, self._read = (script.command([b""], []).args[1] for script in (COMMIT, READ))

    def now_ms(self) -> int:
        now = EPOCH_MS + int(self._loop.time() * 1000) + self._ahead_ms
        self.latest_ms = max(self.latest_ms, now)
        return now

    def jump(self, by_ms: int) -> None:
        """Move the clock, at the next moment; never before the epoch."""
        self._ahead_ms = max(self._ahead_ms + by_ms, 0)
        self.jumps += 1

    def lives_ms(self, key: bytes) -> int | None:
        """How long a session lives on by this clock; None = for ever, or there is none."""
        record = self.keyspace.get(key)
        if not isinstance(record, bytes):
            return None
        expires = int(np.frombuffer(record, HEAD, count=1)[0]["expires_ms"])
        return expires - self.now_ms() if expires else None

    def forget_scripts(self) -> None:
        self.keyspace.forget_scripts()

    def is_change(self, command: Sequence[bytes]) -> bool:
        """Whether a command is a commit of sessions."""
        return command[0] in (b"EVALSHA", b"EVAL") and command[1] in (self._commit, COMMIT.source)

    def is_read(self, command: Sequence[bytes]) -> bool:
        """Whether a command reads sessions."""
        return command[0] in (b"EVALSHA", b"EVAL") and command[1] in (self._read, READ.source)

    def serve(self, commands: Sequence[Sequence[bytes]], wrote: int) -> tuple[bytes, int]:
        """Run commands of one connection, one after another, and answer them on the wire.

        Args:
            wrote: the number of the last write that this connection made; the new one comes back.
        """
        replies = []
        for command in commands:
            if command[0] == b"WAIT":
                replies.append(encode(self._confirmed(wrote)))
                continue
            before = self.keyspace.writes
            replies.append(self._served(command))
            if self.keyspace.writes > before:
                wrote = self.keyspace.writes
        return b"".join(replies), wrote

    def _confirmed(self, wrote: int) -> int:
        """How many replicas have this write; where one has, no older state can come back any more."""
        if wrote > self._replicated:
            if not self._confirms():
                return 0
            self._older.clear()
            self.remember()
            self._replicated = self.keyspace.writes
        return 1

    def _served(self, command: Sequence[bytes]) -> bytes:
        try:
            reply = self.keyspace.run(command)
        except ReplyError as refused:
            return encode(refused)
        if self.is_change(command):
            self._watcher.changed(self)
        return encode(reply)

    def remember(self) -> None:
        """Keep what is there now, as a snapshot or a replica that lags behind does."""
        self._older.append((self.keyspace.contents.copy(), dict(self.notes)))

    def fall_back(self, chance: Random) -> int:
        """Hold an older state from now on; returns how many commits are gone."""
        chosen = chance.randrange(len(self._older))
        contents, notes = self._older[chosen]
        while len(self._older) > chosen + 1:
            self._older.pop()  # what came after it never happened
        gone = self._watcher.fell_back(self, contents, notes)
        self.keyspace.contents, self.notes = contents.copy(), dict(notes)
        return gone

    def crash(self) -> None:
        """Stop at once; start again, a while later, over what was kept."""
        self.up = False
        self.on_crash(self)
        self._loop.call_later(self._outage(), self._start)

    def _start(self) -> None:
        self.keyspace.forget_scripts()
        self.up = True
