"""Rows of a batch: many sessions in few large commits, each row under the rules of a single observation.

Ordinary rows, which follow what their session holds, are folded and committed by column, several of a session in one
commit. Every other one goes, alone and in its turn, the way of a single observation that is no ordinary case.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from service.sessions import bulk_folding
from service.sessions.bulk_folding import TOKEN_BYTES, Advance
from service.sessions.places import Places
from service.sessions.records import Committed
from service.sessions.registry import LoadedModel, Registry
from service.sessions.rules import follows
from service.sessions.waves import Waves
from service.sessions.work import NO_DIGEST, Observe, Reply, Work, digest_of_observations, token_of
from service.settings import Settings
from service.storage.layout import HEAD, HEAD_BYTES, NO_TIME, position
from service.storage.record import find_damage, find_foreign, heads_of
from service.storage.store import Found, Outcome, Reading, SessionStore
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
from service.wire.schemas import SessionSettings
from service.wire.session_problems import RecordDamaged, SessionNotFound

SESSIONS_AT_ONCE = 512
"""Sessions of one fold and one commit."""
ROWS_OF_A_SESSION = 32
"""Rows of one session in one commit."""
UNDER_WAY = 2
"""Commits under way at once, over all batches: while one waits for the store, the other folds."""
ALONE = 32
"""Rows of one batch that go the way of a single observation at once."""
FAILING = 10_000
"""Sessions of one batch that may fail before the rest of the batch is not taken up any more."""
LOOK_AGAIN_S = 0.01
WINDOW_BYTES = HEAD["tokens"].itemsize
"""Of the tokens of a session's last outcomes, with their digests."""
UNCONFIRMED = "the store did not confirm in time; the same request again settles it"


@dataclass(slots=True)
class Asked:
    """What a batch asks for of all its rows.

    Attributes:
        failing: sessions of which a row was not settled: what follows it in the batch must not be applied before it.
    """

    creation: SessionSettings | None
    correcting: bool
    failing: dict[str, ServiceError] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Line:
    """Rows of one session, in order; those before `at` are settled.

    Attributes:
        seen: the position at which the session was read, where its next row is no ordinary one.
        stored: the store was found to know that row already.
    """

    session: str
    rows: list[int]
    at: int = 0
    seen: bytes | None = None
    stored: bool = False

    @property
    def rest(self) -> list[int]:
        return self.rows[self.at :]


class Bulk:
    """Takes up batches.

    Args:
        stopping: whether the service is about to stop, so that nothing new is taken up.
        randomness: that many random bytes.
    """

    def __init__(
        self,
        store: SessionStore,
        registry: Registry,
        waves: Waves[Work, Reply],
        settings: Settings,
        *,
        randomness: Callable[[int], bytes],
        committed: Committed,
    ) -> None:
        self._store = store
        self._registry = registry
        self._waves = waves
        self._settings = settings
        self._randomness = randomness
        self._committed = committed
        self._under_way = asyncio.Semaphore(UNDER_WAY)

    async def observe(self, rows: Rows, asked: Asked, stopping: Callable[[], bool]) -> Outcomes:
        """The outcome of each row; those of one session are applied in their order. Raises nothing that is theirs."""
        outcomes = Outcomes(rows)
        lines = _lines(rows)
        batch = _Batch(self, rows, asked, outcomes, deque(lines.values()), stopping)
        await asyncio.gather(*(batch.work() for _ in range(min(UNDER_WAY, len(lines)))))
        return outcomes


def _lines(rows: Rows) -> dict[str, _Line]:
    lines: dict[str, _Line] = {}
    refused = rows.refused
    for row, session in enumerate(rows.sessions):
        if row not in refused:
            line = lines.get(session)
            if line is None:
                lines[session] = _Line(session, [row])
            else:
                line.rows.append(row)
    return lines


