"""Whole records in the store: read, made and replaced."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import numpy as np

from service.live.events import Event
from service.live.log import EventLog
from service.sessions import entries
from service.sessions.creation import Creator
from service.sessions.places import Places
from service.sessions.registry import LoadedModel, Registry
from service.sessions.whole import NeedsOlder, Whole
from service.storage.answers import Observed, read_observed
from service.storage.history import parsed_base, slots_between
from service.storage.layout import HEAD_BYTES, Layout, Structured
from service.storage.record import DamagedRecord, Record, find_damage, heads_of
from service.storage.store import Change, Found, HistoryReading, Kind, Outcome, SessionStore
from service.wire.problems import (
    AGAIN,
    LOOK_FIRST,
    DeadlineExceeded,
    DurabilityUnconfirmed,
    ServiceError,
    Standing,
    StoreUnavailable,
)
from service.wire.schemas import SessionSettings
from service.wire.session_problems import (
    ConcurrentUpdate,
    ModelMismatch,
    ModelUnavailable,
    RecordDamaged,
    SessionNotFound,
)

ATTEMPTS = 4
"""A change that finds its session changed meanwhile is computed anew at most three times."""
AT_ONCE = 1024
"""Observations whose slots are read or written in a millisecond or two; more of them in a thread."""
INCARNATION_BYTES = 8
TOKEN_BYTES = 16

ResultT = TypeVar("ResultT")
Committed = Callable[[Sequence[str], int], None]
"""Is told which sessions were committed, and the store's time in milliseconds."""


