"""One who listens: what waits to be sent to him, bounded, so that whoever reads slowly costs nobody else anything."""

import asyncio
from dataclasses import dataclass

MOST_WAITING_BYTES = 2**20
"""Of one subscriber, beside what the connection holds."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What a subscriber wants to hear of: these sessions, or all whose id begins with the prefix."""

    sessions: frozenset[str] = frozenset()
    prefix: str = ""

    def takes(self, session: str) -> bool:
        return session in self.sessions if self.sessions else session.startswith(self.prefix)


class Subscriber:
    """Holds what was told until it is sent.

    Attributes:
        behind_from_ms: he read too slowly, and has missed what was told after this time; None = he has not.
        is_closed: nothing more is told.
    """

    def __init__(self, wants: Filter) -> None:
        self.wants = wants
        self.behind_from_ms: int | None = None
        self.is_closed = False
        self._held: list[bytes] = []
        self._bytes = 0
        self._told_ms = 0
        self._news = asyncio.Event()

    def tell(self, said: bytes, at_ms: int) -> None:
        """Something to be sent, told at a time of the store's clock."""
        if self.behind_from_ms is not None:
            return
        self._held.append(said)
        self._bytes += len(said)
        if self._bytes > MOST_WAITING_BYTES:
            self.behind_from_ms = self._told_ms
            self._held.clear()
        self._told_ms = at_ms
        self._news.set()

    def close(self) -> None:
        """Nothing more will be told."""
        self.is_closed = True
        self._news.set()

    async def take(self, timeout_s: float) -> bytes:
        """All that waits, once anything does; b"" where there is nothing for so long, or nothing more."""
        if not (self._held or self.is_closed or self.behind_from_ms is not None):
            self._news.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
            except TimeoutError:
                return b""
        held = b"".join(self._held)
        self._held.clear()
        self._bytes = 0
        return held
