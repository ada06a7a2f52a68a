"""The state of a session as a document that goes from one service to another, and what a purge deleted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hiddenstate.answers.answer import Answer


@dataclass(frozen=True, slots=True, repr=False)
class State(Answer):
    """All that another service needs to go on with a session; `members` is the document, to be kept as it is.

    `session` are its settings, `data` the state's bytes in base64, `history` the retained observations.
    """

    format: int
    session: Mapping[str, Any]
    step: int
    last: str | None
    model: str
    fingerprint: str
    data: str
    history: Sequence[Mapping[str, Any]]
    checksum: str

    def __repr__(self) -> str:
        kept = f"{len(self.history)} observations retained"
        return f"<State {self.session['session']} at step {self.step}, {self.model}: {kept}>"


@dataclass(frozen=True, slots=True, repr=False)
class Purged(Answer):
    """How many sessions were deleted, or would be, and the ids of some."""

    purge_count: int
    purge_sample: Sequence[str]

    def __repr__(self) -> str:
        return f"<Purged {self.purge_count}>"
