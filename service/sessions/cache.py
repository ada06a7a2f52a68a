"""Heads and states of the sessions that this process advanced last, so that its next wave need not read them.

They may be out of date at any time. That is safe because nothing is ever refused for what they say, and because each
commit that was computed from them compares the position that they had with the store's.
"""

from collections.abc import Sequence

import numpy as np

from service.storage.layout import Bytes

LIMIT_BYTES = 2**26
"""Some 35,000 sessions of `daily@1`."""
MOST_STALE = 0.1
"""Share of sessions that others had changed, beyond which all are read: to commit in vain costs more than to read."""
RECENT = 1000
"""Sessions over which that share is taken."""


class StateCache:
    """The last ones by their commits; the one whose commit is longest ago makes room.

    Args:
        row_bytes: of a head and state, the longest of any model.
        rows: sessions kept at most; their memory is taken as it is used.
    """

    def __init__(self, row_bytes: int, rows: int | None = None) -> None:
        self._rows: Bytes = np.zeros((rows or max(LIMIT_BYTES // row_bytes, 1), row_bytes), np.uint8)
        self._at: dict[str, int] = {}  # the oldest first
        self._free: list[int] = []
        self._stale = 0.0

    def __contains__(self, session: str) -> bool:
        return session in self._at

    @property
    def is_trusted(self) -> bool:
        """Whether sessions are seldom changed by others: they come to one service, or to one of many by chance."""
        return self._stale <= MOST_STALE

    def rows(self, sessions: Sequence[str]) -> Bytes:
        """(B, row_bytes): a copy of what is kept of sessions that are all here; zeros, or anything, after their end."""
        rows: Bytes = self._rows[[self._at[session] for session in sessions]]
        return rows

    def put(self, sessions: Sequence[str], rows: Bytes) -> None:
        """Keep (B, at most row_bytes), as it was just committed."""
        if len(sessions):
            self._rows[[self._place(session) for session in sessions], : rows.shape[1]] = rows

    def drop(self, sessions: Sequence[str]) -> None:
        """Forget what somebody else changed; those that are not here do no harm."""
        for session in sessions:
            at = self._at.pop(session, None)
            if at is not None:
                self._free.append(at)

    def note(self, used: int, stale: int) -> None:
        """That many were compared with what the store holds, and that many of them were out of date."""
        self._stale += (stale - used * self._stale) / RECENT

    def _place(self, session: str) -> int:
        at = self._at.pop(session, None)
        if at is None:
            if self._free:
                at = self._free.pop()
            elif len(self._at) < len(self._rows):
                at = len(self._at)
            else:
                at = self._at.pop(next(iter(self._at)))
        self._at[session] = at
        return at
