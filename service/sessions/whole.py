"""Whole records: one session read, changed in memory, and put back if it still stands where it was read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from service.sessions.creation import Creator
from service.sessions.places import Places
from service.sessions.registry import LoadedModel, Registry
from service.sessions.rules import Place
from service.storage.answers import Answer, Observed, read_answers, read_observed
from service.storage.layout import HEAD_BYTES
from service.storage.record import DamagedRecord, Record, find_damage, heads_of
from service.storage.store import Change, Found, Kind, Outcome, SessionStore
from service.wire.problems import DeadlineExceeded, StoreUnavailable
from service.wire.schemas import SessionSettings
from service.wire.session_problems import RecordDamaged, SessionNotFound

ATTEMPTS = 4
"""A change that finds its session changed meanwhile is computed anew at most three times."""
INCARNATION_BYTES = 8
TOKEN_BYTES = 16

Committed = Callable[[Sequence[str], int], None]
"""Is told which sessions were committed, and the store's time in milliseconds."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A record in memory.

    Args:
        expected: position that the stored record must have when it is replaced; None = there must be none.
        now_ms: the store's clock.
    """

    session: str
    record: Record
    loaded: LoadedModel
    expected: bytes | None
    now_ms: int

    @property
    def place(self) -> Place:
        return Places([self.session], self.record.head.reshape(1)).place(0, self.loaded)

    def answers(self) -> list[Answer]:
        """Those of the last outcomes that belong to this life of the session, in no order."""
        incarnation = self.record.head["incarnation"].tobytes()
        kept = read_answers(self.record.outcomes)
        return [answer for answer in kept if answer.revision and answer.incarnation == incarnation]

    def retained(self, step: int) -> Observed | None:
        """An observation by its step: from the history, or, where that is short, from the last outcomes."""
        record = self.record
        if record.retained_from <= step <= record.step:
            [observed] = read_observed(record.ring[[(step - 1) % record.history]])
            return observed
        return next((answer.observed for answer in self.answers() if answer.observed.step == step), None)

    def page(self, *, size: int, after: int | None, descending: bool) -> tuple[list[Observed], int | None]:
        """A page of the history, and the last step on it if more follow.

        Args:
            after: step that the page follows; None = from the beginning.
        """
        steps = list(range(self.record.retained_from, self.record.step + 1))
        if descending:
            steps.reverse()
        if after is not None:
            steps = [step for step in steps if (step < after if descending else step > after)]
        if not steps:
            return [], None
        shown = steps[:size]
        slots = self.record.ring[[(step - 1) % self.record.history for step in shown]]
        return read_observed(slots), shown[-1] if len(steps) > size else None


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
    ) -> None:
        self._store = store
        self._registry = registry
        self._creator = creator
        self._committed = committed
        self.randomness = randomness

    async def look(self, session: str) -> tuple[Whole | None, int]:
        """A session's record (None = there is no such session), and the store's time in milliseconds.

        Raises:
            StoreUnavailable, RecordDamaged, ModelUnavailable, ModelMismatch: it cannot be worked with.
        """
        reading = await self._store.read_whole([session])
        if reading.found[0] is Found.UNAVAILABLE:
            raise StoreUnavailable("the store did not answer; nothing was changed")
        blob = reading.blobs[0]
        if blob is None:
            return None, reading.now_ms
        record, loaded = parsed(session, blob, self._registry)
        return Whole(session, record, loaded, record.position, reading.now_ms), reading.now_ms

    async def existing(self, session: str) -> Whole:
        """A session's record. Raises SessionNotFound, and what `look` raises."""
        whole, _ = await self.look(session)
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
        return Whole(session, record, loaded, None, now_ms)

    def settle_expiry(self, whole: Whole, asked: SessionSettings) -> None:
        """Give a new session its time to live, once its freq is known."""
        self._creator.settle_expiry(whole.record, asked)

    async def replace(self, whole: Whole, token: bytes, digest: bytes) -> Outcome:
        """Store the record, changed and with its revision raised; anything but APPLIED and REPLAYED was not stored.

        Raises:
            StoreUnavailable: it was not stored.
            DeadlineExceeded: perhaps it was.
        """
        change = Change(
            session=whole.session,
            token=token,
            digest=digest,
            expected=whole.expected,
            fingerprint=whole.loaded.spec.fingerprint,
            kind=Kind.REPLACE,
            writes=((0, whole.record.render()),),
            ttl_ms=int(whole.record.head["ttl_ms"]),
        )
        outcome = await self.commit(change)
        if outcome is Outcome.APPLIED:
            head = whole.record.head  # as the store wrote it, to the second
            head["updated_ms"] = whole.now_ms
            head["expires_ms"] = whole.now_ms + change.ttl_ms if change.ttl_ms else 0
            self._committed([whole.session], whole.now_ms)
        return outcome

    async def commit(self, change: Change) -> Outcome:
        """One change. Raises StoreUnavailable or DeadlineExceeded as `replace` does."""
        [outcome] = await self._store.commit([change])
        if outcome is Outcome.UNAVAILABLE:
            raise StoreUnavailable("the store did not take the change; nothing was changed")
        if outcome is Outcome.UNKNOWN:
            raise DeadlineExceeded("the store did not confirm in time; the same request again settles it")
        return outcome


def parsed(session: str, blob: bytes, registry: Registry) -> tuple[Record, LoadedModel]:
    """A stored record and its model. Raises RecordDamaged, ModelUnavailable or ModelMismatch."""
    rows = np.frombuffer(blob, np.uint8)[None, :]
    if len(blob) < HEAD_BYTES or find_damage(rows):
        raise RecordDamaged(session)
    loaded = Places([session], heads_of(rows)).model(0, registry)
    try:
        return Record.parse(blob, loaded.layout), loaded
    except DamagedRecord:
        raise RecordDamaged(session) from None
