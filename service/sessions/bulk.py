"""Rows of a batch: many sessions in few large commits, each row under the rules of a single observation.

Ordinary rows, which follow what their session holds, are folded and committed by column, several of a session in one
commit. Every other one goes, alone and in its turn, the way of a single observation that is no ordinary case.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from service.sessions import bulk_folding
from service.sessions.bulk_planning import Asked, Line, Parts, Planner, lines_of
from service.sessions.work import NO_DIGEST, Observe, token_of
from service.storage.store import Outcome
from service.wire.batch_outcomes import Outcomes
from service.wire.batch_rows import Rows
from service.wire.problems import (
    OVERLOADED,
    DeadlineExceeded,
    DurabilityUnconfirmed,
    NotReady,
    Overloaded,
    ServiceError,
    StoreUnavailable,
)

SESSIONS_AT_ONCE = 512
"""Sessions of one fold and one commit."""
BESIDE_WAVES = 128
"""The same while single observations are served: to fold more at once would keep them waiting."""
UNDER_WAY = 2
"""Commits under way at once, over all batches: while one waits for the store, the other folds."""
ALONE = 32
"""Rows of one batch that go the way of a single observation at once."""
FAILING = 10_000
"""Sessions of one batch that may fail before the rest of the batch is not taken up any more."""
LOOK_AGAIN_S = 0.01
UNCONFIRMED = "the store did not confirm in time; the same request again settles it"


class Bulk:
    """Takes up batches."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._under_way = asyncio.Semaphore(UNDER_WAY)

    async def observe(self, rows: Rows, asked: Asked, stopping: Callable[[], bool]) -> Outcomes:
        """The outcome of each row; those of one session are applied in their order.

        Args:
            stopping: whether the service is about to stop, so that nothing more is taken up.
        """
        batch = _Batch(self._parts, self._under_way, rows, asked, stopping)
        await asyncio.gather(*(batch.work() for _ in range(UNDER_WAY)))
        return batch.outcomes


