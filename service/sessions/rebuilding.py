"""A record made anew around the same observations: with another length of history, or folded by another model."""

from dataclasses import replace

from service.sessions import entries
from service.sessions.covariates import tell
from service.sessions.folding import Folding
from service.sessions.registry import LoadedModel
from service.sessions.whole import Whole
from service.storage.layout import Bytes, HeadFlag, Structured, mark
from service.storage.record import Record
from service.wire.problems import Fault, pointer
from service.wire.session_problems import NotRetained, ResultNotFinite

KEPT = (
    *("incarnation", "revision", "step", "last", "anchor", "created_ms", "created_digest", "freq", "timezone", "gaps"),
    *("require_if_match", "max_gap", "ttl_ms", "minimum", "maximum", "flags", "updated_ms", "expires_ms"),
)


class Rebuilding:
    """Makes records anew, in memory."""

    def __init__(self, folding: Folding) -> None:
        self._folding = folding

    async def resize(self, whole: Whole, *, ring: int, full: bool) -> Whole:
        """The same session with another history: the newest observations of it, as many as can be folded again.

        Args:
            ring: slots of the record; all that it retains, unless it keeps its history in full.
        """
        step = whole.record.step
        wanted = 0 if full else step - ring
        oldest = whole.correctable_from() - 1
        start, state = whole.state_before(max(wanted, oldest) + 1)
        begin = start if full else max(start, wanted)
        made = await self._folded(whole, whole.loaded, start, state, begin=begin, ring=ring, full=full)
        made.record.state[:] = whole.record.state
        made.record.outcomes[:] = whole.record.outcomes
        made.record.head["tokens"] = whole.record.head["tokens"]
        return made

    async def remodel(self, whole: Whole, loaded: LoadedModel, *, ring: int, full: bool) -> Whole:
        """The same session folded by another model: everything that is retained, from that model's initial state.

        The window of outcomes begins anew: what was answered bears the name of the model before.

        Raises:
            NotRetained: there have been observations, and none is: the model would know nothing of them.
            ResultNotFinite: the model's answer would not be.
        """
        if whole.retained_from > whole.record.step > 0:
            raise _nothing_to_fold(whole, loaded)
        start = whole.retained_from - 1
        state = loaded.initial_state(whole.record.tail.get("static", {}))
        begin = start if full else max(start, whole.record.step - ring)
        made = await self._folded(whole, loaded, start, state, begin=begin, ring=ring, full=full)
        if not loaded.model.finite(made.record.state[None])[0]:
            raise ResultNotFinite(whole.place.standing(), "what is retained by this model")
        mark(made.record.head, HeadFlag.SHORT_REBUILD, on=start > 0)
        return made

    async def _folded(
        self, whole: Whole, loaded: LoadedModel, start: int, state: Bytes, *, begin: int, ring: int, full: bool
    ) -> Whole:
        """A record of the observations after step `begin`, whose state is that of `state`, after `start`, folded on."""
        before, step = whole.encoding, whole.record.step
        slots = entries.converted(whole.slots_from(start + 1), before, loaded)
        record = _empty(whole, loaded, ring, full, state)
        instants = slots["timestamp"].tolist()
        keep = {at - start for at in (begin, *record.snapshot_steps(begin, step)) if at > start}
        folded = await self._folding.fold(
            loaded,
            state,
            slots["value"].copy(),
            lambda first, last: entries.context(
                loaded, whole.place.label.grid, instants[first:last], slots["covariates"][first:last]
            ),
            keep=sorted(keep),
        )
        record.state[:] = folded.state
        is_same = before is not None and entries.places(before) == entries.places(loaded.encoding)
        base = state if begin == start else folded.kept[begin - start]
        record.begin_at(begin, base)
        for number, kept in folded.kept.items():
            if start + number > begin:
                record.keep_snapshot(start + number, kept)
        retained: Structured = slots[begin - start :]
        record.put_slots(retained)
        return replace(
            whole,
            record=record,
            loaded=loaded,
            slots=retained,
            base=base,
            stored=whole.stored if is_same and full and whole.was_full and begin == whole.retained_from - 1 else 0,
        )


def _nothing_to_fold(whole: Whole, loaded: LoadedModel) -> NotRetained:
    session = whole.session
    cure = (
        f"from none of its {whole.record.step} observations can {loaded.spec.label} be folded. Stay with the model, "
        f"POST /v1/sessions/{session}:reset first and then PATCH, or DELETE the session and PUT it with its history"
    )
    fault = Fault("cannot change: nothing is retained for it to fold", pointer("model"))
    return NotRetained(whole.place.standing(), None, [fault], cure)


def _empty(whole: Whole, loaded: LoadedModel, ring: int, full: bool, state: Bytes) -> Record:
    """A record with the session's settings and none of its observations."""
    old = whole.record
    record = Record.new(
        loaded.layout,
        model=loaded.spec.label,
        fingerprint=loaded.spec.fingerprint,
        incarnation=old.head["incarnation"].tobytes(),
        history=ring,
        state=state,
    )
    for name in KEPT:
        record.head[name] = old.head[name]
    mark(record.head, HeadFlag.FULL, on=full)
    record.tail = dict(old.tail)
    tell(record, loaded.encoding)
    return record
