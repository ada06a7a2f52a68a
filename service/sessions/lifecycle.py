"""Sessions as a whole: created with their history, changed in their settings, reset, deleted."""

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
import numpy as np
import orjson
from msgspec.structs import replace

from service.live.events import Event, Happened
from service.monitoring.monitor import Monitor
from service.sessions import drift
from service.sessions.advancing import Advancing, remembers
from service.sessions.applying import Applying
from service.sessions.creation import FULL, Creator, change, require_long_life, require_order
from service.sessions.demands import require_match
from service.sessions.emptying import emptied
from service.sessions.rebuilding import Rebuilding
from service.sessions.records import ATTEMPTS, INCARNATION_BYTES, TOKEN_BYTES, WholeRecords
from service.sessions.registry import LoadedModel, Registry
from service.sessions.rules import Plan
from service.sessions.views import View, Views
from service.sessions.whole import Whole
from service.sessions.work import NO_DIGEST, Delete, End, Reply, Reset, Resettle, Write
from service.settings import Settings
from service.storage.endings import Endings
from service.storage.store import Change, Kind, Outcome
from service.storage.store import StoreUnavailable as Unanswered
from service.wire import render
from service.wire.parsing import Observation
from service.wire.problems import DeadlineExceeded, ServiceError, Standing
from service.wire.schemas import SessionPatch, SessionSettings
from service.wire.session_problems import (
    ConcurrentUpdate,
    IdempotencyKeyReused,
    ModelMismatch,
    ModelUnavailable,
    RecordDamaged,
    SessionExists,
    SessionNotFound,
)

NO_OBSERVATIONS = bytes(32)
NO_TOKEN = bytes(TOKEN_BYTES)
NOWHERE = bytes(16)
"""A position at which no session stands."""
SETTINGS = (
    *("model", "freq", "timezone", "static", "gaps", "max_gap", "history", "minimum", "maximum"),
    *("ttl_s", "require_if_match"),
)

Forgotten = Callable[[Sequence[str]], None]
"""Is told which sessions were deleted."""


