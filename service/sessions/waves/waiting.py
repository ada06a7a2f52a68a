"""One request that waits for its turn, and who is told the answer."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

WorkT = TypeVar("WorkT")
AnswerT = TypeVar("AnswerT")


class Entry(msgspec.Struct, Generic[WorkT, AnswerT], eq=False):
    """One request that waits: its work, and who is told the answer.

    Attributes:
        settled, failed: called with the answer or with the error, at most one of them, once.
        deadline: on the clock of the waves, in seconds; a wave that starts later drops the entry.
        alone: the work is long, so it runs beside the waves; its session still waits for it.
        origin: what the request is known as to those who trace it; None = nobody does.
        over: it was answered, or nobody waits for it any more.
        waits: no wave has taken it yet.
    """

    session: str
    work: WorkT
    settled: Callable[[AnswerT], None]
    failed: Callable[[BaseException], None]
    deadline: float
    alone: bool
    origin: Any = None
    over: bool = False
    waits: bool = True

    def settle(self, answer: AnswerT) -> None:
        """Give the answer to whoever waits for it, if anybody does."""
        if not self.over:
            self.over = True
            self.settled(answer)

    def fail(self, error: BaseException) -> None:
        """Give the error to whoever waits for the answer, if anybody does."""
        if not self.over:
            self.over = True
            self.failed(error)