class _Batch:
    """Some rows of one batch, on their way."""

    def __init__(
        self, parts: Parts, under_way: asyncio.Semaphore, rows: Rows, asked: Asked, stopping: Callable[[], bool]
    ) -> None:
        self._parts = parts
        self._under_way = under_way
        self._rows = rows
        self._asked = asked
        self._stopping = stopping
        self._planner = Planner(parts, rows, asked)
        self._waiting = deque(lines_of(rows).values())
        self._alone = asyncio.Semaphore(ALONE)
        self.outcomes = Outcomes(rows)

    async def work(self) -> None:
        """Take up lines until none waits."""
        while self._waiting:
            most = BESIDE_WAVES if self._parts.waves.is_busy else SESSIONS_AT_ONCE
            lines = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            lines = [line for line in lines if not self._has_failed(line)]
            try:
                await self._turn()
            except ServiceError as refused:
                for line in lines:
                    self._fail(line, refused)
                continue
            async with self._under_way:
                unusual = await self._advance(lines)
            await asyncio.gather(*map(self._singly, unusual))
            self._waiting.extend(line for line in lines if line.rest)

    async def _turn(self) -> None:
        """Wait for a moment at which nobody is refused for want of time. Raises NotReady or Overloaded."""
        parts, clock = self._parts, asyncio.get_running_loop().time
        until = clock() + parts.settings.deadline_s
        while True:
            if self._stopping():
                raise NotReady(["the service is stopping"])
            if not parts.waves.is_full(parts.settings.deadline_s):
                return
            if clock() > until:
                raise Overloaded(OVERLOADED)
            await asyncio.sleep(LOOK_AGAIN_S)

    def _has_failed(self, line: Line) -> bool:
        failed = self._asked.failing.get(line.session)
        if failed is not None:
            self._fail(line, failed)
        return failed is not None

    def _fail(self, line: Line, problem: ServiceError) -> None:
        """A row was not settled: those of its session that follow must not be applied before it."""
        if problem.retryable:
            self._asked.failing[line.session] = problem
        for row in line.rest:
            self.outcomes.refuse(row, problem)
        line.at = len(line.rows)

    async def _advance(self, lines: Sequence[Line]) -> list[Line]:
        """Advance each session by what is ordinary; returns those whose next row is not."""
        if not lines:
            return []
        parts = self._parts
        read = await self._planner.read(lines)
        await parts.waves.between()
        planned = self._planner.planned(read)
        for line, problem in planned.refused:
            self._fail(line, problem)
        by_session = {line.session: line for line in lines}
        unusual, folds = planned.unusual, []
        for loaded, advances in planned.groups.items():
            await parts.waves.between()
            folds.append(bulk_folding.fold(loaded, advances, read.rows, self._rows.values))
            unusual += [by_session[refused.session] for refused in folds[-1].refused]
        changes = [change for fold in folds for change in fold.changes]
        if not changes:
            return unusual
        await parts.waves.between()
        committed = iter(await parts.store.commit(changes))
        parts.committed([change.session for change in changes], parts.store.now_ms)
        used = stale = 0
        for fold in folds:
            outcomes = [next(committed) for _ in fold.changes]
            unusual += self._settle(fold, outcomes, by_session)
            applied = [number for number, outcome in enumerate(outcomes) if outcome is Outcome.APPLIED]
            parts.cache.put([fold.changes[number].session for number in applied], fold.stored(applied))
            for advance, outcome in zip(fold.advances, outcomes, strict=True):
                used += advance.at < read.cached
                stale += advance.at < read.cached and outcome is Outcome.CONFLICT
        parts.cache.note(used, stale)
        return unusual

    def _settle(
        self, fold: bulk_folding.Fold, committed: Sequence[Outcome], lines: dict[str, Line]
    ) -> Iterable[Line]:
        """Note what became of each advance; returns those that lost a race."""
        applied = np.zeros(len(committed), bool)
        lost = []
        for number, (advance, change, outcome) in enumerate(zip(fold.advances, fold.changes, committed, strict=True)):
            line = lines[advance.session]
            if outcome is Outcome.APPLIED or (outcome is Outcome.REPLAYED and not advance.keyed):
                applied[number] = True
                line.at += len(advance.rows)
            elif outcome is Outcome.UNCONFIRMED:
                self._fail(line, DurabilityUnconfirmed(advance.session))
            elif outcome is Outcome.UNAVAILABLE:
                self._fail(line, StoreUnavailable("the store did not take the observation; nothing was changed"))
            elif outcome is Outcome.UNKNOWN:
                self._fail(line, DeadlineExceeded(UNCONFIRMED))
            else:
                line.seen, line.stored = change.expected, outcome is Outcome.REPLAYED
                lost.append(line)
        labels = [advance.label for advance in fold.advances]
        for turn in fold.turns:
            stays = applied[turn.active]
            told = [labels[number] for number in turn.active[stays].tolist()]
            self.outcomes.put_many(turn.rows[stays], told, turn.outcomes[stays])
        return lost

    async def _singly(self, line: Line) -> None:
        """Take rows of a line one by one, as long as they repeat what is known or are refused."""
        async with self._alone:
            again = True
            while again and line.rest:
                again = await self._one(line, line.rows[line.at])

    async def _one(self, line: Line, row: int) -> bool:
        """Take one row as a single observation that is no ordinary case; whether the next one may be another such."""
        rows, asked, settings = self._rows, self._asked, self._parts.settings
        key = rows.keys[row]
        work = Observe(
            line.session,
            None if key is None else token_of(key),
            NO_DIGEST if key is None else self._planner.digest(row),
            rows.if_match[row],
            line.stored,
            observations=[rows.observation(row)],
            listed=False,
            creation=asked.creation,
            correcting=asked.correcting,
            seen=line.seen,
        )
        line.seen, line.stored = None, False
        timeout_s = settings.long_deadline_s if asked.correcting else settings.deadline_s
        try:
            await self._turn()
            reply = await self._parts.waves.submit(line.session, work, timeout_s=timeout_s, alone=True)
        except ServiceError as refused:
            if refused.retryable:
                self._fail(line, refused)
                return False
            self.outcomes.refuse(row, refused)
            line.at += 1
            return True
        assert reply.told is not None, "an observation is answered by an Advance"
        self.outcomes.put(row, reply.status, reply.body, reply.told, replayed=reply.replayed)
        line.at += 1
        return reply.replayed
