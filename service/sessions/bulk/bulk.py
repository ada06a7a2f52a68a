"""Rows of a batch: many sessions in few large commits, each row under the rules of a single observation.

Ordinary rows, which follow what their session holds, are folded and committed by column, several of a session in one
commit. Every other one goes, alone and in its turn, the way of a single observation that is no ordinary case.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from service.sessions import drift
from service.sessions.bulk import folding as bulk_folding
from service.sessions.bulk.folding import Fold
from service.sessions.bulk.known import Recalled, whole_of
from service.sessions.bulk.lines import Asked
from service.sessions.bulk.planning import Parts, Planner
from service.storage.answers import Answer, Label, read_answers
from service.storage.store import Outcome, confirmation
from service.wire import render
from service.wire.batch.outcomes import Outcomes
from service.wire.batch.rows import Rows
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
RECORDS_AT_ONCE = 128
"""Whole records that are read in one round trip."""
RECORDS_BETWEEN = 4
"""Whole records that are compared before a wave may go on: some two milliseconds."""
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
        self._parts.monitor.refused_rows(list(batch.outcomes.problems.values()))
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
        self._lines = self._planner.lines
        self._waiting = deque(self._lines.waiting())
        self._alone = asyncio.Semaphore(ALONE)
        self.outcomes = Outcomes(rows)

    async def work(self) -> None:
        """Take up lines until none waits."""
        while self._waiting:
            most = BESIDE_WAVES if self._parts.waves.is_busy else SESSIONS_AT_ONCE
            lines = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            if self._asked.failing:
                lines = [line for line in lines if not self._has_failed(line)]
            try:
                await self._turn()
            except ServiceError as refused:
                for line in lines:
                    self._fail(line, refused)
                continue
            async with self._under_way:
                unusual = await self._recall(await self._advance(lines))
            await asyncio.gather(*map(self._singly, unusual))
            self._waiting.extend(line for line in lines if self._lines.has_more(line))

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

    def _has_failed(self, line: int) -> bool:
        failed = self._asked.failing.get(self._lines.names[line])
        if failed is not None:
            self._fail(line, failed)
        return failed is not None

    def _fail(self, line: int, problem: ServiceError) -> None:
        """A row was not settled: those of its session that follow must not be applied before it."""
        if problem.retryable:
            self._asked.failing[self._lines.names[line]] = problem
        for row in self._lines.rest(line):
            self.outcomes.refuse(row, problem)
        self._lines.at[line] = self._lines.end[line]

    async def _advance(self, lines: Sequence[int]) -> list[int]:
        """Advance each session by what is ordinary; returns those whose next row is not."""
        if not lines:
            return []
        parts = self._parts
        read = await self._planner.read(lines)
        await parts.waves.between()
        planned = self._planner.planned(read)
        for line, problem in planned.refused:
            self._fail(line, problem)
        unusual, folds = planned.unusual, []
        for advances in planned.advances:
            await parts.waves.between()
            folds.append(bulk_folding.fold(advances, read.rows, read.now_ms, parts.randomness))
            unusual += folds[-1].refused
        for together in _commits(folds):
            await parts.waves.between()
            unusual += await self._commit(together, read.cached)
        return unusual

    async def _commit(self, folds: Sequence[Fold], cached: int) -> list[int]:
        """Commit and answer; returns the lines that lost a race.

        Args:
            cached: so many of the sessions that were read came from the cache.
        """
        parts = self._parts
        changes = [change for fold in folds for change in fold.changes]
        committed = iter(await parts.store.commit(changes))
        parts.committed([change.session for change in changes], parts.store.now_ms)
        lost: list[int] = []
        used = stale = 0
        for fold in folds:
            outcomes = [next(committed) for _ in fold.changes]
            lost += self._settle(fold, outcomes)
            applied = np.flatnonzero([outcome is Outcome.APPLIED for outcome in outcomes])
            sessions = [fold.changes[number].session for number in applied.tolist()]
            parts.cache.put(sessions, fold.stored(applied))
            were_cached = fold.advances.origins < cached
            used += int(were_cached.sum())
            stale += int(were_cached[[outcome is Outcome.CONFLICT for outcome in outcomes]].sum())
        parts.cache.note(used, stale)
        return lost

    def _settle(self, fold: Fold, committed: Sequence[Outcome]) -> list[int]:
        """Note what became of each advance; returns the lines that lost a race."""
        advances, lines = fold.advances, self._lines
        keyed = advances.keyed.tolist()
        applied, unconfirmed = np.zeros((2, len(committed)), bool)
        lost = []
        for number, (line, change, outcome) in enumerate(zip(advances.lines, fold.changes, committed, strict=True)):
            if outcome is Outcome.APPLIED or (outcome is Outcome.REPLAYED and not keyed[number]):
                applied[number] = True
            elif outcome is Outcome.UNCONFIRMED:
                unconfirmed[number] = True
                self._fail(line, DurabilityUnconfirmed(change.session))
            elif outcome is Outcome.UNAVAILABLE:
                self._fail(line, StoreUnavailable("the store did not take the observation; nothing was changed"))
            elif outcome is Outcome.UNKNOWN:
                self._fail(line, DeadlineExceeded(UNCONFIRMED))
            else:
                if change.expected is not None:
                    lines.seen[line] = change.expected
                if outcome is Outcome.REPLAYED:
                    lines.stored.add(line)
                lost.append(line)
        lines.at[advances.lines] += np.bincount(advances.owners, minlength=len(advances)) * applied
        stays = np.flatnonzero(applied[advances.owners])
        rows, owners = advances.numbers[stays], advances.owners[stays]
        self.outcomes.put_many(rows, advances.labels, owners, fold.outcomes.take(stays), replayed=False)
        stored = np.flatnonzero((applied | unconfirmed)[advances.owners])
        self._parts.monitor.folded(len(stored), int(fold.outcomes["imputed"][stored].sum()))
        self._tell_log(fold, stored)
        return lost

    def _tell_log(self, fold: Fold, rows: NDArray[np.int64]) -> None:
        """These rows of a fold were committed; they are looked at only if somebody listens."""
        owners, labels, outcomes = fold.advances.owners, fold.advances.labels, fold.outcomes

        def told() -> Iterator[tuple[Label, Answer]]:
            answers = read_answers(outcomes.take(rows))
            yield from zip([labels[owner] for owner in owners[rows].tolist()], answers, strict=True)

        self._parts.log.answered(len(rows), told())
        if not fold.turns:
            return
        # Rows are in the order of their sessions.
        begins = np.searchsorted(owners[rows], np.arange(len(labels) + 1))
        for turn in fold.turns:
            own = rows[begins[turn.row] : begins[turn.row + 1]]
            for answer in read_answers(outcomes.take(own[outcomes["step"][own] >= turn.step][:1])):
                label, head = labels[turn.row], fold.live["head"][turn.row]
                etag = render.etag(answer.incarnation, answer.revision)
                self._parts.log.tell(drift.event(label, head, etag, turn))

    async def _recall(self, lines: Sequence[int]) -> list[int]:
        """Settle what sessions know already, or refuse; returns the lines of which nothing could be settled so."""
        rest: list[int] = []
        for at in range(0, len(lines), RECORDS_AT_ONCE):
            rest += await self._recall_some(lines[at : at + RECORDS_AT_ONCE])
        return rest

    async def _recall_some(self, lines: Sequence[int]) -> list[int]:
        parts, names = self._parts, self._lines.names
        reading = await parts.store.read_whole([names[line] for line in lines])
        found: dict[int, Recalled] = {}
        rest: list[int] = []
        for number, (line, blob) in enumerate(zip(lines, reading.blobs, strict=True)):
            if number % RECORDS_BETWEEN == 0:
                await parts.waves.between()
            if blob is None:
                rest.append(line)
                continue
            try:
                whole = whole_of(names[line], blob, parts.registry, reading.now_ms)
            except ServiceError:
                rest.append(line)
                continue
            found[line] = self._planner.recalling.recall(whole, line)
            if not found[line].count:
                rest.append(line)
        for line, problem in (await self._unconfirmed(found)).items():
            self._lines.at[line] -= found.pop(line).count
            if problem is None:
                rest.append(line)
            else:
                self._fail(line, problem)
        self._tell(list(found.values()))
        return rest

    async def _unconfirmed(self, found: Mapping[int, Recalled]) -> dict[int, ServiceError | None]:
        """Lines whose replays must not be told yet, and why; None = their sessions were changed meanwhile."""
        replays = [line for line, recalled in found.items() if recalled.is_replay]
        if self._parts.store.demand.wait is None or not replays:
            return {}
        names = self._lines.names
        outcomes = await self._parts.store.commit([confirmation(names[line], found[line].position) for line in replays])
        unconfirmed: dict[int, ServiceError | None] = {}
        for line, outcome in zip(replays, outcomes, strict=True):
            if outcome is Outcome.UNCONFIRMED:
                unconfirmed[line] = DurabilityUnconfirmed(names[line])
            elif outcome in (Outcome.UNAVAILABLE, Outcome.UNKNOWN):
                unconfirmed[line] = DeadlineExceeded(UNCONFIRMED)
            elif outcome is not Outcome.APPLIED:
                unconfirmed[line] = None
        return unconfirmed

    def _tell(self, found: Sequence[Recalled]) -> None:
        whole = [one for one in found if one.rows]
        if whole:
            rows = [np.concatenate(one.rows) for one in whole]
            owners = np.repeat(np.arange(len(whole)), [len(numbers) for numbers in rows])
            answers = np.concatenate([answers for one in whole for answers in one.answers])
            labels = [one.label for one in whole]
            self._parts.monitor.recalled(len(owners))
            self.outcomes.put_many(np.concatenate(rows), labels, owners, answers, replayed=True)
        for row, told in (single for one in found for single in one.singly):
            if isinstance(told, ServiceError):
                self.outcomes.refuse(row, told)
            else:
                assert told.told is not None, "an observation is answered by an Advance"
                self._parts.monitor.recalled(1)
                self.outcomes.put(row, told.status, told.body, told.told, replayed=True)

    async def _singly(self, line: int) -> None:
        """Take rows of a line one by one, as long as they repeat what is known or are refused."""
        async with self._alone:
            again = True
            while again and self._lines.has_more(line):
                again = await self._one(line, self._lines.next_row(line))

    async def _one(self, line: int, row: int) -> bool:
        """Take one row as a single observation that is no ordinary case; whether the next one may be another such."""
        asked, settings, lines = self._asked, self._parts.settings, self._lines
        work = lines.work(line)
        lines.seen.pop(line, None)
        lines.stored.discard(line)
        timeout_s = settings.long_deadline_s if asked.correcting else settings.deadline_s
        try:
            await self._turn()
            reply = await self._parts.waves.submit(work.session, work, timeout_s=timeout_s, alone=True)
        except ServiceError as refused:
            if refused.retryable:
                self._fail(line, refused)
                return False
            self.outcomes.refuse(row, refused)
            lines.at[line] += 1
            return True
        assert reply.told is not None, "an observation is answered by an Advance"
        self.outcomes.put(row, reply.status, reply.body, reply.told, replayed=reply.replayed)
        lines.at[line] += 1
        return reply.replayed


def _commits(folds: Sequence[Fold]) -> Iterator[list[Fold]]:
    """Folds that are committed together: new sessions are written whole, so those go by themselves."""
    changed = [fold for fold in folds if fold.changes and fold.advances.template is None]
    if changed:
        yield changed
    for fold in folds:
        if fold.changes and fold.advances.template is not None:
            yield [fold]
