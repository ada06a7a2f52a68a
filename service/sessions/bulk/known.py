"""Rows of a batch that their sessions know: answered from whole records, many of them read in one round trip.

A row whose key, or whose time and value, a record holds is answered by the numbers that are kept of its first answer.
What the rules refuse is refused here, too. Whatever must be folded is left to the others.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from service.sessions import entries
from service.sessions.advancing import begun, known, settled
from service.sessions.applying import current_forecast
from service.sessions.bulk.lines import Integers, Keys, Lines, digests
from service.sessions.bulk.times import Times, steps_between
from service.sessions.demands import differing
from service.sessions.records import parsed
from service.sessions.registry import Registry
from service.sessions.whole import NeedsOlder, Whole
from service.sessions.work import Observe, Reply
from service.storage.answers import HAS_ORIGINAL, HAS_REVISED, IMPUTED, WARMED_UP, Label
from service.storage.layout import NO_TIME, AnswerKind, Structured
from service.wire.problems import ServiceError

ROWS_AT_ONCE = 256
"""Rows of one session that are compared with one record."""


@dataclass(slots=True)
class Recalled:
    """What is known of the next rows of a line.

    Attributes:
        position: at which the record was read.
        rows, answers: (n,) of rows that repeat what is known, and what was answered to them.
        singly: what became of other rows: the reply that was given before, or why it is refused.
        count: rows that this settles.
    """

    label: Label
    position: bytes
    rows: list[Integers] = field(default_factory=list)
    answers: list[Structured] = field(default_factory=list)
    singly: list[tuple[int, Reply | ServiceError]] = field(default_factory=list)
    count: int = 0

    @property
    def is_replay(self) -> bool:
        """Whether any row repeats what is known."""
        return bool(self.rows) or any(isinstance(told, Reply) for _, told in self.singly)


class Recalling:
    """Compares the rows of a batch with whole records."""

    def __init__(self, lines: Lines, keys: Keys, times: Times) -> None:
        self._rows = lines.rows
        self._lines = lines
        self._keys = keys
        self._times = times

    def recall(self, whole: Whole, line: int) -> Recalled:
        """The next rows of a line, as far as none of them must be folded; they are settled then."""
        lines, place = self._lines, whole.place
        found = Recalled(place.label, whole.record.position)
        first = int(lines.at[line])
        end = min(int(lines.end[line]), first + ROWS_AT_ONCE)
        is_other = bool(differing(place.label, lines.asked.creation, undecided=place.undecided))
        while (at := int(lines.at[line])) < end:
            rows, answers = self._repeated(whole, found.label, lines.order[at:end], is_other=is_other)
            if len(rows):
                found.rows.append(rows)
                found.answers.append(answers)
                lines.settled(line, len(rows))
                continue
            told = self._told(whole, lines.work(line))
            if told is None:
                break
            found.singly.append((lines.next_row(line), told))
            lines.settled(line, 1)
        found.count = at - first
        return found

    def _told(self, whole: Whole, work: Observe) -> Reply | ServiceError | None:
        """What can be said of one row; None = it must be folded, or more of the history is needed."""
        try:
            if (reply := known(whole, work)) is not None:
                return reply
            plan, refused = begun(whole, work), None
            try:
                plan.add(work.observations[0], ())
            except ServiceError as error:
                refused = error
            return settled(whole, work, plan, refused)
        except ServiceError as error:
            return error
        except NeedsOlder:
            return None

    def _repeated(
        self, whole: Whole, label: Label, numbers: Integers, *, is_other: bool
    ) -> tuple[Integers, Structured]:
        """The first of these rows that repeat what is known, and the answers to them.

        Args:
            is_other: the session has other settings than the rows would have created it with.
        """
        by_key, places = self._by_key(whole, numbers)
        by_time, steps = self._by_time(whole, label, numbers)
        again = by_key | (by_time & (not is_other))
        count = len(again) if again.all() else int(np.argmin(again))
        answers: Structured = np.zeros(count, whole.record.layout.outcome)
        if count:
            timed = ~by_key[:count]
            answers[~timed] = whole.record.outcomes[places[:count][~timed]]
            answers[timed] = _answers(whole, label, steps[:count][timed])
        return numbers[:count], answers

    def _by_key(self, whole: Whole, numbers: Integers) -> tuple[NDArray[np.bool_], Integers]:
        """(n,) whether a row's key and payload are those of an outcome in the window, and which one's."""
        again, places = np.zeros(len(numbers), bool), np.zeros(len(numbers), np.int64)
        keyed = np.flatnonzero(self._keys.sent[numbers])
        if len(keyed):
            window, outcomes = whole.record.head["tokens"], whole.record.outcomes
            sent = numbers[keyed]
            payloads = digests(self._rows, sent.tolist(), self._keys.sent, correcting=self._lines.asked.correcting)
            same = (window["token"] == self._keys.tokens[sent][:, None, :]).all(axis=2)
            same &= (window["digest"] == payloads[:, None, :]).all(axis=2)
            same &= (window["token"] == outcomes["token"]).all(axis=1)
            same &= (outcomes["kind"] == AnswerKind.ADVANCE) & (outcomes["observed"]["flags"] == 0)
            again[keyed], places[keyed] = same.any(axis=1), same.argmax(axis=1)
        return again, places

    def _by_time(self, whole: Whole, label: Label, numbers: Integers) -> tuple[NDArray[np.bool_], Integers]:
        """(n,) whether the observation of a row's time or step is retained and the same, and its step."""
        steps = self._steps(whole, label, numbers)
        if not len(whole.slots):
            return np.zeros(len(numbers), bool), steps
        inside = (steps >= whole.at_hand) & (steps <= whole.record.step)
        slots = whole.slots[np.where(inside, steps - whole.at_hand, 0)]
        values = self._rows.values[numbers]
        same = (slots["value"] == values) | (np.isnan(slots["value"]) & np.isnan(values))
        same &= inside & (slots["flags"] & (IMPUTED | HAS_ORIGINAL) == 0) & ~self._lines.special[numbers]
        if self._keys.sent[numbers].any():  # a key that is known decides, whatever else the row is
            window = whole.record.head["tokens"]["token"]
            same &= ~(window == self._keys.tokens[numbers][:, None, :]).all(axis=2).any(axis=1)
        return same, steps

    def _steps(self, whole: Whole, label: Label, numbers: Integers) -> Integers:
        """(n,) the step that each row names; 0 where that cannot be told."""
        times, sent, grid = self._rows.times[numbers], self._rows.steps[numbers], label.grid
        if grid is None:
            return np.where(times < 0, sent, 0)
        instants, last = self._times.instants(grid, times), int(whole.record.head["last"])
        known = instants != NO_TIME
        if last == NO_TIME:
            return np.zeros(len(numbers), np.int64)
        if grid.period:
            behind, beside = np.divmod(np.where(known, last - instants, 1), grid.period)
            return np.where(known & (beside == 0), whole.record.step - behind, 0)
        steps = np.zeros(len(numbers), np.int64)
        for row in np.flatnonzero(known).tolist():
            between = steps_between(grid, last, int(instants[row]))
            steps[row] = 0 if between is None else whole.record.step + between
        return steps


