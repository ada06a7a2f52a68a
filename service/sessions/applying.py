"""Applying a plan to a whole record in memory: corrected observations folded again, new ones after them.

The issued forecasts stay as they were given; what a correction changes of them stands beside them.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.sessions import entries
from service.sessions.folding import Folded, Folding
from service.sessions.registry import LoadedModel
from service.sessions.rules import Plan
from service.sessions.whole import Whole
from service.storage.answers import HAS_ORIGINAL, HAS_REVISED, IMPUTED, Answer, read_answers
from service.storage.layout import AnswerKind, Bytes, HeadFlag, Structured, mark
from service.wire.problems import pointer
from service.wire.session_problems import ResultNotFinite


class Applied(NamedTuple):
    """What a plan was made to.

    Args:
        alarms: (N + 1, 2) `Model.alarms` before the first of N new steps, corrections folded, and after each.
    """

    answer: Answer
    alarms: entries.Doubles


class Applying:
    """Plans into whole records."""

    def __init__(self, folding: Folding) -> None:
        self._folding = folding

    async def apply(self, whole: Whole, plan: Plan, *, token: bytes, digest: bytes, status: int) -> Applied:
        """Fold a plan of at least one step or correction into the record, in memory, and raise its revision.

        Raises:
            ResultNotFinite: the model's answer would not be.
        """
        record, loaded, head = whole.record, whole.loaded, whole.record.head
        first = min(plan.corrections, default=record.step + 1)
        whole.will_change(first)
        start, state = whole.state_before(first)
        again = whole.slots_from(start + 1)
        corrected = _correct(again, plan)
        values = np.concatenate([again["value"], plan.values])
        instants = [*again["timestamp"].tolist(), *plan.instants]
        numbers = np.concatenate([again["covariates"], _numbers(plan, loaded)])

        def context(begin: int, end: int) -> NDArray[np.float32]:
            return entries.context(loaded, plan.label.grid, instants[begin:end], numbers[begin:end])

        keep = [step - start for step in record.snapshot_steps(start, plan.step)]
        folded = await self._folding.fold(loaded, state, values, context, keep)
        if not loaded.model.finite(np.stack([folded.state, *folded.kept.values()])).all():
            bad = start + await self._folding.first_not_finite(loaded, state, values, context)
            raise ResultNotFinite.after(plan.place.standing(), pointer(*plan.source(bad)))
        alarms = np.concatenate([loaded.model.alarms(state[None]), folded.alarms])[plan.place.step - start :]
        record.state[:] = folded.state
        for number, kept in folded.kept.items():
            record.keep_snapshot(start + number, kept)
        _move(head, plan)
        record.bump(token, digest)
        issued = entries.Bounds.of(head.reshape(1)).cut(_issued(loaded, state, values, folded))
        _revise(again, issued[: len(again)], first)
        again["revision"][corrected] = head["revision"]
        again["applied"][corrected] = again["imputed"][corrected] = 0
        added = _added(whole, plan, issued[len(again) :])
        whole.put_slots(np.concatenate([again[again["step"] >= first], added]))
        observed = added[-1:] if len(added) else again[corrected][-1:]
        outcome = _outcome(whole, plan, observed, token=token, digest=digest, status=status)
        record.put_outcome(outcome[0])
        return Applied(read_answers(outcome)[0], alarms)

    async def rewind(self, whole: Whole, step: int) -> None:
        """Go back, in memory, to an earlier step that is retained and has a kept state at it or before it."""
        start, state = whole.state_before(step + 1)
        again = whole.slots_from(start + 1)[: step - start]
        instants = again["timestamp"].tolist()
        context = entries.context(whole.loaded, whole.place.label.grid, instants, again["covariates"])
        folded = await self._folding.fold(
            whole.loaded, state, again["value"].copy(), lambda begin, end: context[begin:end]
        )
        whole.rewind(step, folded.state)


def current_forecast(whole: Whole) -> entries.Doubles:
    """(1, 5): the next step's quantiles that are kept, cut; NaN before a first value is known."""
    bounds = entries.Bounds.of(whole.record.head.reshape(1))
    return bounds.cut(entries.issued(whole.loaded, whole.record.state[None]))


