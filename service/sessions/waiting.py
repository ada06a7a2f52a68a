"""One request that waits for its turn, and who is told the answer."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

WorkT = TypeVar("WorkT")
AnswerT = TypeVar("AnswerT")


class Entry(Generic[WorkT, AnswerT]):
    """One request that waits: its work, and who is told the answer.

    Attributes:
        settled, failed: called with the answer or with the error, at most one of them, once.
        deadline: on the clock of the waves, in seconds; a wave that starts later drops the entry.
        alone: the work is long, so it runs beside the waves; its session still waits for it.
        origin: what the request is known as to those who trace it; None = nobody does.
        over: it was answered, or nobody waits for it any more.
    """

    __slots__ = ("alone", "deadline", "failed", "origin", "over", "session", "settled", "work")

    def __init__(
        self,
        session: str,
        work: WorkT,
        settled: Callable[[AnswerT], None],
        failed: Callable[[BaseException], None],
        deadline: float,
        alone: bool,
    ) -> None:
        self.session = session
        self.work = work
        self.settled = settled
        self.failed = failed
        self.deadline = deadline
        self.alone = alone
        self.origin: Any = None
        self.over = False

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
