"""How many steps of each session were filled in, told by where it stands after its rows."""

from dataclasses import dataclass
from typing import NamedTuple


class Sparse(NamedTuple):
    """A session most of whose new steps were filled in: `imputed` of `steps`."""

    session: str
    imputed: int
    steps: int


@dataclass(slots=True)
class _Standing:
    step: int
    rows: int = 0
    imputed: int = 0


class Gaps:
    """Counts, for each session of a push, the steps that no row was sent for."""

    def __init__(self) -> None:
        self._sessions: dict[str, _Standing] = {}

    @property
    def imputed(self) -> int:
        """Steps that were filled in, of all sessions together."""
        return sum(one.imputed for one in self._sessions.values())

    @property
    def sparsest(self) -> Sparse | None:
        """The session with most of them, of those where they are more than the rows; None where there is none."""
        sparse = [
            Sparse(session, one.imputed, one.imputed + one.rows)
            for session, one in self._sessions.items()
            if one.imputed > one.rows
        ]
        return max(sparse, key=lambda one: one.imputed, default=None)

    def begin(self, session: str, step: int) -> None:
        """Before its first row the session stands at `step`."""
        self._sessions.setdefault(session, _Standing(step))

    def advance(self, session: str, step: int, rows: int = 1) -> None:
        """After so many rows that were applied it stands at `step`; after a correction where it stood before."""
        standing = self._sessions.get(session)
        if standing is None:  # another program has created it meanwhile
            return
        steps = step - standing.step
        if steps > 0:
            standing.imputed += max(steps - rows, 0)
            standing.rows += min(rows, steps)
            standing.step = step
