"""Histories of many new sessions, straight into the store: one step call for hundreds of them, one write for each.

What is stored is what a PUT with the same observations would have stored, under the same compare-and-set: a session
that is there already is left alone. The digest of its first observations tells whether it is this very history, so that
a backfill that was interrupted goes on where it was.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from models.artifacts.runtime import Running
from models.covariates import Covariates
from service.sessions import entries
from service.sessions.creation import Creator
from service.sessions.folding import Folding
from service.sessions.histories import Batch, Histories, Planned
from service.sessions.lifecycle import digest_of
from service.sessions.places import Places
from service.sessions.records import INCARNATION_BYTES, TOKEN_BYTES
from service.sessions.registry import LoadedModel
from service.sessions.work import NO_DIGEST
from service.storage.connection import StoreUnavailable
from service.storage.fresh import FreshRecords
from service.storage.layout import HEAD_BYTES, HeadFlag, Structured, mark, snapshot_every
from service.storage.record import Record, bump, heads_of
from service.storage.store import Change, Found, Kind, Outcome, SessionStore
from service.wire.problems import ServiceError, Standing, pointer
from service.wire.schemas import SessionSettings
from service.wire.session_problems import ResultNotFinite, SessionExists

TOGETHER = 512
"""Sessions in one step call."""
ATTEMPTS = 5
"""A write that was not taken, or whose outcome is unknown, is sent again: the store knows it if it was."""
RETRY_S = 1.0
SWITCH_S = 0.0002
"""How long a thread may keep the others from the interpreter: short beside a step call, which comes back for it."""


class Fate(Enum):
    CREATED = "created"
    THERE = "there"
    """The store held it already, created with these observations."""


Created = Callable[[Mapping[str, int]], Awaitable[None]]
"""Is told which sessions were created, and the store's time in milliseconds."""
Fates = list[Fate | ServiceError]
"""What became of each series: a ServiceError is why it was refused."""


@dataclass(slots=True)
class _Part:
    """Some histories on their way: `fates` (by series) has those of which it is known what becomes of them."""

    histories: Histories
    digests: list[bytes]
    fates: dict[int, Fate | ServiceError]
    now_ms: int
    planned: Planned | None = None
    folded: list["_Folded"] = field(default_factory=list)

    def name(self, series: int) -> str:
        return self.histories.sessions[series]


