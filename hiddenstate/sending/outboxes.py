"""The outboxes of a client, as many as are worth their memory."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic

from hiddenstate.sending.outbox import LockT, Outbox

IN_ALL = 65_536
"""Outboxes and acknowledged writes in them; beyond, the sessions used longest ago lose theirs."""


@dataclass(slots=True)
class _Held(Generic[LockT]):
    box: Outbox[LockT]
    users: int = 0
    size: int = 0


class Outboxes(Generic[LockT]):
    """One for each session that is written to. `new_lock`: makes the lock of one."""

    def __init__(self, new_lock: Callable[[], LockT]) -> None:
        self._new_lock = new_lock
        self._held: OrderedDict[str, _Held[LockT]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    @contextmanager
    def of(self, session: str) -> Iterator[Outbox[LockT]]:
        """The outbox of a session, which stays the same for as long as anyone uses it."""
        with self._lock:
            if session not in self._held:
                self._held[session] = _Held(Outbox(self._new_lock()))
            held = self._held[session]
            self._held.move_to_end(session)
            held.users += 1
        try:
            yield held.box
        finally:
            with self._lock:
                held.users -= 1
                self._count(held)
                self._shrink()

    def see(self, session: str, etag: str) -> None:
        """Take note of where a session stands, if it is written to."""
        held = self._held.get(session)
        if held is not None:
            held.box.see(etag)

    def waiting(self) -> dict[str, int]:
        """How many writes of each session wait."""
        with self._lock:
            return {name: len(held.box.waiting) for name, held in self._held.items() if held.box.waiting}

    def _count(self, held: _Held[LockT]) -> None:
        size = 1 + len(held.box.recent)
        self._size += size - held.size
        held.size = size

    def _shrink(self) -> None:
        while self._size > IN_ALL:
            unused = (name for name, held in self._held.items() if not held.users and not held.box.waiting)
            oldest = next(unused, None)
            if oldest is None:
                return
            self._size -= self._held.pop(oldest).size
