"""What a client has written to each session: kept until it is answered, and some of it longer.

The writes of one session go one at a time, in their order. For the service knows an idempotency key for the session's
last eight outcomes only: an observation whose answer was lost is settled before the next one is sent, or it could be
folded twice. What stays without an answer is kept, and goes first when there is more to send.

Each write carries the ETag of the answer before it, so that a store that lost its latest commits (a failover) is
noticed. Then what followed the step at which the session now stands is sent once more, acknowledged or not.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Generic, TypeVar, cast

from hiddenstate.answers.observations import Advance
from hiddenstate.answers.sessions import Session
from hiddenstate.errors import (
    HiddenstateError,
    PreconditionFailed,
    PreconditionRequired,
    ProblemError,
    SessionNotFound,
    StateRegressed,
)
from hiddenstate.sending.exchange import ATTEMPTS, Call, Steps, called

WAITING = 1024
"""Most writes of one session that are kept without an answer."""
RECENT = 1024
"""Most acknowledged writes of one session that are kept for a store that loses them."""

LockT = TypeVar("LockT")
ResultT = TypeVar("ResultT")
AnswerT = TypeVar("AnswerT", Advance, Session)


@dataclass(slots=True, eq=False)
class Write:
    """One write and, once it is answered, the steps at which its session stood before and after it."""

    call: Call[Advance | Session]
    answer: Advance | Session | None = None
    before: int = 0
    after: int = 0

    @property
    def key(self) -> str:
        return self.call.ask.headers["Idempotency-Key"]

    def settle(self, answer: Advance | Session) -> None:
        advanced = answer.applied + answer.imputed if isinstance(answer, Advance) else 0
        self.answer, self.before, self.after = answer, answer.step - advanced, answer.step

    def may_lack(self, step: int) -> bool:
        """Whether a session that stands at `step` may be without it; a correction leaves the step as it was."""
        return self.after > step or self.before == self.after == step


@dataclass(slots=True)
class Outbox(Generic[LockT]):
    """The writes of one session. Whoever sends holds the lock."""

    lock: LockT
    etag: str | None = None
    waiting: deque[Write] = field(default_factory=deque)
    recent: deque[Write] = field(default_factory=lambda: deque(maxlen=RECENT))

    def send(self, call: Call[AnswerT], url: str) -> Steps[AnswerT]:
        """Send what waits, and this after it; a call whose idempotency key waits already is that one.

        Raises:
            ProblemError: the service refused this or, as a note says, one that was kept before.
            StateRegressed: the store lost more than is kept here; nothing waits any more.
            ServiceUnreachable: no answer came in three attempts.
        """
        if len(self.waiting) >= WAITING:
            yield from self.send_waiting(url)
        write = Write(call)
        write = next((one for one in self.waiting if one.key == write.key), write)
        if write not in self.waiting:
            self.waiting.append(write)
        try:
            yield from self.send_waiting(url)
        except HiddenstateError as error:
            error.kept = write in self.waiting
            if error.kept:
                error.add_note("the client keeps what was to be written and sends it before the session's next write")
            raise
        return cast(AnswerT, write.answer)

    def send_waiting(self, url: str) -> Steps[None]:
        """Send what waits, oldest first."""
        regressions = 0
        last = self.waiting[-1] if self.waiting else None
        while self.waiting:
            write = self.waiting[0]
            try:
                answer = yield from self._matched(write.call, url)
            except StateRegressed as regressed:
                regressions += 1
                if regressions > ATTEMPTS or not self._take_back(regressed.step):
                    self.waiting.clear()
                    self._forget()
                    raise
            except ProblemError as problem:
                if not problem.retryable:
                    self._refuse(write, problem, earlier=write is not last)
                raise
            else:
                self.waiting.popleft()
                write.settle(answer)
                if self.see(answer.etag):
                    self.recent.append(write)

    def start_over(self, call: Call[ResultT], url: str) -> Steps[ResultT]:
        """Make a call after which nothing counts that was sent before, answered or not."""
        try:
            answer = yield from self._matched(call, url)
        except StateRegressed:  # what the store has lost would have been forgotten anyway
            answer = yield from called(call, url)
        self.waiting.clear()
        self._forget()
        if isinstance(answer, Advance | Session):
            self.see(answer.etag)
        return answer

    def see(self, etag: str) -> bool:
        """Take note of an answer's ETag; returns whether it is news."""
        if self.etag is not None:
            (known, at), (life, revision) = _parts(self.etag), _parts(etag)
            if life == known and revision <= at:
                return False
            if life != known:
                self.recent.clear()
        self.etag = etag
        return True

    def _matched(self, call: Call[ResultT], url: str) -> Steps[ResultT]:
        """Make a call if the session stands where it stood at the answer before."""
        if self.etag is None:
            return (yield from called(call, url))
        headers = {**call.ask.headers, "If-Match": f'"{self.etag}"'}
        try:
            return (yield from called(replace(call, ask=replace(call.ask, headers=headers)), url))
        except PreconditionFailed as moved:
            # Another writer came between. Nothing is wrong with that, unless the session wants to be seen first.
            self.recent.clear()
            try:
                return (yield from called(call, url))
            except PreconditionRequired:
                raise moved from None

    def _take_back(self, step: int) -> bool:
        """Let what a session that stands at `step` lacks wait again; returns whether all of it is here."""
        first = next((at for at, write in enumerate(self.recent) if write.may_lack(step)), None)
        if first is None:
            return False
        lost = [self.recent[at] for at in range(first, len(self.recent))]
        if not _is_continuous(lost, step):
            return False
        for _ in lost:
            self.recent.pop()
        self.waiting.extendleft(reversed(lost))
        self.etag = None
        return True

    def _refuse(self, write: Write, problem: ProblemError, *, earlier: bool) -> None:
        self.waiting.popleft()
        if earlier:
            body = (write.call.ask.content or b"").decode()
            problem.add_note(f"this is about what was kept from an earlier call and is now dropped: {body}")
        if isinstance(problem, SessionNotFound):
            self._forget()

    def _forget(self) -> None:
        self.etag = None
        self.recent.clear()


def _is_continuous(lost: Sequence[Write], step: int) -> bool:
    """Whether writes lead on from `step` without a hole, which another writer's would leave."""
    advancing = [write for write in lost if write.after > write.before]
    joined = all(one.after == other.before for one, other in pairwise(advancing))
    return joined and (not advancing or advancing[0].before <= step)


def _parts(etag: str) -> tuple[str, int]:
    incarnation, _, revision = etag.rpartition("-")
    return incarnation, int(revision)
