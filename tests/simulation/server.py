"""A simulated server: its keyspace, its clock, and the ways in which it fails."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Protocol

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
    """

    def __init__(self, loop: VirtualLoop, *, watcher: Watcher, outage: Callable[[], float]) -> None:
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

    def forget_scripts(self) -> None:
        self.keyspace.forget_scripts()

    def is_change(self, command: Sequence[bytes]) -> bool:
        """Whether a command is a commit of sessions."""
        return command[0] in (b"EVALSHA", b"EVAL") and command[1] in (self._commit, COMMIT.source)

    def is_read(self, command: Sequence[bytes]) -> bool:
        """Whether a command reads sessions."""
        return command[0] in (b"EVALSHA", b"EVAL") and command[1] in (self._read, READ.source)

    def serve(self, commands: Sequence[Sequence[bytes]]) -> bytes:
        """Run commands, one after another, and answer them on the wire."""
        return b"".join([self._served(command) for command in commands])

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
        contents, notes = chance.choice(self._older)
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