class Sessions:
    """Creates and changes sessions."""

    def __init__(
        self,
        records: WholeRecords,
        advancing: Advancing,
        applying: Applying,
        rebuilding: Rebuilding,
        creator: Creator,
        registry: Registry,
        settings: Settings,
        views: Views,
        endings: Endings,
        forgotten: Forgotten,
        monitor: Monitor,
    ) -> None:
        self._endings = endings
        self._records = records
        self._views = views
        self._advancing = advancing
        self._applying = applying
        self._rebuilding = rebuilding
        self._creator = creator
        self._registry = registry
        self._settings = settings
        self._forgotten = forgotten
        self._monitor = monitor

    async def put(
        self, session: str, asked: SessionSettings, observations: Sequence[Observation] | None
    ) -> tuple[View, bool]:
        """The session, created with these settings and observations if it was not there, and whether it was created.

        Raises:
            SessionExists: it is there, with others. And what the time rules raise.
        """
        digest = digest_of(observations)
        for _ in range(ATTEMPTS):
            whole, now_ms = await self._records.look(session)
            if whole is not None:
                view = self._the_same(whole, asked, observations, digest)
                if await self._records.confirm(whole):
                    return view, False
                continue
            whole = self._records.new(session, asked, now_ms)
            whole.record.head["created_digest"] = np.frombuffer(digest, np.uint8)
            if await self._created(whole, asked, observations or ()):
                return await self._stored(whole), True
        raise ConcurrentUpdate(Standing(session))

    async def resettle(self, work: Resettle) -> Reply:
        """Change settings. Another model folds again all that is retained.

        Where nothing is to be committed, the answer is the session as it would be, at the revision that it has.
        """

        async def resettled(whole: Whole) -> Whole:
            changed = await self._rebuilt(whole, work.asked)
            head = changed.record.head
            change(head, work.asked)
            require_order(head, work.asked)
            require_long_life(head)
            return changed

        instead = None if work.asked.model is None else self._registry.named(work.asked.model)
        return await self._changed(work, resettled, commit=not work.validate_only, instead=instead)

    async def reset(self, work: Reset) -> Reply:
        """Forget all observations; the settings and the idempotency window stay."""

        async def at_step_0(whole: Whole) -> Whole:
            return emptied(whole, self._records.randomness(INCARNATION_BYTES))

        return await self._changed(work, at_step_0)

    async def delete(self, work: Delete, over: Callable[[], bool]) -> Reply:
        """Forget a session. One that is not there is deleted already, whatever state of it If-Match names.

        Args:
            over: whether nobody waits for it any more.
        """
        life: bytes | None = None
        for attempt in range(ATTEMPTS):
            expected, full, drifting = await self._deletable(work.session, work.if_match)
            if attempt == 0:
                life = expected and expected[:8]
            # Who has asked may have asked again, been answered, and made the session anew: this may be that one.
            if over() or (expected and expected[:8]) != life:
                break
            if await self._records.commit(_deletion(work.session, expected, full)) is Outcome.APPLIED:
                self._forgotten([work.session])
                if expected != NOWHERE:
                    self._records.tell(*drift.deleted(work.session, drifting=drifting))
                return Reply(204, b"", None)
        raise ConcurrentUpdate(Standing(work.session))

    async def end(self, work: End) -> Reply:
        """Fold the last observations of a session, then forget it; the same request again is answered as it was."""
        last = work.last
        try:
            reply = await self._advancing.observe(last)
        except SessionNotFound:
            return await self._ended(work)
        assert reply.told is not None, "an observation is answered by an Advance"
        if last.token is not None:
            with _settled_later(work):
                await self._endings.keep(*reply.told, last.token, last.digest)
        await self._forget(work.session, reply.told[1].incarnation)
        return reply

    async def _ended(self, work: End) -> Reply:
        """The answer that was given to these last observations. Raises SessionNotFound or IdempotencyKeyReused."""
        last = work.last
        with _settled_later(work):
            ending = None if last.token is None else await self._endings.find(last.session)
        if ending is None or ending.token != last.token:
            raise SessionNotFound(last.session)
        if ending.digest != last.digest:
            raise IdempotencyKeyReused(Standing(last.session))
        return Reply.of(ending.label(last.session), ending.answer, replayed=True)

    async def _forget(self, session: str, life: bytes) -> None:
        """Delete a session, whatever it was fed meanwhile; another life of it is left alone."""
        for _ in range(ATTEMPTS):
            whole, _ = await self._records.look(session, stored=True)
            if whole is None or whole.expected is None or whole.expected[:INCARNATION_BYTES] != life:
                return
            if await self._records.commit(_deletion(session, whole.expected, whole.full)) is Outcome.APPLIED:
                self._forgotten([session])
                self._records.tell(*drift.deleted(session, drifting=drift.is_drifting(whole)))
                return
        raise ConcurrentUpdate(Standing(session))

    async def _deletable(self, session: str, if_match: tuple[str, ...] | None) -> tuple[bytes | None, bool, bool]:
        """The position that a deletion must find, None = whatever is there.

        And whether what is there keeps a full history, and whether it is in drift.
        """
        try:
            whole, _ = await self._records.look(session)
        except (RecordDamaged, ModelUnavailable, ModelMismatch):
            if if_match is not None:
                raise
            return None, False, False  # deleting is the cure
        if whole is not None:
            require_match(whole.place, if_match)
            # The position that was read: a command that comes late must not delete what was made since.
            return whole.expected, whole.full, drift.is_drifting(whole)
        return NOWHERE, False, False

    async def _created(self, whole: Whole, asked: SessionSettings, observations: Sequence[Observation]) -> bool:
        """Fold the history and store the new session; False = another request created it meanwhile."""
        token, record = self._records.randomness(TOKEN_BYTES), whole.record
        place = whole.place
        if place.max_gap is not None:  # long closures are ordinary in a history
            place = replace(place, max_gap=self._settings.warm_up_gap_limit)
        plan = Plan(place, is_history=True)
        await self._advancing.plan(plan, observations, lambda index: ("observations", index))
        if plan.values:
            await self._applying.apply(whole, plan, token=token, digest=NO_DIGEST, status=200)
        else:
            record.bump(token)
        self._records.settle_expiry(whole, asked)
        created = Happened(whole.session, "created", record.step, render.head_etag(record.head))
        outcome = await self._records.replace(whole, token, NO_DIGEST, created, *drift.told(drift.NOWHERE, whole))
        if outcome not in (Outcome.APPLIED, Outcome.REPLAYED):
            return False
        self._monitor.folded(len(plan.values) - sum(plan.imputed), sum(plan.imputed))
        return True

    async def _changed(
        self,
        work: Write,
        made: Callable[[Whole], Awaitable[Whole]],
        *,
        commit: bool = True,
        instead: LoadedModel | None = None,
    ) -> Reply:
        token = work.token or self._records.randomness(TOKEN_BYTES)

        async def attempt(whole: Whole | None, _: int) -> tuple[View, bool] | None:
            if whole is None:
                raise SessionNotFound(work.session)
            if whole.is_readable and work.token is not None and remembers(whole, token, work.digest):
                return (View.of(whole), True) if await self._records.confirm(whole) else None
            require_match(whole.place, work.if_match)
            before = drift.stood(whole)
            changed = await made(whole)
            if not commit:
                return View.of(changed), False
            changed.record.bump(token, work.digest)
            events = [*_events(work, whole, changed), *drift.told(before, changed)]
            outcome = await self._records.replace(changed, token, work.digest, *events)
            if outcome is Outcome.APPLIED or (outcome is Outcome.REPLAYED and work.token is None):
                return await self._stored(changed), False
            if outcome is Outcome.REPLAYED:
                stored = await self._records.existing(work.session, stored=True)
                return (View.of(stored), True) if remembers(stored, token, work.digest) else None
            return None

        view, replayed = await self._records.work(work.session, attempt, instead=instead)
        return Reply(200, orjson.dumps(view.body(self._registry)), view.etag, replayed)

    async def _rebuilt(self, whole: Whole, asked: SessionPatch) -> Whole:
        """The session with the model and the history that are asked for."""
        record, loaded = whole.record, whole.loaded
        ring, full = record.history, whole.full
        if "history" in asked.model_fields_set:
            stays = full and asked.history == FULL
            ring, full = record.history if stays else self._creator.ring(asked), asked.history == FULL
        if asked.model is not None:
            loaded = self._creator.model(asked.model)
        if loaded.spec.fingerprint != whole.fingerprint:
            changed = await self._rebuilding.remodel(whole, loaded, ring=ring, full=full)
        elif (ring, full) != (record.history, whole.full):
            changed = await self._rebuilding.resize(whole, ring=ring, full=full)
        else:
            return whole
        if int(record.head["max_gap"]) == record.history // 2:  # half of the history unless it was set otherwise
            changed.record.head["max_gap"] = ring // 2
        return changed

    async def _stored(self, whole: Whole) -> View:
        """A record that was just stored, with the times that the store gave it."""
        made = View.of(whole)
        try:
            stored = await self._views.one(whole.session)
        except ServiceError:
            return made
        return stored if isinstance(stored, View) and stored.etag == made.etag else made

    def _the_same(
        self, whole: Whole, asked: SessionSettings, observations: Sequence[Observation] | None, digest: bytes
    ) -> View:
        """The session as it is, if it is the one asked for. Raises SessionExists."""
        view = View.of(whole)
        different = _differences(view.body(self._registry), asked)
        if observations is not None and whole.record.head["created_digest"].tobytes() != digest:
            different.append("observations")
        if different:
            raise SessionExists(whole.place.standing(), different)
        return view


