"""Who counts and times how a store is used."""

from typing import Protocol


class Watch(Protocol):
    """Is told of calls while they happen, so it must cost next to nothing."""

    def called(self, operation: str, begun: float) -> None:
        """A call has come back, whatever came of it; `begun` on `perf_counter`."""

    def conflicted(self, count: int) -> None:
        """So many changes of one call found that their session had been changed."""


class Unwatched:
    """Nobody does."""

    def called(self, operation: str, begun: float) -> None:
        pass

    def conflicted(self, count: int) -> None:
        pass
