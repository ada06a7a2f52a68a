"""A session: its settings, where it stands, how well it is forecast."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hiddenstate.answers.answer import Answer, shown


@dataclass(frozen=True, slots=True, repr=False)
class Scores(Answer):
    """One step ahead, predict then observe. `mase` below 1 beats repeating the last value."""

    steps: int
    mae: float | None
    mase: float | None
    pinball: float | None
    coverage: Mapping[str, float | None]

    def __repr__(self) -> str:
        inside = self.coverage.get("80")
        covered = "" if inside is None else f", {100 * inside:.0f} % inside 80 %"
        return f"<Scores of {self.steps} steps: MAE {shown(self.mae)}, MASE {shown(self.mase)}{covered}>"


@dataclass(frozen=True, slots=True, repr=False)
class SessionScores(Answer):
    """Since the first value, and over about the last 50; None where the service lacks the session's model."""

    all: Scores | None
    recent: Scores | None

    def __repr__(self) -> str:
        return f"<SessionScores all {self.all}, recent {self.recent}>"


@dataclass(frozen=True, slots=True, repr=False)
class Session(Answer):
    """A series folded so far: its settings, where it stands and how well it is forecast."""

    session: str
    model: str
    fingerprint: str
    freq: str | None
    timezone: str
    static: Mapping[str, Any]
    gaps: Literal["impute", "reject"]
    max_gap: int
    history: int | Literal["full"]
    minimum: float | None
    maximum: float | None
    ttl_s: float | None
    require_if_match: bool
    step: int
    etag: str
    last: str | None
    next: str | None
    retained_from: str | int | None
    warmed_up: bool | None
    scores: SessionScores
    drift: Mapping[str, Any]
    warnings: Sequence[Mapping[str, str]]
    created_at: str
    updated_at: str
    expires_at: str | None

    def __repr__(self) -> str:
        last = "" if self.last is None else f", last {self.last}"
        recent = self.scores.recent
        score = "" if recent is None or recent.mase is None else f", MASE {shown(recent.mase)}"
        return f"<Session {self.session}: {self.model}, freq {self.freq or 'none'}, step {self.step}{last}{score}>"


@dataclass(frozen=True, slots=True, repr=False)
class SessionPage(Answer):
    """Part of a list; an empty `next_page_token` ends it. The total may lag a few seconds."""

    sessions: list[Session]
    next_page_token: str
    total_size: int

    def __repr__(self) -> str:
        return f"<SessionPage of {len(self.sessions)}, {self.total_size} in all>"


@dataclass(frozen=True, slots=True, repr=False)
class Verification(Answer):
    """Whether folding the retained observations again gives the state that is live."""

    session: str
    step: int
    observations: int
    identical: bool
    max_rel_difference: float
    tolerance: float
    ok: bool

    def __repr__(self) -> str:
        return f"<Verification {self.session} at step {self.step}: {'ok' if self.ok else 'NOT ok'}>"