@contextmanager
def _settled_later(work: End) -> Iterator[None]:
    """Raises DeadlineExceeded where the store does not answer: what was folded before is."""
    try:
        yield
    except Unanswered as error:
        raise DeadlineExceeded(f"{error}; {work.again}") from None


def digest_of(observations: Sequence[Observation] | None) -> bytes:
    """32 bytes that tell the histories of two PUTs apart."""
    if not observations:
        return NO_OBSERVATIONS
    return hashlib.sha256(msgspec.json.encode(observations)).digest()


def _events(work: Write, whole: Whole, changed: Whole) -> list[Event]:
    """What is told of a changed session beside its drift; of other settings nothing is."""
    head = changed.record.head
    if isinstance(work, Reset):
        return [Happened(work.session, "reset", 0, render.head_etag(head))]
    if changed.loaded.spec.fingerprint != whole.fingerprint:
        return [Happened(work.session, "migrated", int(head["step"]), render.head_etag(head))]
    return []


def _deletion(session: str, expected: bytes | None, full: bool) -> Change:
    return Change(session, NO_TOKEN, NO_DIGEST, expected, Kind.DELETE, (), 0, full)


def _differences(body: render.Json, asked: SessionSettings) -> list[str]:
    """Names of the settings that were given and are not the session's."""
    different = []
    for name in SETTINGS:
        given = getattr(asked, name)
        if name not in asked.model_fields_set or (given is None and name in ("model", "max_gap")):
            continue
        held = body[name]
        if name == "model" and "@" not in given:
            held = str(held).partition("@")[0]
        if name == "ttl_s" and given is not None:
            given = render.seconds(round(1000 * given))
        if held != given:
            different.append(name)
    return different
