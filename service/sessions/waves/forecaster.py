"""One wave: read heads and states, apply the time rules, step each model once for all its sessions, commit, answer.

Only the ordinary case is done here: observations that follow what a session holds. Whatever needs more of a record than
its head and state (replays, new sessions, long lists, a lost race) is handed on, to be worked off beside the waves.
"""

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from service.live.log import EventLog
from service.monitoring.monitor import Monitor
from service.sessions import entries
from service.sessions.demands import require_match, require_model, require_settings
from service.sessions.places import Places, Stand
from service.sessions.records import Committed
from service.sessions.registry import LoadedModel, Registry
from service.sessions.rules import NeedsHistory, Place, Plan
from service.sessions.waves.cache import Kept, StateCache
from service.sessions.waves.stepped import Planned, Stepped, Waiting, having_seen
from service.sessions.work import Observe
from service.storage.layout import HEAD_BYTES, Bytes, Structured, position, positions
from service.storage.record import find_damage, heads_of
from service.storage.store import Found, Outcome, SessionStore
from service.wire.problems import ServiceError, StoreUnavailable
from service.wire.session_problems import RecordDamaged, SessionNotFound

STEPS_IN_A_WAVE = 64
"""More steps than these, of a list or a gap, are folded beside the waves."""

StandOf = Callable[[int], Stand]
"""Where the session of a row stands. Raises ServiceError: nothing can be done with it."""


class Forecaster:
    """Advances many sessions by what waits.

    Args:
        randomness: that many random bytes.
        monitor: is told what is stepped and answered.
    """

    def __init__(
        self,
        store: SessionStore,
        registry: Registry,
        *,
        randomness: Callable[[int], bytes],
        committed: Committed,
        log: EventLog,
        cache: StateCache,
        monitor: Monitor,
    ) -> None:
        self._store = store
        self._cache = cache
        self._registry = registry
        self._randomness = randomness
        self._committed = committed
        self._log = log
        self._monitor = monitor

    async def wave(self, waiting: Sequence[Waiting]) -> Sequence[Waiting]:
        """Advance each session, of which no two are the same; returns those to be worked off beside the waves."""
        handed_on: list[Waiting] = []
        outdated = await self._pass(waiting, handed_on, trusting=self._cache.is_trusted)
        if outdated:
            handed_on += await self._pass(outdated, handed_on, trusting=False)
        return handed_on

    async def _pass(
        self, waiting: Sequence[Waiting], handed_on: list[Waiting], *, trusting: bool
    ) -> Sequence[Waiting]:
        """Advance what is ordinary, by what is cached or else read; returns those whose cache was out of date."""
        groups: dict[LoadedModel, list[Planned]] = {}
        cached: Sequence[Waiting] = ()
        rows = self._cache.rows(())
        if trusting:
            cached, waiting, kept = self._found(waiting)
            rows = self._cache.copied(kept)
            # A refusal, too, is decided by what is stored.
            unusual = self._sorted(cached, rows, self._known(cached, rows, kept), groups)
            waiting += [having_seen(cached[row], _position(rows[row])) for row, _ in unusual]
            self._cache.drop([cached[row].session for row, _ in unusual])
        if waiting:
            waiting, read = await self._read(waiting, handed_on)
            if not trusting:
                self._compare(waiting, read)
            for row, problem in self._sorted(waiting, read, self._checked(waiting, read), groups, first=len(cached)):
                if problem is not None:
                    waiting[row].fail(problem)
                else:
                    handed_on.append(having_seen(waiting[row], _position(read[row])))
            rows = np.concatenate([rows, read]) if cached else read
        return await self._commit(groups, rows, len(cached), handed_on)

    def _found(self, waiting: Sequence[Waiting]) -> tuple[Sequence[Waiting], list[Waiting], list[Kept]]:
        """Those whose sessions are in the cache, the others, and what is kept of the former."""
        found = self._cache.find([entry.session for entry in waiting])
        kept = [one for one in found if one is not None]
        if len(kept) == len(waiting):
            return waiting, [], kept
        pairs = list(zip(waiting, found, strict=True))
        return [entry for entry, one in pairs if one], [entry for entry, one in pairs if not one], kept

    def _known(self, cached: Sequence[Waiting], rows: Bytes, kept: Sequence[Kept]) -> StandOf:
        """Where sessions stand whose heads and states this process wrote."""
        stands = [one.stand for one in kept if one.stand is not None]
        if len(stands) == len(kept):
            return lambda row: stands[row]
        places = Places([entry.session for entry in cached], heads_of(rows))
        return lambda row: kept[row].stand or places.stand(row, self._registry)

    def _checked(self, waiting: Sequence[Waiting], rows: Bytes) -> StandOf:
        """Where sessions stand whose heads and states were read; RecordDamaged where they are not sound."""
        places, damaged = Places([entry.session for entry in waiting], heads_of(rows)), find_damage(rows)
        unsound: dict[LoadedModel, NDArray[np.bool_]] = {}

        def stand(row: int) -> Stand:
            loaded = places.sound_model(row, self._registry, damaged)
            if loaded not in unsound:
                unsound[loaded] = entries.find_unsound(loaded, rows)
            if unsound[loaded][row]:
                raise RecordDamaged(waiting[row].session)
            return Stand(places.place(row, loaded), loaded)

        return stand

    async def _read(self, waiting: Sequence[Waiting], handed_on: list[Waiting]) -> tuple[list[Waiting], Bytes]:
        """What the store holds of those sessions that are there."""
        reading = await self._store.read([entry.session for entry in waiting], self._registry.live_bytes)
        present: list[int] = []
        for row, found in enumerate(reading.found.tolist()):
            entry = waiting[row]
            if found == Found.UNAVAILABLE:
                entry.fail(StoreUnavailable("the store did not answer; nothing was changed"))
            elif found == Found.PRESENT and not _falls_behind(reading.rows[row], entry.work.seen):
                present.append(row)
            elif found == Found.PRESENT or entry.work.creation is not None:
                handed_on.append(entry)
            else:
                entry.fail(SessionNotFound(entry.session))
        rows = reading.rows if len(present) == len(waiting) else reading.rows[present]
        return [waiting[row] for row in present], rows

    def _compare(self, waiting: Sequence[Waiting], read: Bytes) -> None:
        """Learn whether what is cached could be trusted again."""
        at = [row for row, entry in enumerate(waiting) if entry.session in self._cache]
        cached = positions(self._cache.rows([waiting[row].session for row in at]))
        stale = sum(old != new for old, new in zip(cached, positions(read[at]), strict=True))
        self._cache.note(len(at), stale)

    async def _commit(
        self, groups: dict[LoadedModel, list[Planned]], rows: Bytes, cached: int, handed_on: list[Waiting]
    ) -> list[Waiting]:
        """Step, commit and answer; returns those of the first `cached` rows that were out of date."""
        begun = perf_counter()
        advances = [Stepped(loaded, group, rows, self._randomness) for loaded, group in groups.items()]
        self._monitor.stepped(begun)
        handed_on += [one.entry for advance in advances for one in advance.not_finite]
        changes = [change for advance in advances for change in advance.changes]
        if not changes:
            return []
        committed = await self._store.commit(changes)
        self._committed([change.session for change in changes], self._store.now_ms)
        outcomes = iter(committed)
        outdated: list[Waiting] = []
        used = 0
        for advance in advances:
            told = [next(outcomes) for _ in advance.changes]
            applied = [row for row, outcome in enumerate(told) if outcome is Outcome.APPLIED]
            if len(applied) < len(told):
                self._cache.drop([change.session for change in advance.changes])
            sessions, stands = advance.stands(applied)
            self._cache.put(sessions, advance.stored(applied), stands)
            for one, outcome in advance.settle(told, self._log):
                was_cached = one.row < cached
                (outdated if was_cached and outcome is Outcome.CONFLICT else handed_on).append(one.entry)
            self._monitor.advanced([answer for _, answer in advance.committed])
            used += len(told) if cached == len(rows) else sum(row < cached for row in advance.origin)
        self._cache.note(used, len(outdated))
        return outdated

    def _sorted(
        self,
        waiting: Sequence[Waiting],
        rows: Bytes,
        stand_of: StandOf,
        groups: dict[LoadedModel, list[Planned]],
        *,
        first: int = 0,
    ) -> list[tuple[int, ServiceError | None]]:
        """Put what to fold into groups by model, `rows` beginning at `first` of those to be stepped.

        Returns:
            The rows that are no ordinary case: why they are refused, or None where more of their records is needed.
        """
        known = _known_tokens(waiting, heads_of(rows))
        unusual: list[tuple[int, ServiceError | None]] = []
        for row, entry in enumerate(waiting):
            try:
                stand = stand_of(row)
                if row in known or not stand.place.step:
                    raise NeedsHistory
                plan = _plan(entry.work, stand.place)
                if len(plan.values) > STEPS_IN_A_WAVE or plan.corrected:
                    raise NeedsHistory
                groups.setdefault(stand.loaded, []).append(Planned(first + row, entry, plan))
            except NeedsHistory:
                unusual.append((row, None))
            except ServiceError as refused:
                unusual.append((row, refused))
        return unusual