class _Batch:
    """Some rows of one batch, on their way."""

    def __init__(
        self,
        bulk: Bulk,
        rows: Rows,
        asked: Asked,
        outcomes: Outcomes,
        waiting: "deque[_Line]",
        stopping: Callable[[], bool],
    ) -> None:
        self._bulk = bulk
        self._rows = rows
        self._asked = asked
        self._outcomes = outcomes
        self._waiting = waiting
        self._stopping = stopping
        self._alone = asyncio.Semaphore(ALONE)
        self._is_keyed = any(key is not None for key in rows.keys)

    async def work(self) -> None:
        """Take up lines until none waits."""
        while self._waiting:
            lines = [self._waiting.popleft() for _ in range(min(SESSIONS_AT_ONCE, len(self._waiting)))]
            lines = [line for line in lines if not self._has_failed(line)]
            try:
                await self._turn()
            except ServiceError as refused:
                for line in lines:
                    self._fail(line, refused)
                continue
            async with self._bulk._under_way:
                unusual = await self._advance(lines)
            await asyncio.gather(*map(self._singly, unusual))
            self._waiting.extend(line for line in lines if line.rest)

    async def _turn(self) -> None:
        """Wait for a moment at which nobody is refused for want of time. Raises NotReady or Overloaded."""
        bulk, clock = self._bulk, asyncio.get_running_loop().time
        until = clock() + bulk._settings.deadline_s
        while True:
            if self._stopping():
                raise NotReady(["the service is stopping"])
            if not bulk._waves.is_full(bulk._settings.deadline_s):
                return
            if clock() > until:
                raise Overloaded(OVERLOADED)
            await asyncio.sleep(LOOK_AGAIN_S)

    def _has_failed(self, line: _Line) -> bool:
        failed = self._asked.failing.get(line.session)
        if failed is not None:
            self._fail(line, failed)
        return failed is not None

    def _fail(self, line: _Line, problem: ServiceError) -> None:
        """A row was not settled: those of its session that follow must not be applied before it."""
        if problem.retryable:
            self._asked.failing[line.session] = problem
        for row in line.rest:
            self._outcomes.refuse(row, problem)
        line.at = len(line.rows)

    async def _advance(self, lines: Sequence[_Line]) -> list[_Line]:
        """Advance each session by what is ordinary; returns those whose next row is not."""
        if not lines:
            return []
        bulk = self._bulk
        reading = await bulk._store.read([line.session for line in lines], bulk._registry.live_bytes)
        await bulk._waves.between()
        by_session = {line.session: line for line in lines}
        unusual: list[_Line] = []
        folds = []
        for loaded, advances in self._planned(lines, reading, unusual).items():
            folds.append(bulk_folding.fold(loaded, advances, reading.rows, self._rows.values))
            unusual += [by_session[refused.session] for refused in folds[-1].refused]
            await bulk._waves.between()
        changes = [change for fold in folds for change in fold.changes]
        committed = iter(await bulk._store.commit(changes) if changes else ())
        for fold in folds:
            unusual += self._settle(fold, [next(committed) for _ in fold.changes], by_session)
        bulk._committed([change.session for change in changes], reading.now_ms)
        return unusual

    def _planned(
        self, lines: Sequence[_Line], reading: Reading, unusual: list[_Line]
    ) -> dict[LoadedModel, list[Advance]]:
        """What is ordinary, by model."""
        heads = heads_of(reading.rows)
        damaged = find_damage(reading.rows)
        places = Places([line.session for line in lines], heads)
        foreign = {loaded: find_foreign(heads, loaded.layout) for loaded in self._bulk._registry.models}
        groups: dict[LoadedModel, list[Advance]] = {}
        known = heads["tokens"].tobytes() if self._is_keyed else b""
        fresh = self._fresh_tokens(lines)
        for at, (line, found) in enumerate(zip(lines, reading.found.tolist(), strict=True)):
            if found == Found.UNAVAILABLE:
                self._fail(line, StoreUnavailable("the store did not answer; nothing was changed"))
            elif found == Found.ABSENT:
                if self._asked.creation is None:
                    self._fail(line, SessionNotFound(line.session))
                else:
                    unusual.append(line)
            else:
                try:
                    loaded = places.sound_model(at, self._bulk._registry, damaged)
                    if foreign[loaded][at]:
                        raise RecordDamaged(line.session)
                except ServiceError as refused:
                    self._fail(line, refused)
                    continue
                advance = self._ordinary(line, at, places, known[at * WINDOW_BYTES : (at + 1) * WINDOW_BYTES], fresh)
                if advance is None:
                    line.seen = position(reading.rows[at, :HEAD_BYTES].tobytes())
                    unusual.append(line)
                else:
                    groups.setdefault(loaded, []).append(advance)
        return groups

    def _fresh_tokens(self, lines: Sequence[_Line]) -> Iterator[bytes]:
        """Random ones, for rows without a key."""
        count = sum(min(len(line.rows) - line.at, ROWS_OF_A_SESSION) for line in lines)
        random = self._bulk._randomness(TOKEN_BYTES * count)
        return (random[at : at + TOKEN_BYTES] for at in range(0, len(random), TOKEN_BYTES))

    def _ordinary(
        self, line: _Line, at: int, places: Places, known: bytes, fresh: Iterator[bytes]
    ) -> Advance | None:
        """The rows of a line that follow what the session holds; None = the next one does not.

        Args:
            known: the tokens of the session's last outcomes.
            fresh: tokens for rows without a key.
        """
        rows, step, last = self._rows, places.steps[at], places.lasts[at]
        label = places.label(at)
        grid = label.grid
        taken: list[int] = []
        instants: list[int] = []
        tokens: list[bytes] = []
        digests: list[bytes] = []
        keyed = False
        if step and not places.requires_match[at]:
            for row in line.rows[line.at : line.at + ROWS_OF_A_SESSION]:
                if rows.if_match[row] is not None or row in rows.covariates:
                    break
                timestamp, sent = rows.timestamps[row], rows.steps[row]
                if grid is None:
                    instant = NO_TIME if timestamp is None and (sent is None or sent == step + 1) else None
                else:
                    instant = None if timestamp is None else follows(grid, last, timestamp)
                if instant is None:
                    break
                key = rows.keys[row]
                if key is None:
                    tokens.append(next(fresh))
                    digests.append(NO_DIGEST)
                    keyed = False
                else:
                    token = token_of(key)
                    if token in known:
                        break
                    known += token
                    tokens.append(token)
                    digests.append(self._digest(row))
                    keyed = True
                taken.append(row)
                instants.append(instant)
                step, last = step + 1, instant
        if not taken:
            return None
        return Advance(line.session, at, label, taken, instants, tokens, digests, keyed)

    def _digest(self, row: int) -> bytes:
        return digest_of_observations([self._rows.observation(row)], listed=False, correcting=self._asked.correcting)

    def _settle(
        self, fold: bulk_folding.Fold, committed: Sequence[Outcome], lines: dict[str, _Line]
    ) -> Iterable[_Line]:
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
            self._outcomes.put_many(turn.rows[stays], told, turn.outcomes[stays])
        return lost

    async def _singly(self, line: _Line) -> None:
        """Take rows of a line one by one, as long as they repeat what is known or are refused."""
        async with self._alone:
            again = True
            while again and line.rest:
                again = await self._one(line, line.rows[line.at])

    async def _one(self, line: _Line, row: int) -> bool:
        """Take one row as a single observation that is no ordinary case; whether the next one may be another such."""
        rows, asked, settings = self._rows, self._asked, self._bulk._settings
        key = rows.keys[row]
        work = Observe(
            line.session,
            None if key is None else token_of(key),
            NO_DIGEST if key is None else self._digest(row),
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
            reply = await self._bulk._waves.submit(line.session, work, timeout_s=timeout_s, alone=True)
        except ServiceError as refused:
            if refused.retryable:
                self._fail(line, refused)
                return False
            self._outcomes.refuse(row, refused)
            line.at += 1
            return True
        assert reply.told is not None, "an observation is answered by an Advance"
        self._outcomes.put(row, reply.status, reply.body, reply.told, replayed=reply.replayed)
        line.at += 1
        return reply.replayed
