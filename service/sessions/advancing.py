"""Advancing one session by any number of observations, with its whole record at hand.

What the waves hand on ends here: new sessions, long lists, replays, and those that lost a race.
"""

from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from msgspec.structs import replace

from service.live.events import Answered, Event, Happened
from service.sessions import drift, entries
from service.sessions.applying import Applying, current_forecast
from service.sessions.demands import require_match, require_model, require_no_regress, require_settings
from service.sessions.emptying import emptied
from service.sessions.records import INCARNATION_BYTES, TOKEN_BYTES, WholeRecords
from service.sessions.rules import Place, Plan, Where
from service.sessions.whole import Whole
from service.sessions.work import Observe, Reply, Write
from service.storage.answers import HAS_ORIGINAL, HAS_REVISED, WARMED_UP, Answer, Label, Observed, read_answers
from service.storage.layout import AnswerKind
from service.storage.record import find_tokens
from service.storage.store import Outcome
from service.wire import render
from service.wire.parsing import Observation
from service.wire.problems import ServiceError, Standing
from service.wire.session_problems import (
    IdempotencyKeyReused,
    PreconditionFailed,
    SessionNotFound,
)

PLANNED_AT_ONCE = 200
"""Observations that the time rules take up before a wave may go on."""


class Advancing:
    """Observations into whole records.

    Args:
        between: waits for a moment at which a slice of work delays nobody.
    """

    def __init__(self, records: WholeRecords, applying: Applying, between: Callable[[], Awaitable[None]]) -> None:
        self._records = records
        self._applying = applying
        self._between = between

    async def observe(self, work: Observe) -> Reply:
        """The answer to one request. Raises any ServiceError that the time rules and the store give cause for."""
        token = work.token or self._records.randomness(TOKEN_BYTES)
        seen = work.seen

        async def change(whole: Whole | None, now_ms: int) -> Reply | None:
            nonlocal seen
            if whole is None:
                whole = self._created(work, now_ms)
            reply = known(whole, work)
            if reply is None:
                start = self._begun_anew(whole, work) if work.anew and whole.expected is not None else whole
                reply = await self._advanced(start, replace(work, seen=seen), token, drift.stood(whole))
            if reply is not None and (not reply.replayed or await self._records.confirm(whole)):
                return reply
            seen = whole.expected
            return None

        return await self._records.work(work.session, change, stored=work.stored)

    def _created(self, work: Observe, now_ms: int) -> Whole:
        if work.creation is None:
            raise SessionNotFound(work.session)
        if work.if_match is not None:
            raise PreconditionFailed(Standing(work.session), None)
        return self._records.new(work.session, work.creation, now_ms)

    def _begun_anew(self, whole: Whole, work: Observe) -> Whole:
        require_settings(whole.place, work.creation)
        require_match(whole.place, work.if_match)
        return emptied(whole, self._records.randomness(INCARNATION_BYTES))

    async def _advanced(self, whole: Whole, work: Observe, token: bytes, before: drift.Stood) -> Reply | None:
        """The answer; None = the session changed meanwhile.

        Args:
            before: what is stored.
        """
        plan = begun(whole, work)
        refused = None
        try:
            await self.plan(plan, work.observations, work.where, work.following)
        except ServiceError as error:
            refused = error
        reply = settled(whole, work, plan, refused)
        if reply is not None:
            return reply
        status = 200 if whole.expected is not None else 201
        answer, alarms = await self._applying.apply(whole, plan, token=token, digest=work.digest, status=status)
        if work.creation is not None and whole.expected is None:
            self._records.settle_expiry(whole, work.creation)
        turns = drift.along(before, alarms, plan.step)
        return await committed(self._records, whole, plan.label, answer, work, token, turns)

    async def plan(
        self,
        plan: Plan,
        observations: Sequence[Observation],
        where: Callable[[int], Where],
        following: Sequence[Observation] = (),
    ) -> None:
        """Apply the time rules to all observations, in slices. Raises what `Plan.add` raises."""
        for index, observation in enumerate(observations):
            plan.add(observation, where(index))
            if index % PLANNED_AT_ONCE == PLANNED_AT_ONCE - 1:
                await self._between()
        plan.foresee(following)


def begun(whole: Whole, work: Observe) -> Plan:
    """A plan to add the observations of a request to.

    Raises:
        SessionExists: it would have created another session.
        InvalidRequest: it is for sessions of another model.
    """
    place = whole.place
    if whole.expected is not None:
        require_settings(place, work.creation)
        require_model(place, work.model)
    return Plan(place, whole.retained, correcting=work.correcting, correctable_from=whole.correctable_from())


