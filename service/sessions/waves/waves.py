"""Natural batching: while waves of work are in flight, the next one gathers. There is no timer.

Two waves may be in flight, so that one is computed while the store commits the other; but a small one is not begun
beside another, because what a wave costs does not depend on its size alone.

A wave belongs to a background task, never to a request. A request that is given up before its wave starts is removed,
afterwards its work is done and committed all the same. At most one request of a session is in a wave; the others of
that session wait for the next, in the order in which they came.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic

from service.sessions.waves.waiting import AnswerT, Entry, WorkT
from service.wire.problems import AGAIN, OVERLOADED, DeadlineExceeded, NotReady, Overloaded

MOST_IN_A_WAVE = 128
"""A longer wave would keep the event loop from refusing others in time, and saves no more."""
MOST_IN_FLIGHT = 2
"""Waves at once: one that is computed, one that the store commits."""
LEAST_BESIDE_ANOTHER = 32
"""Requests that are worth a wave of their own while another is in flight; fewer wait for its end."""
MOST_BESIDE = 1024
"""Long or unusual pieces of work that may be under way beside the waves."""
WAITING_SHARE = 0.05
"""Of its time limit, what a request may be expected to spend waiting for its turn; beyond, it is refused at once.

What is in excess of what can be done is better refused early, while the client has time to go elsewhere.
"""
IN_LINE_SHARE = 0.5
"""The same for a request behind others of its own session, which nobody else can take up."""
RECENT = 0.2
"""Weight of the latest wave in how long waves take."""

logger = logging.getLogger(__name__)


class Waves(Generic[WorkT, AnswerT]):
    """Gathers requests while a wave is in flight, then hands all of them over at once.

    Args:
        wave: does the work of many entries and settles each of them, except for those that it returns: they are no
            ordinary case, and go on beside the waves.
        alone: does the work of one entry and settles it, beside the waves.
        clock: seconds, monotonic; the event loop's.
        origin: what a request that is entered now is known as, see Entry; None = nobody asks.
        again: what can be done that settles whether a work was done, once its deadline has passed.
    """

    def __init__(
        self,
        wave: Callable[[Sequence[Entry[WorkT, AnswerT]]], Awaitable[Sequence[Entry[WorkT, AnswerT]]]],
        alone: Callable[[Entry[WorkT, AnswerT]], Awaitable[None]],
        *,
        clock: Callable[[], float],
        max_waiting: int = 8192,
        max_waiting_per_session: int = 64,
        max_wave: int = MOST_IN_A_WAVE,
        origin: Callable[[], object] | None = None,
        again: Callable[[WorkT], str] = lambda _: AGAIN,
    ) -> None:
        self._wave = wave
        self._alone = alone
        self._clock = clock
        self._max_waiting = max_waiting
        self._max_waiting_per_session = max_waiting_per_session
        self._max_wave = max_wave
        self._origin = origin
        self._again = again
        self._lines: dict[str, list[Entry[WorkT, AnswerT]]] = {}
        """By session; the first of each is ready, or is being worked on."""
        self._ready: deque[Entry[WorkT, AnswerT]] = deque()
        self._deadlines: dict[float, _Deadlines[WorkT, AnswerT]] = {}
        self._waiting = 0
        self._asleep: list[asyncio.Future[None]] = []
        self._pumps: list[asyncio.Task[None]] = []
        self._in_flight = 0
        """Waves that hold back the next: also those that are over, until who was answered could ask again."""
        self._under_way = 0
        """Waves whose end is still to come."""
        self._beside: dict[Entry[WorkT, AnswerT], asyncio.Task[None]] = {}
        self._wave_over: asyncio.Future[None] | None = None
        self._closed = False
        self._ended = 0.0
        self._wave_s = self._pace_s = 0.0

    @property
    def waiting(self) -> int:
        """Requests that no wave has taken yet."""
        return self._waiting

    @property
    def limit(self) -> int:
        """Requests that may wait before the next is refused."""
        return self._max_waiting

    def start(self) -> None:
        """Start the background tasks; call it on the event loop that will submit."""
        loop = asyncio.get_running_loop()
        self._pumps = [loop.create_task(self._run(), name=f"waves-{number}") for number in range(MOST_IN_FLIGHT)]

    def is_full(self, timeout_s: float) -> bool:
        """Whether whatever comes now is refused: too many wait, or too many for another to have its turn in time.

        Whoever fits into the next wave is let in, however slow the store is: there is no better time to come.
        """
        return (
            self._waiting >= self._max_waiting
            or len(self._beside) >= MOST_BESIDE
            or self._waiting // self._max_wave * self._pace_s > WAITING_SHARE * timeout_s
        )

    def admit(self, session: str, *, timeout_s: float) -> None:
        """Refuse a request that would be submitted in vain, before any work is spent on it.

        Raises:
            Overloaded: too many requests wait, in all or for this session.
            NotReady: the service is stopping.
        """
        if self._closed:
            raise NotReady(["the service is stopping"])
        if (session in self._lines and self._is_long(self._lines[session], timeout_s)) or self.is_full(timeout_s):
            raise Overloaded(OVERLOADED)

    def _is_long(self, line: Sequence[Entry[WorkT, AnswerT]], timeout_s: float) -> bool:
        """Whether one more of a session is refused: too many wait, or too long for another to have its turn in time."""
        ahead = len(line) - (not line[0].waits)
        return ahead >= self._max_waiting_per_session or ahead * self._wave_s > IN_LINE_SHARE * timeout_s

    async def submit(self, session: str, work: WorkT, *, timeout_s: float, alone: bool = False) -> AnswerT:
        """Wait at most `timeout_s` for a wave to do this work.

        Raises:
            Overloaded, NotReady: as `admit`.
            DeadlineExceeded: the deadline passed first; work that a wave had taken up may still be committed.
        """
        self.admit(session, timeout_s=timeout_s)
        answer: asyncio.Future[AnswerT] = asyncio.get_running_loop().create_future()

        def settled(found: AnswerT) -> None:
            if not answer.done():  # cancelled just now
                answer.set_result(found)

        def failed(error: BaseException) -> None:
            if not answer.done():
                answer.set_exception(error)

        entry = self.enter(session, work, settled, failed, timeout_s=timeout_s, alone=alone)
        try:
            return await answer
        except asyncio.CancelledError:
            self.withdraw(entry)
            raise

    def enter(
        self,
        session: str,
        work: WorkT,
        settled: Callable[[AnswerT], None],
        failed: Callable[[BaseException], None],
        *,
        timeout_s: float,
        alone: bool = False,
    ) -> Entry[WorkT, AnswerT]:
        """Have work done that was admitted. Few different time limits may be given.

        Args:
            settled, failed: one of them is called, at the latest after `timeout_s` (DeadlineExceeded, as `submit`).
        """
        entry: Entry[WorkT, AnswerT] = Entry(session, work, settled, failed, self._clock() + timeout_s, alone)
        if self._origin is not None:
            entry.origin = self._origin()
        if session in self._lines:
            self._lines[session].append(entry)
        else:
            self._lines[session] = [entry]
            self._ready.append(entry)
        self._waiting += 1
        if timeout_s not in self._deadlines:
            self._deadlines[timeout_s] = _Deadlines(self._clock, self._again)
        self._deadlines[timeout_s].watch(entry)
        if self._asleep and self._next_size():
            self._wake_up()
        return entry

    def withdraw(self, entry: Entry[WorkT, AnswerT]) -> None:
        """Nobody waits for it any more: it is not done, unless a wave has taken it up."""
        entry.over = True
        if entry.waits:
            self._take_up(entry)
            line = self._lines[entry.session]
            if line[0] is not entry:
                line.remove(entry)

    @property
    def is_busy(self) -> bool:
        """Whether a wave is in flight or waits to be taken."""
        return self._in_flight > 0 or self._waiting > 0

    async def between(self) -> None:
        """Wait for the end of a wave in flight: there a slice of long work delays nobody's answer.

        The next wave is then waiting for the store, so the slice uses time in which nothing could be computed for it.
        """
        if not self._under_way:
            await asyncio.sleep(0)
            return
        if self._wave_over is None:
            self._wave_over = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._wave_over)

    async def drain(self) -> None:
        """Refuse new work, finish all that waits, and stop the background tasks."""
        self._closed = True
        for _ in self._pumps:
            self._wake_up()
        await asyncio.gather(*self._pumps)
        for deadlines in self._deadlines.values():
            deadlines.stop()

    def _wake_up(self) -> None:
        while self._asleep:
            waking = self._asleep.pop()
            if not waking.done():
                waking.set_result(None)
                return

    async def _run(self) -> None:
        while not (self._closed and not self._waiting and not self._in_flight and not self._beside):
            entries = self._take(self._next_size())
            if entries:
                self._in_flight += 1
                if self._next_size():
                    self._wake_up()
                await self._one_wave(entries)
                # Many of those that were answered have asked again by now: with them the next wave is twice as large.
                await asyncio.sleep(0)
                self._in_flight -= 1
            else:
                wake = asyncio.get_running_loop().create_future()
                self._asleep.append(wake)
                await wake
        self._wake_up()

    def _next_size(self) -> int:
        """How many requests the next wave may take up; 0 = it is not to be begun yet."""
        if not self._in_flight:
            # Half of many, so that the other half is computed while these are committed.
            half = -(-len(self._ready) // MOST_IN_FLIGHT)
            return min(self._max_wave, half if half >= LEAST_BESIDE_ANOTHER else len(self._ready))
        if self._in_flight < MOST_IN_FLIGHT and len(self._ready) >= LEAST_BESIDE_ANOTHER:
            return self._max_wave
        return 0

    async def _one_wave(self, entries: list[Entry[WorkT, AnswerT]]) -> None:
        begun = self._clock()
        self._under_way += 1
        handed_on: Sequence[Entry[WorkT, AnswerT]] = ()
        try:
            handed_on = await self._wave(entries)
        except Exception as error:
            logger.exception("a wave failed")
            for entry in entries:
                entry.fail(error)
        finally:
            self._note_end(begun)
        for entry in handed_on:
            self._leave(entry)
        for entry in entries:
            if entry not in self._beside:
                self._release(entry.session)

    def _note_end(self, begun: float) -> None:
        now = self._clock()
        self._under_way -= 1
        self._wave_s += RECENT * (now - begun - self._wave_s)
        self._pace_s += RECENT * (now - max(begun, self._ended) - self._pace_s)
        self._ended = now
        if self._wave_over is not None:
            self._wave_over.set_result(None)
            self._wave_over = None

    def _take(self, most: int) -> list[Entry[WorkT, AnswerT]]:
        """Take the first live request of each session that waits; long ones leave on tasks of their own."""
        now = self._clock()
        entries: list[Entry[WorkT, AnswerT]] = []
        while self._ready and len(entries) < most:
            entry = self._ready.popleft()
            self._take_up(entry)
            if entry.over or entry.deadline <= now:
                entry.fail(DeadlineExceeded("the deadline passed before the observation was taken up"))
                self._release(entry.session)
            elif entry.alone:
                self._leave(entry)
            else:
                entries.append(entry)
        return entries

    def _take_up(self, entry: Entry[WorkT, AnswerT]) -> None:
        self._waiting -= entry.waits
        entry.waits = False

    def _leave(self, entry: Entry[WorkT, AnswerT]) -> None:
        self._beside[entry] = asyncio.get_running_loop().create_task(self._run_alone(entry))

    async def _run_alone(self, entry: Entry[WorkT, AnswerT]) -> None:
        try:
            await self._alone(entry)
        except Exception as error:
            logger.exception("long work failed")
            entry.fail(error)
        finally:
            del self._beside[entry]
            self._release(entry.session)
            self._wake_up()

    def _release(self, session: str) -> None:
        """The session has no request in a wave any more: its next one may go."""
        line = self._lines[session]
        if len(line) > 1:
            del line[0]
            self._ready.append(line[0])
        else:
            del self._lines[session]


class _Deadlines(Generic[WorkT, AnswerT]):
    """Answers at their deadline the requests of one time limit, also while a wave hangs; one timer serves all."""

    def __init__(self, clock: Callable[[], float], again: Callable[[WorkT], str]) -> None:
        self._clock = clock
        self._again = again
        self._entries: deque[Entry[WorkT, AnswerT]] = deque()  # in the order of their deadlines
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, entry: Entry[WorkT, AnswerT]) -> None:
        while self._entries and self._entries[0].over:
            self._entries.popleft()
        self._entries.append(entry)
        if self._timer is None:
            self._arm()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        delay = max(self._entries[0].deadline - self._clock(), 0.0)
        self._timer = asyncio.get_running_loop().call_later(delay, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = self._clock()
        while self._entries and (self._entries[0].over or self._entries[0].deadline <= now):
            entry = self._entries.popleft()
            if not entry.over:
                entry.fail(DeadlineExceeded(f"the answer did not come in time; {self._again(entry.work)}"))
        if self._entries:
            self._arm()