def _answers(whole: Whole, label: Label, steps: Integers) -> Structured:
    """(n,) the answers to the observations of these steps, which are at hand: as kept, or made again of what is."""
    record, loaded = whole.record, whole.loaded
    observed = whole.slots[steps - whole.at_hand]
    issued = np.concatenate([whole.slots["issued"][1:], current_forecast(whole)])
    seen = float(loaded.model.seen(record.state[None])[0]) - (record.step - steps)
    answers: Structured = np.zeros(len(steps), record.layout.outcome)
    answers["status"], answers["kind"], answers["incarnation"] = 200, AnswerKind.ADVANCE, record.head["incarnation"]
    for name in ("revision", "step", "applied", "imputed"):
        answers[name] = observed[name]
    times = observed["timestamp"].tolist()
    answers["forecast_time"] = [entries.time_after(label.grid, instant) for instant in times]
    answers["forecast"] = issued[steps - whole.at_hand]
    answers["flags"] = np.where(seen >= loaded.spec.warm_up, WARMED_UP, 0)
    answers["observed"] = observed
    answers["observed"]["flags"] &= ~np.uint32(HAS_REVISED)
    own = (record.outcomes["incarnation"] == record.head["incarnation"]).all(axis=1) & (record.outcomes["revision"] > 0)
    kept = record.outcomes[own]
    same = kept["revision"] == observed["revision"][:, None]
    same &= kept["observed"]["step"] == steps[:, None]
    has_kept = same.any(axis=1)
    answers[has_kept] = kept[same.argmax(axis=1)[has_kept]]
    answers["replayed"] = np.maximum(1 - answers["applied"].astype(np.int64) - answers["corrected"], 0)
    return answers


def whole_of(session: str, blob: bytes, registry: Registry, now_ms: int) -> Whole:
    """A record that was read. Raises RecordDamaged, ModelUnavailable, ModelMismatch: it cannot be worked with."""
    record, loaded = parsed(session, blob, registry)
    return Whole.of(session, record, loaded, record.position, now_ms)
