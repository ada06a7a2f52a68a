"""Sessions to another model: asked first, without a change, what it would do to each; then switched."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from hiddenstate.answers.sessions import Session
from hiddenstate.client import Client
from hiddenstate.errors import NotRetained, ProblemError
from hiddenstate.files.moving import Refusals, refused_or, side_by_side


class Change(NamedTuple):
    """What another model would do to a session.

    Attributes:
        error: mean absolute error of the recent steps with it, relative to the model before; 0.9 is 10 % better, None
            where there is nothing to compare.
    """

    session: str
    error: float | None


@dataclass(slots=True)
class Prospect:
    """What another model would do to all of them.

    Attributes:
        left_alone: sessions that retain nothing which the model could fold; they stay with the one that they have.
    """

    changes: list[Change] = field(default_factory=list)
    left_alone: int = 0

    @property
    def errors(self) -> list[float]:
        return [change.error for change in self.changes if change.error is not None]

    @property
    def better(self) -> list[Change]:
        """Those whose error falls, most first."""
        return sorted((one for one in self.changes if one.error is not None and one.error < 1), key=_error)

    @property
    def worse(self) -> list[Change]:
        """Those whose error rises, most first."""
        rising = [one for one in self.changes if one.error is not None and one.error > 1]
        return sorted(rising, key=_error, reverse=True)

    @property
    def unknown(self) -> int:
        """Those that cannot be compared, or stay the same."""
        return len(self.changes) - len(self.better) - len(self.worse)

    @property
    def typical(self) -> float | None:
        """The median of the relative errors."""
        return median(self.errors) if self.errors else None


def ask(
    client: Client, model: str, sessions: Iterable[Session], refusals: Refusals, done: Callable[[int], None]
) -> Prospect:
    """What the model would do to sessions of other models; changes nothing.

    Args:
        model: name@version.
    """
    prospect = Prospect()
    others = (one for one in sessions if one.model != model)

    def asked(before: Session) -> Session | ProblemError:
        return refused_or(lambda name: client.patch_session(name, validate_only=True, model=model), before.session)

    for before, after in side_by_side(asked, others):
        done(1)
        if isinstance(after, ProblemError):
            refusals.add(before.session, None, after.slug, after.detail)
            prospect.left_alone += isinstance(after, NotRetained)
        else:
            prospect.changes.append(Change(before.session, _relative(before, after)))
    return prospect


def switch(
    client: Client, model: str, changes: Sequence[Change], refusals: Refusals, done: Callable[[int], None]
) -> int:
    """Give the sessions the model; how many have it now."""

    def switched(name: str) -> Session | ProblemError:
        return refused_or(lambda session: client.patch_session(session, model=model), name)

    count = 0
    for name, answer in side_by_side(switched, [change.session for change in changes]):
        done(1)
        if isinstance(answer, ProblemError):
            refusals.add(name, None, answer.slug, answer.detail)
        else:
            count += 1
    return count


def _relative(before: Session, after: Session) -> float | None:
    old, new = before.scores.recent, after.scores.recent
    if old is None or new is None or not old.mae or new.mae is None:
        return None
    return new.mae / old.mae


def _error(change: Change) -> float:
    return 1.0 if change.error is None else change.error
