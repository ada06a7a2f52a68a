"""The rules of a session, in plain Python: what the service must answer, and what it must then hold."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.dates.calendar import features
from service.sessions.registry import LoadedModel
from tests.service.api.times import Times

Expected = tuple[int, str | None]
"""Status, and the slug of a problem (None = no problem)."""


@dataclass(frozen=True)
class Stored:
    """One observation that was folded, with the forecast that had been issued for it."""

    value: float | None
    imputed: bool
    issued: tuple[float, ...] | None
    original: float | None = None
    corrected: bool = False


@dataclass
class Rules:
    """One session.

    Attributes:
        first: the place of step 1.
        keyed: the latest requests that had a key, by key: the body, whether it may correct, and the answer.
    """

    loaded: LoadedModel
    times: Times
    exists: bool = False
    gaps: str = "impute"
    max_gap: int = 5
    first: int = 0
    stored: list[Stored] = field(default_factory=list)
    keyed: dict[str, tuple[object, bool, bytes]] = field(default_factory=dict)

    @property
    def last(self) -> int:
        return self.first + len(self.stored) - 1

    def post(self, sent: list[tuple[int, float | None]], *, correct: bool, matches: bool) -> Expected:
        """Take up observations, all or none; the answer that is due."""
        if any(place < self.times.least for place, _ in sent):
            return 422, "invalid-request"
        if not self.exists:
            return 404, "session-not-found"
        draft = Rules(self.loaded, self.times, True, self.gaps, self.max_gap, self.first, list(self.stored))
        refused: Expected | None = None
        for place, value in sent:
            refused = refused or draft._take(place, value, correct)
        if refused is None and draft.stored == self.stored:
            return 200, None  # a replay is recognised before If-Match is compared
        if not matches:
            return 412, "precondition-failed"
        if refused is None:
            self.first, self.stored = draft.first, draft.stored
        return refused or (200, None)

    def _take(self, place: int, value: float | None, correct: bool) -> Expected | None:
        if not self.stored:
            self.first = self.times.start(place)
        step = place - self.first + 1
        if step < 1:
            return 409, "out-of-order"
        missing = step - len(self.stored) - 1
        if missing < 0:
            return self._again(step, value, correct)
        if missing and self.gaps == "reject":
            return 422, "gap-rejected"
        if missing > self.max_gap:
            return 422, "gap-too-long"
        for _ in range(missing):
            self._fold(None, imputed=True)
        self._fold(value, imputed=False)
        return None

    def _again(self, step: int, value: float | None, correct: bool) -> Expected | None:
        known = self.stored[step - 1]
        if known.value == value and not known.imputed:
            return None
        if correct:
            self.correct(step, value)
            return None
        return (409, "observation-conflict") if step == len(self.stored) else (409, "out-of-order")

    def correct(self, step: int, value: float | None) -> None:
        """Another value for a step, whose issued forecast stays."""
        known = self.stored[step - 1]
        original = known.original if known.corrected else known.value
        self.stored[step - 1] = Stored(value, False, known.issued, original, True)

    def _fold(self, value: float | None, *, imputed: bool) -> None:
        self.stored.append(Stored(value, imputed, self.forecast()))

    def forecast(self) -> tuple[float, ...] | None:
        """The five quantiles of the next step, by an offline fold of all values; None before one is known."""
        model = self.loaded.model
        states: NDArray[np.uint8] = model.initial_state(1)
        quantiles = None
        for number, one in enumerate(self.stored):
            moment = np.array([features(self.times.local(self.first + number))], np.float32)
            states, issued = model.step(states, np.array([np.nan if one.value is None else one.value]), moment)
            if model.seen(states)[0] > 0:
                quantiles = tuple(issued[0, self.loaded.stored].tolist())
        return quantiles
