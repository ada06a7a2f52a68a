"""A whole record in memory: one session read, to be changed there and put back if it still stands where it was read."""

from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from models.covariates import Encoding
from service.sessions.covariates import naming, told
from service.sessions.places import Places
from service.sessions.registry import LoadedModel
from service.sessions.rules import Place
from service.storage.answers import Answer, Observed, read_answers, read_observed
from service.storage.history import Fields, chunk_of, rendered, rendered_base
from service.storage.layout import AnswerKind, Bytes, Structured, is_full
from service.storage.record import Record

NEVER = 2**63
"""Later than any step."""


class NeedsOlder(Exception):
    """Observations before those at hand are needed, from `step` on: they are in the history that is kept in full."""

    def __init__(self, step: int) -> None:
        super().__init__(f"the observations from step {step} on")
        self.step = step


@dataclass(slots=True)
class Whole:
    """A record in memory.

    Args:
        expected: position that the stored record must have when it is replaced; None = there must be none.
        now_ms: the store's clock.
        slots: the retained observations at hand, oldest first, the last one that of the record's step.
        base: the state before the first observation of a full history, if it is at hand.
        stored: steps in the chunks of a full history, as read.
        changed_from: the oldest step whose slot was changed, so that its chunk must be.
        was_full: the stored record has a full history.
        loaded: the model that folds the session on.
        fingerprint: of the model that the stored record belongs to.
    """

    session: str
    record: Record
    loaded: LoadedModel
    expected: bytes | None
    now_ms: int
    slots: Structured
    base: Bytes | None = None
    stored: int = 0
    changed_from: int = NEVER
    was_full: bool = False
    fingerprint: bytes = bytes(32)

    @classmethod
    def of(
        cls, session: str, record: Record, loaded: LoadedModel, expected: bytes | None, now_ms: int
    ) -> "Whole":
        """A record with the observations that it holds itself."""
        was_full = is_full(record.head) and expected is not None
        return cls(
            session,
            record,
            loaded,
            expected,
            now_ms,
            record.slots(),
            base=loaded.initial_state(record.tail.get("static", {})) if int(record.head["first"]) == 1 else None,
            stored=record.step // record.history * record.history if was_full else 0,
            was_full=was_full,
            fingerprint=record.head["fingerprint"].tobytes(),
        )

    @property
    def place(self) -> Place:
        place = Places([self.session], self.record.head.reshape(1)).place(0, self.loaded)
        if self.is_of_model:
            return place
        return replace(place, label=naming(place.label, self.encoding), taken=self.encoding)

    @property
    def encoding(self) -> Encoding | None:
        """Of the covariates that the record keeps; None where only its model knows them, which is not here."""
        return self.loaded.encoding if self.is_of_model else told(self.record)

    @property
    def is_of_model(self) -> bool:
        """Whether the model at hand is that of the record as it is in memory."""
        fingerprint: bytes = self.record.head["fingerprint"].tobytes()
        return fingerprint == self.loaded.spec.fingerprint

    def answers(self) -> list[Answer]:
        """Those of the last outcomes that belong to this life of the session, in no order."""
        incarnation = self.record.head["incarnation"].tobytes()
        kept = read_answers(self.record.outcomes)
        return [answer for answer in kept if answer.revision and answer.incarnation == incarnation]

    @property
    def is_readable(self) -> bool:
        """Whether the model at hand is the one that the stored state belongs to."""
        return self.fingerprint == self.loaded.spec.fingerprint

    @property
    def full(self) -> bool:
        return is_full(self.record.head)

    @property
    def at_hand(self) -> int:
        """The oldest step at hand; one after the last if there is none."""
        return self.record.step - len(self.slots) + 1

    @property
    def retained_from(self) -> int:
        """The oldest retained step; one after the last if there is none."""
        return int(self.record.head["first"]) if self.full else self.at_hand

    def retained(self, step: int) -> Observed | None:
        """An observation by its step: from the history, or, where that is short, from the last outcomes."""
        if self.retained_from <= step <= self.record.step:
            self._need(step)
            [observed] = read_observed(self.slots[[step - self.at_hand]])
            return observed
        answers = self.answers()
        rewound = max((answer.revision for answer in answers if answer.kind == AnswerKind.REWIND), default=0)
        told = [answer for answer in answers if answer.observed.step == step and answer.revision >= rewound]
        return max(told, key=lambda answer: answer.revision).observed if told else None

    def correctable_from(self) -> int:
        """The oldest step that can be folded again; one after the last if none can."""
        return self.retained_from if self.full else self.record.correctable_from

    def state_before(self, step: int) -> tuple[int, Bytes]:
        """The newest kept state that does not hold observation `step` yet, and its own step.

        Args:
            step: from `correctable_from` to the one that comes next.
        """
        if step == self.record.step + 1:
            return self.record.step, self.record.state.copy()
        kept = self.record.snapshot_before(step)
        if kept is None:
            assert self.full, "a correctable step has a state before it"
            if self.base is None:
                raise NeedsOlder(self.retained_from)
            kept = self.retained_from - 1, self.base.copy()
        return kept

    def slots_from(self, step: int) -> Structured:
        """A copy of the observations from a step on, oldest first."""
        self._need(step)
        slots: Structured = self.slots[step - self.at_hand :].copy()
        return slots

    def will_change(self, step: int) -> None:
        """Have at hand what must be written again if slots from a step on are changed."""
        if self.full and step <= self.stored:
            ring = self.record.history
            self._need(max(chunk_of(step, ring) * ring + 1, self.retained_from))

    def put_slots(self, slots: Structured) -> None:
        """Put observations in their places: the last ones from a step on, the newest that of the record's step.

        Called after the record's step was moved.
        """
        first = int(slots["step"][0])
        self.changed_from = min(self.changed_from, first)
        self.slots = np.concatenate([self.slots[self.slots["step"] < first], slots])
        if not self.full:
            self.slots = self.slots[-self.record.history :] if self.record.history else self.slots[:0]
        self.record.put_slots(slots)

    def rewind(self, step: int, state: Bytes) -> None:
        """Go back to the state after an earlier step, whose observation is retained."""
        if self.full:  # the ring of that step is put together again, and it goes on from there
            self._need(max(step - self.record.history + 1, self.retained_from))
        self.slots = self.slots[: step - self.at_hand + 1]
        self.record.rewind(step, int(self.slots["timestamp"][-1]), state)
        self.record.put_slots(self.slots)

    def history(self) -> Fields:
        """What must be put into the history that is kept in full, so that it is that of the record."""
        if not self.full:
            return ()
        ring = self.record.history
        complete = self.record.step // ring
        first = max(min(self.changed_from, self.stored + 1), self.retained_from)
        changed = range(chunk_of(first, ring), complete)
        fields = [rendered(self.slots, number, ring) for number in changed]
        fields += [(b"%d" % number, b"") for number in range(complete, self.stored // ring)]
        begins_anew = not self.was_full or not self.is_readable
        if self.base is not None and self.retained_from > 1 and begins_anew:
            fields.append(rendered_base(self.loaded.layout, self.retained_from - 1, self.base))
        return tuple(fields)

    def _need(self, step: int) -> None:
        """Raises NeedsOlder unless the observations from a step on are at hand."""
        if step < self.at_hand:
            raise NeedsOlder(step)
