"""Changes to what a session has observed: one observation corrected, or the last ones taken back."""

from collections.abc import Awaitable, Callable
from math import nan
from typing import TypeVar

import numpy as np
from msgspec.structs import replace

from models.dates.grid import TimestampError
from service.sessions import drift, entries
from service.sessions.advancing import answer_again, committed, known, replay
from service.sessions.applying import Applying, current_forecast
from service.sessions.covariates import given_of
from service.sessions.demands import require_match
from service.sessions.records import TOKEN_BYTES, WholeRecords
from service.sessions.rules import Place, Plan, off_grid
from service.sessions.whole import Whole
from service.sessions.work import Correct, Reply, Rewind, Write
from service.storage.answers import Answer, read_answers
from service.storage.layout import AnswerKind
from service.wire.problems import Fault, InvalidRequest, ServiceError
from service.wire.session_problems import NotRetained, ObservationNotFound, SessionNotFound

WriteT = TypeVar("WriteT", bound=Write)


class Altering:
    """Corrects and rewinds sessions."""

    def __init__(self, records: WholeRecords, applying: Applying) -> None:
        self._records = records
        self._applying = applying

    async def correct(self, work: Correct) -> Reply:
        """Give one observation another value and fold again what follows it.

        A correction to the value that is stored already changes nothing and is answered like a repeated one.

        Raises:
            ObservationNotFound, NotRetained: there is no such observation, or it is too old. And what `apply` raises.
        """
        return await self._changed(work, self._corrected)

    async def rewind(self, work: Rewind) -> Reply:
        """Forget the observations after the last one to keep. Where there are none, nothing changes.

        Raises:
            ObservationNotFound, NotRetained: there is no such observation, or no kept state reaches back to it.
        """
        return await self._changed(work, self._rewound)

    async def _changed(
        self, work: WriteT, change: Callable[[Whole, WriteT, bytes], Awaitable[Reply | None]]
    ) -> Reply:
        token = work.token or self._records.randomness(TOKEN_BYTES)

        async def changed(whole: Whole | None, _: int) -> Reply | None:
            if whole is None:
                raise SessionNotFound(work.session)
            reply = known(whole, work) or await change(whole, work, token)
            confirmed = reply is None or not reply.replayed or await self._records.confirm(whole)
            return reply if confirmed else None

        return await self._records.work(work.session, changed)

    async def _corrected(self, whole: Whole, work: Correct, token: bytes) -> Reply | None:
        try:
            plan = _correction(whole, work)
        except ServiceError:
            require_match(whole.place, work.if_match)  # what a stale ETag asks for is not judged
            raise
        if not plan.changes:
            return replay(whole.place, _unchanged(whole, plan.again[-1], AnswerKind.CORRECTION))
        require_match(whole.place, work.if_match)
        before = drift.stood(whole)
        answer, alarms = await self._applying.apply(whole, plan, token=token, digest=work.digest, status=200)
        turns = drift.along(before, alarms, plan.step)
        return await committed(self._records, whole, plan.label, answer, work, token, turns)

    async def _rewound(self, whole: Whole, work: Rewind, token: bytes) -> Reply | None:
        place = whole.place
        try:
            step = _last_kept(whole, work)
        except ServiceError:
            require_match(whole.place, work.if_match)
            raise
        if step == place.step:
            return replay(place, _unchanged(whole, step, AnswerKind.REWIND))
        require_match(whole.place, work.if_match)
        before = drift.stood(whole)
        await self._applying.rewind(whole, step)
        whole.record.bump(token, work.digest)
        answer = _put_rewound(whole, token, work.digest)
        turns = drift.between(before, whole)
        return await committed(self._records, whole, place.label, answer, work, token, turns)


