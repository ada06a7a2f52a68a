"""Whole records: one session read, changed in memory, and put back if it still stands where it was read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from service.sessions.creation import Creator
from service.sessions.places import Places
from service.sessions.registry import LoadedModel, Registry
from service.sessions.rules import Place
from service.storage.answers import Answer, Observed, read_answers, read_observed
from service.storage.layout import HEAD_BYTES, AnswerKind, Bytes, Structured
from service.storage.record import DamagedRecord, Record, find_damage, heads_of
from service.storage.store import Change, Found, Kind, Outcome, SessionStore
from service.wire.problems import DeadlineExceeded, DurabilityUnconfirmed, StoreUnavailable
from service.wire.schemas import SessionSettings
from service.wire.session_problems import RecordDamaged, SessionNotFound

ATTEMPTS = 4
"""A change that finds its session changed meanwhile is computed anew at most three times."""
INCARNATION_BYTES = 8
TOKEN_BYTES = 16

Committed = Callable[[Sequence[str], int], None]
"""Is told which sessions were committed, and the store's time in milliseconds."""


@dataclass(slots=True)
class Whole:
    """A record in memory.

    Args:
        expected: position that the stored record must have when it is replaced; None = there must be none.
        now_ms: the store's clock.
        slots: the retained observations, oldest first, the last one that of the record's step.
    """

    session: str
    record: Record
    loaded: LoadedModel
    expected: bytes | None
    now_ms: int
    slots: Structured

    @property
    def place(self) -> Place:
        return Places([self.session], self.record.head.reshape(1)).place(0, self.loaded)

    def answers(self) -> list[Answer]:
        """Those of the last outcomes that belong to this life of the session, in no order."""
        incarnation = self.record.head["incarnation"].tobytes()
        kept = read_answers(self.record.outcomes)
        return [answer for answer in kept if answer.revision and answer.incarnation == incarnation]

    @property
    def retained_from(self) -> int:
        """The oldest step at hand; one after the last if there is none."""
        return self.record.step - len(self.slots) + 1

    def retained(self, step: int) -> Observed | None:
        """An observation by its step: from the history, or, where that is short, from the last outcomes."""
        if self.retained_from <= step <= self.record.step:
            [observed] = read_observed(self.slots[[step - self.retained_from]])
            return observed
        answers = self.answers()
        rewound = max((answer.revision for answer in answers if answer.kind == AnswerKind.REWIND), default=0)
        told = [answer for answer in answers if answer.observed.step == step and answer.revision >= rewound]
        return max(told, key=lambda answer: answer.revision).observed if told else None

    def correctable_from(self) -> int:
        """The oldest step that can be folded again; one after the last if none can."""
        return self.record.correctable_from

    def state_before(self, step: int) -> tuple[int, Bytes]:
        """The newest kept state that does not hold observation `step` yet, and its own step.

        Args:
            step: from `correctable_from` to the one that comes next.
        """
        if step == self.record.step + 1:
            return self.record.step, self.record.state.copy()
        kept = self.record.snapshot_before(step)
        assert kept is not None, "a correctable step has a state before it"
        return kept

    def rewind(self, step: int, state: Bytes) -> None:
        """Go back to the state after an earlier step, whose observation is retained."""
        self.slots = self.slots[: step - self.retained_from + 1]
        self.record.rewind(step, int(self.slots["timestamp"][-1]), state)

    def slots_from(self, step: int) -> Structured:
        """A copy of the observations from a step on, oldest first."""
        slots: Structured = self.slots[step - self.retained_from :].copy()
        return slots

    def put_slots(self, slots: Structured) -> None:
        """Put observations in their places: the last ones from a step on, the newest that of the record's step.

        Called after the record's step was moved.
        """
        kept = self.slots[self.slots["step"] < slots["step"][0]]
        self.slots = np.concatenate([kept, slots])[-self.record.history :] if self.record.history else self.slots[:0]
        self.record.put_slots(slots)

    def page(self, *, size: int, after: int | None, descending: bool) -> tuple[list[Observed], int | None]:
        """A page of the history, and the last step on it if more follow.

        Args:
            after: step that the page follows; None = from the beginning.
        """
        steps = list(range(self.retained_from, self.record.step + 1))
        if descending:
            steps.reverse()
        if after is not None:
            steps = [step for step in steps if (step < after if descending else step > after)]
        if not steps:
            return [], None
        shown = steps[:size]
        slots = self.slots[[step - self.retained_from for step in shown]]
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

    async def look(self, session: str, *, stored: bool = False) -> tuple[Whole | None, int]:
        """A session's record (None = there is no such session), and the store's time in milliseconds.

        Args:
            stored: what is asked for was applied before; a store that does not answer is then no proof that it was not.
        Raises:
            StoreUnavailable or, if `stored`, DeadlineExceeded; RecordDamaged, ModelUnavailable, ModelMismatch: it
                cannot be worked with.
        """
        reading = await self._store.read_whole([session])
        if reading.found[0] is Found.UNAVAILABLE:
            if stored:
                raise DeadlineExceeded("the store did not answer; the same request again settles it")
            raise StoreUnavailable("the store did not answer; nothing was changed")
        blob = reading.blobs[0]
        if blob is None:
            return None, reading.now_ms
        record, loaded = parsed(session, blob, self._registry)
        return Whole(session, record, loaded, record.position, reading.now_ms, record.slots()), reading.now_ms

    async def existing(self, session: str, *, stored: bool = False) -> Whole:
        """A session's record. Raises SessionNotFound, and what `look` raises."""
        whole, _ = await self.look(session, stored=stored)
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
        return Whole(session, record, loaded, None, now_ms, record.slots())

    def settle_expiry(self, whole: Whole, asked: SessionSettings) -> None:
        """Give a new session its time to live, once its freq is known."""
        self._creator.settle_expiry(whole.record, asked)

    async def replace(self, whole: Whole, token: bytes, digest: bytes) -> Outcome:
        """Store the record, changed and with its revision raised; anything but APPLIED and REPLAYED was not stored.

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
            fingerprint=whole.loaded.spec.fingerprint,
            kind=Kind.REPLACE,
            writes=((0, whole.record.render()),),
            ttl_ms=int(whole.record.head["ttl_ms"]),
        )
        try:
            outcome = await self.commit(change)
        except DurabilityUnconfirmed:
            self._committed([whole.session], whole.now_ms)
            raise
        if outcome is Outcome.APPLIED:
            head = whole.record.head  # as the store wrote it, to the second
            head["updated_ms"] = whole.now_ms
            head["expires_ms"] = whole.now_ms + change.ttl_ms if change.ttl_ms else 0
            self._committed([whole.session], whole.now_ms)
        return outcome

    async def commit(self, change: Change) -> Outcome:
        """One change. Raises what `replace` raises."""
        [outcome] = await self._store.commit([change])
        return _settled(change.session, outcome)

    async def confirm(self, whole: Whole) -> bool:
        """Before what was read is told as an earlier answer: make sure that it is as durable as asked.

        Returns:
            False where the store does not hold any more what was read.
        Raises:
            DurabilityUnconfirmed: it is not sure yet. And what `commit` raises.
        """
        if whole.expected is None:
            return True  # a new one, whose own commit found it stored: that commit was waited for
        outcome = await self._store.confirm(whole.session, whole.expected)
        return _settled(whole.session, outcome) is Outcome.APPLIED


def _settled(session: str, outcome: Outcome) -> Outcome:
    """An outcome of the script. Raises what the others mean to a client."""
    match outcome:
        case Outcome.UNAVAILABLE:
            raise StoreUnavailable("the store did not take the change; nothing was changed")
        case Outcome.UNKNOWN:
            raise DeadlineExceeded("the store did not confirm in time; the same request again settles it")
        case Outcome.UNCONFIRMED:
            raise DurabilityUnconfirmed(session)
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