class WholeRecords:
    """Reads, makes and replaces whole records."""

    def __init__(
        self,
        store: SessionStore,
        registry: Registry,
        creator: Creator,
        *,
        randomness: Callable[[int], bytes],
        committed: Committed,
        log: EventLog,
    ) -> None:
        self._store = store
        self._registry = registry
        self._creator = creator
        self._committed = committed
        self._log = log
        self.randomness = randomness

    async def work(
        self,
        session: str,
        change: Callable[[Whole | None, int], Awaitable[ResultT | None]],
        *,
        stored: bool = False,
        instead: LoadedModel | None = None,
    ) -> ResultT:
        """The result of a change, computed anew while others change the session meanwhile, which None says.

        Args:
            change: is given the session's record (None = there is no such session) and the store's time.
            stored: it was applied before.
            instead: the model that is to fold the session on if its own is not here.
        Raises:
            ConcurrentUpdate: others changed it each time. And what `look` and `change` raise.
        """
        attempts, since = 0, None
        while attempts < ATTEMPTS:
            whole, now_ms = await self.look(session, since, stored=stored, instead=instead)
            try:
                result = await change(whole, now_ms)
            except NeedsOlder as older:
                since = older.step
                continue
            if result is not None:
                return result
            attempts += 1
        raise ConcurrentUpdate(Standing(session))

    async def look(
        self,
        session: str,
        since: int | None = None,
        *,
        stored: bool = False,
        instead: LoadedModel | None = None,
    ) -> tuple[Whole | None, int]:
        """A session's record (None = there is no such session), and the store's time in milliseconds.

        Args:
            since: the observations from this step on are to be at hand, if its history is kept in full.
            stored: what is asked for was applied before; a store that does not answer is then no proof that it was not.
            instead: the model that is to fold the session on if its own is not here.
        Raises:
            StoreUnavailable or, if `stored`, DeadlineExceeded; RecordDamaged, ModelUnavailable, ModelMismatch: it
                cannot be worked with.
        """
        if since is not None:
            return await self._look_back(session, since, stored, instead)
        reading = await self._store.read_whole([session])
        if reading.found[0] is Found.UNAVAILABLE:
            raise _unanswered(stored)
        blob = reading.blobs[0]
        if blob is None:
            return None, reading.now_ms
        record, loaded = parsed(session, blob, self._registry, instead)
        return Whole.of(session, record, loaded, record.position, reading.now_ms), reading.now_ms

    async def _look_back(
        self, session: str, since: int, stored: bool, instead: LoadedModel | None
    ) -> tuple[Whole | None, int]:
        reading = await self._read_history(session, since, stored=stored)
        if reading.blob is None:
            return None, reading.now_ms
        record, loaded = parsed(session, reading.blob, self._registry, instead)
        whole = Whole.of(session, record, loaded, record.position, reading.now_ms)
        if whole.full:
            first = max(since, whole.retained_from)
            try:
                whole.slots = await _slots(record, reading.chunks, first, record.step)
                if first == whole.retained_from > 1:
                    whole.base = parsed_base(reading.base, record)
            except DamagedRecord:
                raise RecordDamaged(session) from None
        return whole, reading.now_ms

    async def _read_history(
        self, session: str, first: int, last: int = 0, *, stored: bool = False
    ) -> HistoryReading:
        reading = await self._store.read_history(session, first, last)
        if reading.found is Found.UNAVAILABLE:
            raise _unanswered(stored)
        return reading

    async def page(
        self, session: str, *, size: int, after: int | None, descending: bool
    ) -> tuple[Whole, list[Observed], int | None]:
        """A page of the retained history of a session, and the last step on it if more follow. It needs no model.

        Args:
            after: step that the page follows; None = from the beginning.
        """
        default = self._registry.default
        whole = await self.existing(session, instead=default)
        for _ in range(ATTEMPTS):
            first, last = _bounds(whole, size, after, descending)
            if first > last:
                return whole, [], None
            if first >= whole.at_hand:
                return whole, *_page(whole, whole.slots_from(first)[: last - first + 1], descending)
            reading = await self._read_history(session, first, last)
            if reading.blob is None:
                raise SessionNotFound(session)
            record, loaded = parsed(session, reading.blob, self._registry, default)
            whole = Whole.of(session, record, loaded, record.position, reading.now_ms)
            if whole.full and whole.retained_from <= first and last <= record.step:
                try:
                    return whole, *_page(whole, await _slots(record, reading.chunks, first, last), descending)
                except DamagedRecord:
                    raise RecordDamaged(session) from None
        raise ConcurrentUpdate(Standing(session))

    async def existing(
        self, session: str, *, stored: bool = False, instead: LoadedModel | None = None
    ) -> Whole:
        """A session's record, as `look` gives it. Raises SessionNotFound, and what `look` raises."""
        whole, _ = await self.look(session, stored=stored, instead=instead)
        if whole is None:
            raise SessionNotFound(session)
        return whole

    def new(self, session: str, asked: SessionSettings, now_ms: int) -> Whole:
        """The record of a session to create, not yet stored.

        Raises:
            NotFound, InvalidRequest: no such model, or settings that cannot be.
        """
        record, loaded = self._creator.record(
            session, asked, incarnation=self.randomness(INCARNATION_BYTES), now_ms=now_ms
        )
        return Whole.of(session, record, loaded, None, now_ms)

    def settle_expiry(self, whole: Whole, asked: SessionSettings) -> None:
        """Give a new session its time to live, once its freq is known."""
        self._creator.settle_expiry(whole.record, asked)

    async def replace(
        self, whole: Whole, token: bytes, digest: bytes, *events: Event, recognised: bool = True
    ) -> Outcome:
        """Store the record, changed and with its revision raised; anything but APPLIED and REPLAYED was not stored.

        Args:
            events: what is told of it, once it is stored.
            recognised: whether the same request again would change nothing more.
        Raises:
            StoreUnavailable: it was not stored.
            DeadlineExceeded: perhaps it was.
            DurabilityUnconfirmed: it was, and may yet be lost.
        """
        change = Change(
            session=whole.session,
            token=token,
            digest=digest,
            expected=whole.expected,
            kind=Kind.REPLACE,
            writes=((0, whole.record.render()),),
            ttl_ms=int(whole.record.head["ttl_ms"]),
            full=whole.full or whole.was_full,
            history=await asyncio.to_thread(whole.history) if len(whole.slots) > AT_ONCE else whole.history(),
        )
        try:
            outcome = await self.commit(change, recognised=recognised)
        except DurabilityUnconfirmed:
            self._committed([whole.session], whole.now_ms)
            self.tell(*events)
            raise
        if outcome in (Outcome.APPLIED, Outcome.REPLAYED):
            self.tell(*events)
        if outcome is Outcome.APPLIED:
            head = whole.record.head  # as the store wrote it, to the second
            head["updated_ms"] = whole.now_ms
            head["expires_ms"] = whole.now_ms + change.ttl_ms if change.ttl_ms else 0
            self._committed([whole.session], whole.now_ms)
        return outcome

    async def commit(self, change: Change, *, recognised: bool = True) -> Outcome:
        """One change. Raises what `replace` raises."""
        [outcome] = await self._store.commit([change])
        return _settled(change.session, outcome, recognised)

    def tell(self, *events: Event) -> None:
        """These things were committed."""
        if events:
            self._log.tell(*events)

    async def confirm(self, whole: Whole) -> bool:
        """Before what was read is told as an earlier answer: make sure that it is as durable as asked.

        Returns:
            False where the store does not hold any more what was read.
        Raises:
            DurabilityUnconfirmed: it is not sure yet.
            DeadlineExceeded: the store did not answer.
        """
        if whole.expected is None:
            return True  # a new one, whose own commit found it stored: that commit was waited for
        outcome = await self._store.confirm(whole.session, whole.expected)
        if outcome is Outcome.UNAVAILABLE:
            raise _unanswered(stored=True)
        return _settled(whole.session, outcome) is Outcome.APPLIED