class Backfill:
    """Creates sessions with their histories, all with the same settings.

    Args:
        asked: the settings; `history` is the server's own.
        dated: the histories have timestamps.
        gap_limit: most steps that are imputed between two observations.
        created: brings the list of sessions up to date.
        randomness: that many random bytes.
    Raises:
        NotFound, InvalidRequest: no such model, or settings that cannot be.
    """

    def __init__(
        self,
        store: SessionStore,
        creator: Creator,
        asked: SessionSettings,
        *,
        dated: bool,
        gap_limit: int,
        created: Created,
        randomness: Callable[[int], bytes],
    ) -> None:
        self._store = store
        self._created = created
        self._randomness = randomness
        self._folding = Folding(_no_others)
        self._template, self._loaded = creator.record("", asked, incarnation=bytes(INCARNATION_BYTES), now_ms=0)
        head = self._template.head
        if dated and not head["freq"]:
            head["freq"] = self._loaded.spec.freqs[0].encode()
        elif not dated and not head["freq"]:
            mark(head, HeadFlag.COUNTED)
        creator.settle_expiry(self._template, asked)
        place = Places([""], head.reshape(1)).place(0, self._loaded)
        self._place = replace(place, max_gap=None if place.max_gap is None else gap_limit)

    @property
    def model(self) -> str:
        """Of the sessions that it makes."""
        return self._loaded.spec.label

    @property
    def covariates(self) -> Covariates:
        """What that model takes; none of it is folded."""
        return self._loaded.encoding.covariates

    async def run(self, source: Iterator[Histories]) -> AsyncIterator[tuple[Histories, Fates]]:
        """Fold and store, and tell what became of each series.

        While some are folded, those before them are written, and those after them read: the step call leaves the
        interpreter to others.

        Raises:
            StoreUnavailable: it does not answer; what was told is stored.
        """
        interval_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        reading = asyncio.create_task(self._read(source))
        writing: asyncio.Task[tuple[Histories, Fates]] | None = None
        try:
            while (part := await reading) is not None:
                reading = asyncio.create_task(self._read(source))
                await asyncio.to_thread(self._fold, part)
                if writing is not None:
                    yield await writing
                writing = asyncio.create_task(self._write(part))
            if writing is not None:
                yield await writing
        finally:
            sys.setswitchinterval(interval_s)
            left = [task for task in (reading, writing) if task is not None]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _read(self, source: Iterator[Histories]) -> _Part | None:
        histories = await asyncio.to_thread(next, source, None)
        if histories is None:
            return None
        digests = await asyncio.to_thread(_digests, histories)
        return _Part(histories, digests, *await self._existing(histories.sessions, digests))

    async def _existing(
        self, sessions: Sequence[str], digests: Sequence[bytes]
    ) -> tuple[dict[int, Fate | ServiceError], int]:
        """Those of the sessions that are there already, and the store's time in milliseconds."""
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(RETRY_S * attempt)
            reading = await self._store.read(sessions, HEAD_BYTES)
            if not (reading.found == Found.UNAVAILABLE).any():
                break
        else:
            raise StoreUnavailable("the store does not answer")
        heads = heads_of(reading.rows)
        there = np.flatnonzero(reading.found == Found.PRESENT).tolist()
        return {row: self._fate(sessions[row], heads[row], digests[row]) for row in there}, reading.now_ms

    def _fate(self, session: str, head: Structured, digest: bytes) -> Fate | ServiceError:
        own = self._template.head
        differing = [name for name in ("model", "freq") if head[name] != own[name]]
        if head["created_digest"].tobytes() != digest:
            differing.append("observations")
        return SessionExists(Standing(session, int(head["step"])), differing) if differing else Fate.THERE

    def _fold(self, part: _Part) -> None:
        """Fold what is to be created."""
        part.planned = planned = Planned(part.histories, self._place, frozenset(part.fates))
        part.fates |= planned.refused
        part.folded = [_Folded(self._loaded, batch, self._template.history) for batch in planned.batches(TOGETHER)]

    async def _write(self, part: _Part) -> tuple[Histories, Fates]:
        """Create the sessions."""
        for folded in part.folded:
            await self._refuse(part, folded)
            changes = await asyncio.to_thread(self._changes, part, folded)
            await self._commit(part, changes)
        created = {part.name(series): part.now_ms for series, fate in part.fates.items() if fate is Fate.CREATED}
        await self._created(created)
        return part.histories, [part.fates[series] for series in range(len(part.histories.sessions))]

    async def _refuse(self, part: _Part, folded: "_Folded") -> None:
        """Of a batch, those that are not finite."""
        for row in np.flatnonzero(~folded.are_finite()).tolist():
            series, step = folded.batch.series[row], await folded.first_not_finite(row, self._folding)
            assert part.planned is not None, "what was folded had been planned"
            where = pointer(*part.planned.where(series, step))
            part.fates[series] = ResultNotFinite.after(Standing(part.name(series), 0), where)

    def _changes(self, part: _Part, folded: "_Folded") -> dict[int, Change]:
        """What creates each session of a batch that is not refused."""
        batch, count = folded.batch, len(folded.batch.series)
        tokens = self._randomness(TOKEN_BYTES * count)
        incarnations = np.frombuffer(self._randomness(INCARNATION_BYTES * count), np.uint8).reshape(count, -1)
        token_array = np.frombuffer(tokens, np.uint8).reshape(count, -1)
        records = folded.records(self._template, incarnations, token_array)
        digests = b"".join([part.digests[series] for series in batch.series])
        records.heads["created_digest"] = np.frombuffer(digests, np.uint8).reshape(count, -1)
        records.heads["created_ms"] = part.now_ms
        ttl_ms = int(self._template.head["ttl_ms"])
        keys = [tokens[at : at + TOKEN_BYTES] for at in range(0, len(tokens), TOKEN_BYTES)]
        changes = {}
        for series, token, blob in zip(batch.series, keys, records.render(), strict=True):
            if series not in part.fates:
                writes = ((0, blob),)
                changes[series] = Change(part.name(series), token, NO_DIGEST, None, Kind.REPLACE, writes, ttl_ms)
        return changes

    async def _commit(self, part: _Part, changes: dict[int, Change]) -> None:
        """Commit; a session that another made meanwhile is looked at again. Raises StoreUnavailable."""
        for attempt in range(ATTEMPTS):
            if not changes:
                return
            await asyncio.sleep(RETRY_S * attempt)
            outcomes = await self._store.commit(list(changes.values()))
            raced = []
            for series, outcome in zip(changes, outcomes, strict=True):
                if outcome in (Outcome.APPLIED, Outcome.REPLAYED):
                    part.fates[series] = Fate.CREATED
                elif outcome is Outcome.CONFLICT:
                    raced.append(series)
            if raced:
                found, _ = await self._existing(list(map(part.name, raced)), [part.digests[one] for one in raced])
                part.fates |= {raced[row]: fate for row, fate in found.items()}
            changes = {series: change for series, change in changes.items() if series not in part.fates}
        if changes:
            raise StoreUnavailable("the store does not take what is written")