def _position(row: Bytes) -> bytes:
    return position(row[:HEAD_BYTES].tobytes())


def _falls_behind(row: Bytes, seen: bytes | None) -> bool:
    """Whether a session does not hold any more what was seen of it, nor what follows that."""
    if seen is None:
        return False
    stands = _position(row)
    return stands != seen and stands[:8] == seen[:8] and _revision(stands) <= _revision(seen)


def _revision(stands: bytes) -> int:
    return int.from_bytes(stands[8:12], "little")


def _plan(work: Observe, place: Place) -> Plan:
    """What to fold. A refusal by the time rules counts only where If-Match holds."""
    if work.creation is not None:
        require_settings(place, work.creation)
    if work.model is not None:
        require_model(place, work.model)
    plan = Plan(place, correcting=work.correcting)
    refused: ServiceError | None = None
    try:
        for index, observation in enumerate(work.observations):
            plan.add(observation, (index,) if work.listed else ())
        plan.foresee(work.following)
    except ServiceError as error:
        refused = error
    require_match(place, work.if_match)
    if refused is not None:
        raise refused
    return plan


def _known_tokens(waiting: Sequence[Waiting], heads: Structured) -> set[int]:
    """Rows whose Idempotency-Key is among the last outcomes, or seems to be: their records say whether it is."""
    windows, size = heads["tokens"].tobytes(), heads.dtype["tokens"].itemsize
    return {
        row
        for row, entry in enumerate(waiting)
        if entry.work.token is not None and windows.find(entry.work.token, row * size, (row + 1) * size) >= 0
    }
