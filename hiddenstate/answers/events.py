"""What happens to sessions, told while it happens."""

from dataclasses import dataclass
from typing import Literal

from hiddenstate.answers.answer import Answer
from hiddenstate.answers.observations import Advance

Action = Literal["created", "corrected", "rewound", "reset", "migrated", "imported", "deleted"]


@dataclass(frozen=True, slots=True, repr=False)
class Change(Answer):
    """What became of a session besides observations; `step` and `etag` are None where it is gone."""

    session: str
    action: Action
    step: int | None
    etag: str | None
    at: str

    def __repr__(self) -> str:
        return f"<Change {self.session}: {self.action} at {self.at}>"


@dataclass(frozen=True, slots=True, repr=False)
class Drift(Answer):
    """A session's drift was detected at `step`, `since` a time or a step, or has ended; None = the session is gone."""

    session: str
    detected: bool
    since: str | None
    step: int | None
    etag: str | None

    def __repr__(self) -> str:
        return f"<Drift {self.session}: {f'since {self.since}' if self.detected else 'ended'}>"


@dataclass(frozen=True, slots=True, repr=False)
class Gap(Answer):
    """Whatever happened between these times may not have been told: read again what depends on it."""

    missed_from: str
    missed_to: str

    def __repr__(self) -> str:
        return f"<Gap from {self.missed_from} to {self.missed_to}>"


@dataclass(frozen=True, slots=True)
class Event:
    """One event; with its `id` a later call goes on after it."""

    id: str
    data: Advance | Change | Drift | Gap