def _settled(session: str, outcome: Outcome, recognised: bool = True) -> Outcome:
    """An outcome of the script. Raises what the others mean to a client."""
    match outcome:
        case Outcome.UNAVAILABLE:
            raise StoreUnavailable("the store did not take the change; nothing was changed")
        case Outcome.UNKNOWN:
            raise DeadlineExceeded(f"the store did not confirm in time; {AGAIN if recognised else LOOK_FIRST}")
        case Outcome.UNCONFIRMED:
            raise DurabilityUnconfirmed(session, recognised=recognised)
    return outcome


def _unanswered(stored: bool) -> ServiceError:
    """What it means that the store did not answer, to a request that was applied before or was not."""
    if stored:
        return DeadlineExceeded(f"the store did not answer; {AGAIN}")
    return StoreUnavailable("the store did not answer; nothing was changed")


def _bounds(whole: Whole, size: int, after: int | None, descending: bool) -> tuple[int, int]:
    """The first and the last step of a page of the history; the first is behind the last where there are none."""
    oldest, newest = whole.retained_from, whole.record.step
    if descending:
        last = newest if after is None else min(after - 1, newest)
        return max(last - size + 1, oldest), last
    first = oldest if after is None else max(after + 1, oldest)
    return first, min(first + size - 1, newest)


def _page(whole: Whole, slots: Structured, descending: bool) -> tuple[list[Observed], int | None]:
    """Observations in the order asked for, and the step of the last one if there are more."""
    shown = read_observed(slots[::-1] if descending else slots)
    end = whole.retained_from if descending else whole.record.step
    return shown, None if shown[-1].step == end else shown[-1].step


def parsed(
    session: str, blob: bytes, registry: Registry, instead: LoadedModel | None = None
) -> tuple[Record, LoadedModel]:
    """A stored record and the model that folds it on: its own, or the one `instead` if that is not here.

    Raises:
        RecordDamaged, ModelUnavailable, ModelMismatch: it cannot be worked with.
    """
    rows = np.frombuffer(blob, np.uint8)[None, :]
    if len(blob) < HEAD_BYTES or find_damage(rows):
        raise RecordDamaged(session)
    places = Places([session], heads_of(rows))
    places.label(0)
    try:
        loaded = places.model(0, registry)
    except (ModelUnavailable, ModelMismatch):
        if instead is None:
            raise
        return _record(session, blob, None), instead
    record = _record(session, blob, loaded.layout)
    kept = record.snapshots[record.snapshots["filled"] == 1]
    states = np.concatenate([record.state[None], kept["state"]])
    if not entries.are_sound(loaded, states, np.array([record.step, *kept["step"]])).all():
        raise RecordDamaged(session)
    return record, loaded


def _record(session: str, blob: bytes, layout: Layout | None) -> Record:
    try:
        return Record.taken_apart(blob, layout)
    except DamagedRecord:
        raise RecordDamaged(session) from None


async def _slots(record: Record, chunks: Sequence[bytes | None], first: int, last: int) -> Structured:
    """`slots_between`; many in a thread, as their checksums take a while."""
    if len(chunks) * record.history > AT_ONCE:
        return await asyncio.to_thread(slots_between, record, chunks, first, last)
    return slots_between(record, chunks, first, last)