def settled(whole: Whole, work: Observe, plan: Plan, refused: ServiceError | None) -> Reply | None:
    """The answer to a request of which everything was folded before; None = something is to be folded.

    Args:
        refused: why the time rules refuse the request.
    Raises:
        ServiceError: that, or that the session does not stand where it must.
    """
    place = plan.place
    if refused is None and not plan.changes:
        return replay(place, _first_answer(whole, plan, len(work.observations)))
    if whole.expected is not None and not work.anew:
        require_match(place, work.if_match)
        if work.is_placed:  # what names its place is never folded after a tail that was lost
            require_no_regress(place, whole.expected, work.seen)
    if refused is not None:
        raise refused
    return None


async def committed(
    records: WholeRecords,
    whole: Whole,
    label: Label,
    answer: Answer,
    work: Write,
    token: bytes,
    turns: Sequence[drift.Turn],
) -> Reply | None:
    """The answer to a change that was made in memory, once it is stored; None = the session changed meanwhile.

    Args:
        turns: of its drift.
    """
    head = whole.record.head
    events: list[Event] = [Answered.of(label, answer)]
    events += [drift.event(label, head, render.head_etag(head), turn) for turn in turns]
    if isinstance(work, Observe) and work.anew and whole.expected is not None:
        events.insert(0, Happened(work.session, "reset", 0, None))
    outcome = await records.replace(whole, token, work.digest, *events, recognised=work.is_recognised)
    if outcome is Outcome.APPLIED or (outcome is Outcome.REPLAYED and work.token is None):
        return Reply.of(label, answer)
    if outcome is Outcome.REPLAYED:
        stored, _ = await records.look(work.session, stored=True)
        return None if stored is None else known(stored, work)
    return None


def known(whole: Whole, work: Write) -> Reply | None:
    """The first answer, where the request's key is among the last outcomes.

    Raises:
        IdempotencyKeyReused: the key belongs to another request.
    """
    if work.token is None or not remembers(whole, work.token, work.digest):
        return None
    outcome = whole.record.outcome(work.token)
    if outcome is None:
        raise IdempotencyKeyReused(whole.place.standing())
    [answer] = read_answers(outcome.reshape(1))
    return replay(whole.place, answer)


def remembers(whole: Whole, token: bytes, digest: bytes) -> bool:
    """Whether this request is among the last ones committed.

    Raises:
        IdempotencyKeyReused: its key is, with another payload.
    """
    head = whole.record.head
    [index] = find_tokens(head.reshape(1), np.frombuffer(token, np.uint8)[None]).tolist()
    if index >= 0 and head["tokens"][index]["digest"].tobytes() != digest:
        raise IdempotencyKeyReused(whole.place.standing())
    return bool(index >= 0)


def replay(place: Place, answer: Answer) -> Reply:
    """An answer that was given before."""
    return Reply.of(place.label, answer, replayed=True)


def _first_answer(whole: Whole, plan: Plan, sent: int) -> Answer:
    """The answer to the last commit that wrote any of these observations, from the numbers kept of it.

    What else of the request had been folded before is counted as replayed, as it was when the same request came first.
    """
    found = [observed for observed in map(whole.retained, plan.again) if observed is not None]
    observed = max(found, key=lambda observed: (observed.revision, observed.step))
    for answer in whole.answers():
        if answer.revision == observed.revision and answer.observed.step == observed.step:
            return replace(answer, replayed=max(sent - answer.applied - answer.corrected, 0))
    corrected = int(observed.flags & HAS_ORIGINAL != 0)
    return replace(
        answer_again(whole, replace(observed, flags=observed.flags & ~HAS_REVISED)),
        revision=observed.revision,
        applied=observed.applied,
        corrected=corrected,
        replayed=max(sent - observed.applied - corrected, 0),
    )


def answer_again(whole: Whole, observed: Observed) -> Answer:
    """What would be answered to this observation if it had been the last, where the answer itself is not kept any more.

    Its forecast is the one that had been issued, also where a correction revised it since.
    """
    place, loaded, step = whole.place, whole.loaded, observed.step
    follows = whole.retained(step + 1) if step < place.step else None
    seen = float(loaded.model.seen(whole.record.state[None])[0]) - (place.step - step)
    return Answer(
        status=200,
        kind=AnswerKind.ADVANCE,
        token=b"",
        digest=b"",
        incarnation=place.incarnation,
        revision=place.revision,
        step=step,
        applied=0,
        replayed=0,
        corrected=0,
        imputed=observed.imputed,
        forecast_time=entries.time_after(place.label.grid, observed.timestamp),
        forecast=tuple(current_forecast(whole)[0].tolist()) if follows is None else follows.issued,
        flags=WARMED_UP if seen >= loaded.spec.warm_up else 0,
        observed=observed,
    )