async def _no_others() -> None:
    """There are no waves that a fold could delay."""


class _Folded:
    """A batch of B sessions, folded from their first steps to their last.

    Attributes:
        batch: the steps that were folded.
        states: (B, S) after the last step; `issued` (B, 5) is the forecast of the next one, uncut, NaN = none.
        ring: (B, R, 5) the forecasts issued for the last R steps, each at its step's place in the ring, uncut.
        snapshots: (B, 2, S) the states to keep, each at its step's place; those before the first to keep are zeros.
    """

    def __init__(self, loaded: LoadedModel, batch: Batch, history: int) -> None:
        count, length = batch.values.shape
        self._loaded, self.batch, self._history = loaded, batch, history
        self.states = loaded.model.initial_state(count)
        self.issued = np.full((count, len(loaded.stored)), np.nan)
        self.ring = np.full((count, max(history, 1), len(loaded.stored)), np.nan)
        self.snapshots = np.zeros((count, 2, loaded.spec.state_bytes), np.uint8)
        self._fold(loaded.model.running(self.states), length)

    def _fold(self, running: Running, length: int) -> None:
        batch, every = self.batch, snapshot_every(self._history)
        values = np.ascontiguousarray(batch.values.T)
        table, index = self._calendar()
        known = np.zeros(len(running), bool)
        newest = batch.lengths // every * every
        actives = np.searchsorted(-batch.lengths, -np.arange(length), side="left").tolist()
        for step, active in enumerate(actives):
            if active < len(running):
                self.states[active : len(running)] = running.states()[active:]
                running.keep(active)
            self.ring[:active, step % self.ring.shape[1]] = self.issued[:active]
            quantiles = running.step(values[step, :active], table[index[step, :active]])
            known[:active] |= ~np.isnan(values[step, :active])
            self.issued[:active] = np.where(known[:active, None], quantiles[:, self._loaded.stored], np.nan)
            if (step + 1) % every == 0 and self._history:
                due = np.flatnonzero(np.isin(newest[:active] - step - 1, (0, every)))
                if len(due):
                    self.snapshots[due, (step + 1) // every % 2] = running.states()[due]
        self.states[: len(running)] = running.states()

    def _calendar(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Features (M, 5) of the different instants, and each step's place (T, B) among them."""
        batch = self.batch
        grid = batch.grids[0]
        within = np.arange(batch.values.shape[1]) < batch.lengths[:, None]
        moments, index = np.unique(np.where(within, batch.instants, batch.instants[0, 0]), return_inverse=True)
        table = entries.context(self._loaded, grid, moments.tolist())
        return table, np.ascontiguousarray(index.reshape(within.shape).T)

    def are_finite(self) -> NDArray[np.bool_]:
        """(B,) whether every number that is to be kept is finite."""
        finite = self._loaded.model.finite(self.states)
        for place in range(2):
            finite &= self._loaded.model.finite(self.snapshots[:, place])
        return finite

    async def first_not_finite(self, row: int, folding: Folding) -> int:
        """The first step of one session, counted from 1, after which its state is not finite."""
        batch, loaded, length = self.batch, self._loaded, int(self.batch.lengths[row])
        instants = batch.instants[row, :length].tolist()
        context = entries.context(loaded, batch.grids[row], instants)
        state, values = loaded.model.initial_state(1)[0], batch.values[row, :length].copy()
        return await folding.first_not_finite(loaded, state, values, lambda begin, end: context[begin:end])

    def records(self, template: Record, incarnations: NDArray[np.uint8], tokens: NDArray[np.uint8]) -> FreshRecords:
        """The records, their settings those of the template."""
        batch, loaded = self.batch, self._loaded
        everyone = np.arange(len(batch.lengths))
        records = FreshRecords(template, len(everyone))
        heads, last = records.heads, batch.instants[everyone, batch.lengths - 1]
        no_digests = np.zeros((len(everyone), len(NO_DIGEST)), np.uint8)
        heads["incarnation"] = incarnations
        bump(heads, tokens, no_digests)
        heads["step"], heads["last"], heads["anchor"] = batch.lengths, last, batch.instants[:, 0]
        bounds = entries.Bounds.of(heads[:1])
        rows, slots = self._slots(bounds)
        observed = slots[np.cumsum(np.bincount(rows)) - 1]
        records.put_states(self.states)
        records.put_outcomes(
            everyone,
            entries.outcomes(
                loaded.layout,
                heads,
                observed,
                status=200,
                tokens=tokens,
                digests=no_digests,
                replayed=batch.again,
                times=[entries.time_after(grid, at) for grid, at in zip(batch.grids, last.tolist(), strict=True)],
                forecasts=bounds.cut(self.issued),
                warmed_up=entries.is_warmed_up(loaded, self.states),
            ),
        )
        records.put_slots(rows, slots)
        every = snapshot_every(self._history)
        for back in range(2 if self._history else 0):
            number = batch.lengths // every - back
            kept = np.flatnonzero(number > 0)
            snapshots = np.zeros(len(kept), loaded.layout.snapshot)
            snapshots["step"] = number[kept] * every
            snapshots["state"] = self.snapshots[kept, number[kept] % 2]
            records.put_snapshots(kept, number[kept] % 2, snapshots)
        return records

    def _slots(self, bounds: entries.Bounds) -> tuple[NDArray[np.int64], Structured]:
        """(N,) the sessions and the slots of the steps to retain, one at least of each, in order."""
        batch, size = self.batch, self.ring.shape[1]
        imputed = np.cumsum(batch.imputed, axis=1)
        retained = np.arange(batch.values.shape[1])
        rows, steps = np.nonzero(
            (retained >= batch.lengths[:, None] - size) & (retained < batch.lengths[:, None])
        )
        slots = entries.slots(
            self._loaded.layout,
            steps=steps + 1,
            instants=batch.instants[rows, steps].tolist(),
            values=batch.values[rows, steps].tolist(),
            imputed=batch.imputed[rows, steps].tolist(),
            issued=bounds.cut(self.ring[rows, steps % size]),
        )
        slots["imputed"] = imputed[rows, steps]
        slots["applied"] = steps + 1 - imputed[rows, steps]
        slots["revision"] = 1
        return rows, slots


def _digests(histories: Histories) -> list[bytes]:
    return [digest_of(histories.observations(series)) for series in range(len(histories.sessions))]