def _numbers(plan: Plan, loaded: LoadedModel) -> entries.Doubles:
    """(T, C) covariates of the steps to fold."""
    return np.array(plan.covariates, np.float64).reshape(len(plan.values), loaded.encoding.numbers)


def _correct(slots: Structured, plan: Plan) -> NDArray[np.bool_]:
    """Put the corrected values and covariates into slots, in place; (N,) which ones they are."""
    corrections: Mapping[int, float] = plan.corrections
    corrected: NDArray[np.bool_] = np.isin(slots["step"], list(corrections))
    before = slots["value"][corrected]
    unmarked = slots["flags"][corrected] & HAS_ORIGINAL == 0
    slots["original"][corrected] = np.where(unmarked, before, slots["original"][corrected])
    slots["flags"][corrected] = slots["flags"][corrected] & ~np.uint32(IMPUTED) | HAS_ORIGINAL
    slots["value"][corrected] = [corrections[step] for step in slots["step"][corrected].tolist()]
    for row in np.flatnonzero(corrected).tolist():
        for place, number in plan.beside.get(int(slots["step"][row]), {}).items():
            slots["covariates"][row, place] = number
    return corrected


def _issued(loaded: LoadedModel, state: Bytes, values: entries.Doubles, folded: Folded) -> entries.Doubles:
    """(T, 5): the forecasts issued for the steps of the values, uncut; NaN before a first value was known."""
    first = entries.issued(loaded, state[None])
    known = (loaded.model.seen(state[None])[0] > 0) | (np.cumsum(~np.isnan(values)) > 0)
    later = np.where(known[:-1, None], folded.issued[:-1, loaded.stored], np.nan)
    return np.concatenate([first, later])


def _revise(slots: Structured, issued: entries.Doubles, first: int) -> None:
    """Put beside what had been issued what would have been, for the steps after the first corrected one."""
    later = slots["step"] > first
    slots["revised"][later] = issued[later]
    slots["flags"][later] |= HAS_REVISED


def _move(head: Structured, plan: Plan) -> None:
    grid = plan.label.grid
    head["step"], head["last"] = plan.step, plan.last
    if plan.place.step == 0:
        head["anchor"] = plan.instants[0]
        head["freq"] = b"" if grid is None else grid.freq.encode()
        if grid is None:
            mark(head, HeadFlag.COUNTED)


def _added(whole: Whole, plan: Plan, issued: entries.Doubles) -> Structured:
    """The slots of the last new steps of a plan, as many as are retained and at least one if there are any.

    Args:
        issued: (T, 5) as answered, of all new steps.
    """
    head, steps = whole.record.head, len(plan.values)
    kept = slice(0 if whole.full else max(steps - max(whole.record.history, 1), 0), steps)
    imputed = np.array(plan.imputed, bool)
    slots = entries.slots(
        whole.loaded.layout,
        steps=plan.place.step + 1 + np.arange(steps)[kept],
        instants=plan.instants[kept],
        values=plan.values[kept],
        imputed=plan.imputed[kept],
        issued=issued[kept],
        covariates=_numbers(plan, whole.loaded)[kept],
    )
    slots["imputed"] = np.cumsum(imputed)[kept]
    slots["applied"] = np.cumsum(~imputed)[kept]
    slots["revision"] = head["revision"]
    return slots


def _outcome(
    whole: Whole, plan: Plan, observed: Structured, *, token: bytes, digest: bytes, status: int
) -> Structured:
    record, loaded = whole.record, whole.loaded
    outcome = entries.outcomes(
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
    outcome["corrected"] = plan.corrected
    if not plan.values:
        outcome["kind"] = AnswerKind.CORRECTION
    return outcome
