"""Advancing one session by any number of observations, with its whole record at hand.

What the waves hand on ends here: new sessions, long lists, replays, and those that lost a race.
"""

from collections.abc import Awaitable, Callable, Sequence
from math import nan

import numpy as np

from service.sessions import entries
from service.sessions.folding import Folding
from service.sessions.places import COUNTED
from service.sessions.rules import Place, Plan, Where, require_match
from service.sessions.waves import Entry
from service.sessions.whole import ATTEMPTS, Whole, WholeRecords
from service.sessions.work import Observe, Reply
from service.storage.answers import WARMED_UP, Answer, read_answers
from service.storage.layout import QUANTILES, AnswerKind, Structured
from service.storage.record import find_tokens
from service.storage.store import Outcome
from service.wire import render
from service.wire.parsing import Observation
from service.wire.problems import ServiceError, Standing
from service.wire.session_problems import (
    ConcurrentUpdate,
    IdempotencyKeyReused,
    PreconditionFailed,
    ResultNotFinite,
    SessionNotFound,
)

PLANNED_AT_ONCE = 200
"""Observations that the time rules take up before a wave may go on."""


class Advancing:
    """Observations into whole records.

    Args:
        between: waits for a moment at which a slice of work delays nobody.
    """

    def __init__(self, records: WholeRecords, folding: Folding, between: Callable[[], Awaitable[None]]) -> None:
        self._records = records
        self._folding = folding
        self._between = between

    async def work_off(self, entry: Entry[Observe, Reply]) -> None:
        """Answer one request that a wave handed on."""
        try:
            entry.settle(await self._observe(entry.work))
        except ServiceError as refused:
            entry.fail(refused)

    async def _observe(self, work: Observe) -> Reply:
        token = work.token or self._records.randomness(16)
        for _ in range(ATTEMPTS):
            whole, now_ms = await self._records.look(work.session)
            if whole is None:
                whole = self._created(work, now_ms)
            reply = self._known(whole, work) or await self._advanced(whole, work, token)
            if reply is not None:
                return reply
        raise ConcurrentUpdate("others changed the session at the same time; send the request again")

    def _created(self, work: Observe, now_ms: int) -> Whole:
        if work.creation is None:
            raise SessionNotFound(work.session)
        if work.if_match is not None:
            raise PreconditionFailed(Standing(work.session), None)
        return self._records.new(work.session, work.creation, now_ms)

    def _known(self, whole: Whole, work: Observe) -> Reply | None:
        """The first answer, where the request's key is among the last outcomes."""
        if work.token is None or not remembers(whole, work.token, work.digest):
            return None
        outcome = whole.record.outcome(work.token)
        if outcome is None:
            raise IdempotencyKeyReused(whole.place.standing())
        [answer] = read_answers(outcome.reshape(1))
        return _replay(whole.place, answer)

    async def _advanced(self, whole: Whole, work: Observe, token: bytes) -> Reply | None:
        """The answer; None = the session changed meanwhile."""
        place = whole.place
        plan, refused = Plan(place, whole.retained), None
        try:
            await self.plan(plan, work.observations, work.where)
        except ServiceError as error:
            refused = error
        if refused is None and not plan.values:
            return _replay(place, _first_answer(whole, plan, len(work.observations)))
        if whole.expected is not None:
            require_match(place, work.if_match, required=bool(whole.record.head["require_if_match"]))
        if refused is not None:
            raise refused
        status = 200 if whole.expected is not None else 201
        answer = await self.fold(whole, plan, token=token, digest=work.digest, status=status)
        if work.creation is not None and whole.expected is None:
            self._records.settle_expiry(whole, work.creation)
        outcome = await self._records.replace(whole, token, work.digest)
        if outcome is Outcome.APPLIED or (outcome is Outcome.REPLAYED and work.token is None):
            etag = render.etag(answer.incarnation, answer.revision)
            location = f"/v1/sessions/{work.session}" if status == 201 else None
            return Reply(status, render.advance(plan.label, answer), etag, location=location)
        return None

    async def plan(self, plan: Plan, observations: Sequence[Observation], where: Callable[[int], Where]) -> None:
        """Apply the time rules to all observations, in slices. Raises what `Plan.add` raises."""
        for index, observation in enumerate(observations):
            plan.add(observation, where(index))
            if index % PLANNED_AT_ONCE == PLANNED_AT_ONCE - 1:
                await self._between()

    async def fold(self, whole: Whole, plan: Plan, *, token: bytes, digest: bytes, status: int) -> Answer:
        """Fold a plan of at least one step into the record, in memory, and raise its revision.

        Raises:
            ResultNotFinite: the model's answer would not be.
        """
        record, loaded, head = whole.record, whole.loaded, whole.record.head
        base, steps = record.step, len(plan.values)
        values = np.array(plan.values)
        first = entries.issued(loaded, record.state[None])
        folded = await self._folding.fold(
            loaded,
            record.state.copy(),
            values,
            lambda start, stop: entries.calendar(plan.label.grid, plan.instants[start:stop]),
            keep=[step - base for step in record.snapshot_steps(base, base + steps)],
        )
        if not entries.is_finite(loaded, np.stack([folded.state, *folded.kept.values()])).all():
            raise ResultNotFinite(plan.place.standing())
        record.state[:] = folded.state
        for number, state in folded.kept.items():
            record.keep_snapshot(base + number, state)
        self._move(head, plan)
        record.bump(token, digest)
        slots = _slots(whole, plan, np.concatenate([first, folded.issued[:-1, loaded.stored]]))
        record.put_slots(slots)
        outcome = _outcome(whole, plan, slots[-1:], token=token, digest=digest, status=status)
        record.put_outcome(outcome[0])
        return read_answers(outcome)[0]

    def _move(self, head: Structured, plan: Plan) -> None:
        grid = plan.label.grid
        head["step"], head["last"] = plan.step, plan.last
        if plan.place.step == 0:
            head["anchor"] = plan.instants[0]
            head["freq"] = b"" if grid is None else grid.freq.encode()
            head["flags"] = COUNTED if grid is None else 0


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


