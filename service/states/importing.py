"""From the document of a session's state to a record: built in memory, checked as what is read from a store, stored."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext

import numpy as np
from pydantic import ValidationError

from service.live.events import Happened
from service.sessions import drift
from service.sessions.creation import Creator, require_long_life
from service.sessions.demands import require_match
from service.sessions.records import ATTEMPTS, INCARNATION_BYTES, TOKEN_BYTES, WholeRecords
from service.sessions.registry import LoadedModel, Registry
from service.sessions.views import Shown, Views
from service.sessions.whole import Whole
from service.sessions.work import NO_DIGEST
from service.states import reading
from service.states.document import State, invalid, unsettled
from service.states.receiving import LARGE_BYTES, Received, received
from service.storage.record import Record
from service.storage.store import Outcome
from service.wire import parsing
from service.wire.problems import InvalidRequest, Standing
from service.wire.schemas import SessionSettings
from service.wire.session_problems import (
    ConcurrentUpdate,
    ModelMismatch,
    ModelUnavailable,
    PreconditionFailed,
    SessionExists,
    StateInvalid,
)

CURE = "deploy that one here, or create the session with PUT and its history"
INSTALL = "install the model's folder here, import the state where the model is, or PUT the session with its history"


class Importer:
    """Puts sessions into the store from the documents of their states.

    Args:
        between: waits for a moment at which a slice of work delays nobody.
    """

    def __init__(
        self,
        records: WholeRecords,
        creator: Creator,
        registry: Registry,
        views: Views,
        between: Callable[[], Awaitable[None]],
    ) -> None:
        self._records = records
        self._creator = creator
        self._registry = registry
        self._views = views
        self._between = between
        self._large = asyncio.Lock()
        """One large document at a time: read, it takes ten times its bytes."""

    async def put(
        self, session: str, body: bytes, if_match: tuple[str, ...] | None
    ) -> tuple[Shown, bool]:
        """The session, in a new life at the step of the state, and whether it was not there before.

        The same state again changes nothing, also where the session has gone on from it. Over another session it is
        put only with If-Match.

        Raises:
            MalformedRequest, StateInvalid: it is none, or is damaged; the first member that does not fit is named.
            ModelUnavailable, ModelMismatch: its model is not here.
            SessionExists, PreconditionFailed: another session is there.
        """
        token = self._records.randomness(TOKEN_BYTES)
        turn: AbstractAsyncContextManager[object] = self._large if len(body) >= LARGE_BYTES else nullcontext()
        async with turn, received(body) as document:
            built, state = await self._built(session, document, token), document.state
        own = built.record.head["created_digest"].tobytes()
        for _ in range(ATTEMPTS):
            whole, now_ms = await self._records.look(session, instead=self._registry.default)
            if whole is not None and whole.record.head["created_digest"].tobytes() == own:
                if await self._records.confirm(whole):
                    return await self._views.one(session), False
                continue
            _require_room(session, whole, if_match)
            built.record.head["created_ms"] = now_ms
            built.expected, built.now_ms = (None if whole is None else whole.expected), now_ms
            built.was_full = whole is not None and whole.full and not built.full
            imported = Happened(session, "imported", state.step, built.place.etag)
            turned = drift.told(drift.NOWHERE if whole is None else drift.stood(whole), built)
            outcome = await self._records.replace(built, token, NO_DIGEST, imported, *turned)
            if outcome in (Outcome.APPLIED, Outcome.REPLAYED):
                return await self._views.one(session), whole is None
        raise ConcurrentUpdate(Standing(session))

    async def _built(self, session: str, document: Received, token: bytes) -> Whole:
        """The record of the state, not yet stored. Raises what `put` says of the state and its model."""
        state, digest = document.state, document.digest
        is_whole = state.checksum == f"sha256:{digest.hex()}"
        loaded = self._model(session, state, is_whole)
        record = self._record(session, state, loaded)
        head = record.head
        head["created_digest"] = np.frombuffer(digest, np.uint8)
        times = reading.place(record, state)
        reading.put_states(record, state, loaded)
        slots, at = reading.empty_slots(record, document), 0
        async for records in document.pieces:
            reading.put_slots(slots, at, records, state, times, loaded)
            at += len(records)
            await self._between()
        head["first"] = document.first
        record.put_slots(slots)
        record.bump(token)
        reading.require_sound(record, loaded)
        if not is_whole:
            raise _damaged()
        whole = Whole.of(session, record, loaded, None, 0)
        whole.slots = slots
        whole.base = reading.base(document, loaded)
        return whole

    def _model(self, session: str, state: State, is_whole: bool) -> LoadedModel:
        """The model that the state belongs to. What a damaged state says of its model is not believed."""
        loaded = self._registry.exactly(state.model)
        if loaded is not None and loaded.fingerprint == state.fingerprint:
            return loaded
        if not is_whole:
            raise _damaged()
        at = Standing(session, state.step, state.last)
        if loaded is None:
            raise ModelUnavailable(at, state.model, INSTALL)
        raise ModelMismatch(at, state.model, expected=state.fingerprint, found=loaded.fingerprint, cure=CURE)

    def _record(self, session: str, state: State, loaded: LoadedModel) -> Record:
        """An empty record with the settings of the state."""
        given = {name: getattr(state.session, name) for name in SessionSettings.model_fields if name != "model"}
        try:
            asked = SessionSettings.model_validate({**given, "model": loaded.spec.label})
            record, _ = self._creator.record(
                session, asked, incarnation=self._records.randomness(INCARNATION_BYTES), now_ms=0
            )
            require_long_life(record.head)
            record.head["expires_ms"] = record.head["ttl_ms"]  # as if committed at 0; the store knows the time
        except ValidationError as error:
            raise unsettled(parsing.faults(error, SessionSettings)[0]) from None
        except InvalidRequest as error:
            raise unsettled(error.errors[0]) from None
        return record


def _require_room(session: str, whole: Whole | None, if_match: tuple[str, ...] | None) -> None:
    """Raises SessionExists where a session would be overwritten without If-Match, PreconditionFailed by it."""
    if whole is not None and if_match is None:
        cure = "send If-Match with its ETag to put the state in its place"
        raise SessionExists(whole.place.standing(), ["state"], cure)
    if whole is not None:
        require_match(whole.place, if_match)
    elif if_match is not None:
        raise PreconditionFailed(Standing(session), None)


def _damaged() -> StateInvalid:
    return invalid("is not that of the document: it was changed or damaged since its export", "checksum")
