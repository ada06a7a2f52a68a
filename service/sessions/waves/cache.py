"""Heads and states of the sessions that this process advanced last, so that its next wave need not read them.

They may be out of date at any time. That is safe because nothing is ever refused for what they say, and because each
commit that was computed from them compares the position that they had with the store's.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat

import msgspec
import numpy as np

from service.sessions.places import Stand
from service.storage.layout import Bytes

LIMIT_BYTES = 2**26
"""Some 35,000 sessions of `daily@1`."""
MOST_STALE = 0.1
"""Share of sessions that others had changed, beyond which all are read: to commit in vain costs more than to read."""
RECENT = 1000
"""Sessions over which that share is taken."""


class Kept(msgspec.Struct, eq=False):
    """What is kept of one session: the row of its head and state, and what they say, if they were ever decoded here."""

    row: int
    stand: Stand | None = None


class StateCache:
    """The last ones by their commits; the one whose commit is longest ago makes room.

    Args:
        row_bytes: of a head and state, the longest of any model.
        rows: sessions kept at most; their memory is taken as it is used.
    """

    def __init__(self, row_bytes: int, rows: int | None = None) -> None:
        self._rows: Bytes = np.zeros((rows or max(LIMIT_BYTES // row_bytes, 1), row_bytes), np.uint8)
        self._kept: dict[str, Kept] = {}  # the oldest first
        self._free: list[Kept] = []
        self._stale = 0.0

    def __contains__(self, session: str) -> bool:
        return session in self._kept

    @property
    def is_trusted(self) -> bool:
        """Whether sessions are seldom changed by others: they come to one service, or to one of many by chance."""
        return self._stale <= MOST_STALE

    def find(self, sessions: Sequence[str]) -> list[Kept | None]:
        """What is kept of each, until the next change of the cache."""
        return list(map(self._kept.get, sessions))

    def copied(self, kept: Sequence[Kept]) -> Bytes:
        """(B, row_bytes): heads and states that were found; zeros, or anything, after their end."""
        rows: Bytes = self._rows.take([one.row for one in kept], axis=0)
        return rows

    def rows(self, sessions: Sequence[str]) -> Bytes:
        """(B, row_bytes): those of sessions that are all here."""
        return self.copied([self._kept[session] for session in sessions])

    def put(self, sessions: Sequence[str], rows: Bytes, stands: Iterable[Stand | None] = repeat(None)) -> None:
        """Keep (B, at most row_bytes), as it was just committed, and what it says, where that is known."""
        if len(sessions):
            self._rows[list(map(self._place, sessions, stands)), : rows.shape[1]] = rows

    def drop(self, sessions: Sequence[str]) -> None:
        """Forget what somebody else changed; those that are not here do no harm."""
        for session in sessions:
            kept = self._kept.pop(session, None)
            if kept is not None:
                self._free.append(kept)

    def note(self, used: int, stale: int) -> None:
        """That many were compared with what the store holds, and that many of them were out of date."""
        self._stale += (stale - used * self._stale) / RECENT

    def _place(self, session: str, stand: Stand | None) -> int:
        kept = self._kept.pop(session, None) or self._room()
        kept.stand = stand
        self._kept[session] = kept
        return kept.row

    def _room(self) -> Kept:
        if self._free:
            return self._free.pop()
        if len(self._kept) < len(self._rows):
            return Kept(len(self._kept))
        return self._kept.pop(next(iter(self._kept)))