def _replay(place: Place, answer: Answer) -> Reply:
    etag = render.etag(answer.incarnation, answer.revision)
    location = f"/v1/sessions/{place.label.session}" if answer.status == 201 else None
    return Reply(answer.status, render.advance(place.label, answer), etag, replayed=True, location=location)


def _first_answer(whole: Whole, plan: Plan, sent: int) -> Answer:
    """The answer that was given when the last of these observations was folded, from the numbers kept of it.

    What else of the request had been folded before is counted as replayed, as it was when the same request came first.
    """
    step = plan.again[-1]
    observed = whole.retained(step)
    assert observed is not None, "a plan takes for known only what is retained"
    replayed = max(sent - observed.applied, 0)
    for answer in whole.answers():
        if answer.revision == observed.revision and answer.observed.step == step:
            return answer._replace(replayed=replayed)
    place, loaded = whole.place, whole.loaded
    follows = whole.retained(step + 1) if step < place.step else None
    seen = float(loaded.model.seen(whole.record.state[None])[0]) - (place.step - step)
    return Answer(
        status=200,
        kind=AnswerKind.ADVANCE,
        token=b"",
        digest=b"",
        incarnation=place.incarnation,
        revision=observed.revision,
        step=step,
        applied=observed.applied,
        replayed=replayed,
        corrected=0,
        imputed=observed.imputed,
        forecast_time=entries.time_after(place.label.grid, observed.timestamp),
        forecast=_current_forecast(whole) if follows is None else follows.issued,
        flags=WARMED_UP if seen >= loaded.spec.warm_up else 0,
        observed=observed,
    )


def _current_forecast(whole: Whole) -> tuple[float, ...]:
    return tuple(current_forecast(whole)[0].tolist())


def current_forecast(whole: Whole) -> entries.Doubles:
    """(1, 5): the next step's quantiles that are kept, cut; NaN before a first value is known."""
    bounds = entries.Bounds.of(whole.record.head.reshape(1))
    return bounds.cut(entries.issued(whole.loaded, whole.record.state[None]))


def _slots(whole: Whole, plan: Plan, issued: entries.Doubles) -> Structured:
    """The slots of the last steps of a plan, as many as are retained and at least one.

    Args:
        issued: (T, 5) uncut, of all steps of the plan.
    """
    head, steps = whole.record.head, len(plan.values)
    kept = slice(max(steps - max(whole.record.history, 1), 0), steps)
    known = np.cumsum(~np.isnan(plan.values)) > 0
    started = np.concatenate([[False], known[:-1]]) | ~np.isnan(issued[0, QUANTILES.index(0.5)])
    cut = entries.Bounds.of(head.reshape(1)).cut(np.where(started[:, None], issued, nan))
    slots = entries.slots(
        whole.loaded.layout,
        steps=plan.place.step + 1 + np.arange(steps)[kept],
        instants=plan.instants[kept],
        values=plan.values[kept],
        imputed=plan.imputed[kept],
        issued=cut[kept],
    )
    slots["imputed"] = np.cumsum(plan.imputed)[kept]
    slots["applied"] = np.cumsum(~np.array(plan.imputed))[kept]
    slots["revision"] = head["revision"]
    return slots


def _outcome(
    whole: Whole, plan: Plan, observed: Structured, *, token: bytes, digest: bytes, status: int
) -> Structured:
    record, loaded = whole.record, whole.loaded
    return entries.outcomes(
        loaded.layout,
        record.head.reshape(1),
        observed,
        status=status,
        tokens=np.frombuffer(token, np.uint8)[None],
        digests=np.frombuffer(digest, np.uint8)[None],
        replayed=[len(plan.again)],
        times=[entries.time_after(plan.label.grid, plan.last)],
        forecasts=current_forecast(whole),
        warmed_up=entries.is_warmed_up(loaded, record.state[None]),
    )