def _correction(whole: Whole, work: Correct) -> Plan:
    """What to fold again. Raises what `_step` raises, and NotRetained."""
    place, asked = whole.place, work.correction
    step = _step(place, work.key, Fault("", parameter="key"))
    try:
        given = given_of(place.label.model, place.taken, asked.covariates, asked.future)
    except InvalidRequest as refused:
        raise InvalidRequest(refused.errors, at=place.standing()) from None
    if "value" in asked.model_fields_set:
        value = nan if asked.value is None else asked.value
    else:
        stored = whole.retained(step)
        value = nan if stored is None else stored.value
    plan = Plan(place, whole.retained, correctable_from=whole.correctable_from())
    plan.correct(step, value, Fault("is too old to be corrected", parameter="key"), given)
    return plan


def _last_kept(whole: Whole, work: Rewind) -> int:
    """The step to go back to. Raises what `_step` raises, and NotRetained."""
    place, asked = whole.place, work.last
    member = Fault("", pointer="/step" if asked.timestamp is None else "/timestamp")
    step = _step(place, str(asked.step) if asked.timestamp is None else asked.timestamp, member)
    oldest = max(whole.correctable_from() - 1, whole.retained_from)
    if step < oldest and not (step == place.step and whole.retained(step)):
        raise NotRetained(place.standing(), place.key(oldest), [member._replace(detail="is too old to go back to")])
    return step


def _step(place: Place, key: str, where: Fault) -> int:
    """The step that a timestamp, or digits, name.

    Args:
        where: names the part of the request that the key stands in.
    Raises:
        InvalidRequest, OffGrid: it cannot be one of the session's.
        ObservationNotFound: it is one of the session's that it never had.
    """
    grid, at = place.label.grid, place.standing()
    if key.isascii() and key.isdigit():
        step = int(key[:20])
    elif place.step == 0:
        raise ObservationNotFound(f"session {at.session} has no observations yet", at=at)
    elif grid is None:
        raise InvalidRequest([where._replace(detail="this session counts steps: name the observation by its step")], at)
    else:
        try:
            instant = grid.parse(key)
            if not grid.is_on(instant):
                raise off_grid(at, grid, instant, where)
            step = place.step + grid.steps_between(place.last, instant)
        except TimestampError as error:
            raise InvalidRequest([where._replace(detail=str(error))], at) from None
    if where.pointer is not None and step < 1:
        detail = f"is before the first observation; POST /v1/sessions/{at.session}:reset forgets them all"
        raise InvalidRequest([where._replace(detail=detail)], at)
    if not 1 <= step <= place.step:
        last = at.last if at.last is not None else f"step {at.step}"
        raise ObservationNotFound(f"session {at.session} holds no such observation; its last is {last}", at=at)
    return step


def _unchanged(whole: Whole, step: int, kind: AnswerKind) -> Answer:
    """The answer where there is nothing to change: the first one if it was such a change that made it so."""
    observed = whole.retained(step)
    assert observed is not None, "nothing is done about what is not retained"
    revision = observed.revision if kind is AnswerKind.CORRECTION else whole.place.revision
    for answer in whole.answers():
        if (answer.kind, answer.revision, answer.observed.step) == (kind, revision, step):
            return answer
    last = whole.retained(whole.place.step)
    assert last is not None, "what is retained includes the last observation"
    replayed = int(kind is AnswerKind.CORRECTION)
    return replace(answer_again(whole, last), observed=observed, imputed=0, replayed=replayed)


def _put_rewound(whole: Whole, token: bytes, digest: bytes) -> Answer:
    record, loaded, place = whole.record, whole.loaded, whole.place
    outcome = entries.outcomes(
        loaded.layout,
        record.head.reshape(1),
        whole.slots_from(place.step),
        status=200,
        tokens=np.frombuffer(token, np.uint8)[None],
        digests=np.frombuffer(digest, np.uint8)[None],
        replayed=[0],
        times=[entries.time_after(place.label.grid, place.last)],
        forecasts=current_forecast(whole),
        warmed_up=entries.is_warmed_up(loaded, record.state[None]),
    )
    outcome["applied"] = outcome["imputed"] = 0
    outcome["kind"] = AnswerKind.REWIND
    record.put_outcome(outcome[0])
    return read_answers(outcome)[0]
