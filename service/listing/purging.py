"""Deleting all sessions whose ids begin with a prefix."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from service.listing.scanning import stored_sessions
from service.live.events import Happened
from service.live.log import EventLog
from service.storage.connection import StoreUnavailable
from service.storage.layout import HEAD_BYTES, is_full, position
from service.storage.record import heads_of
from service.storage.store import Change, Found, Kind, Outcome, SessionStore
from service.wire.problems import AGAIN, DeadlineExceeded, DurabilityUnconfirmed, Standing
from service.wire.session_problems import ConcurrentUpdate

SAMPLE = 100
"""Ids that an answer names."""
TOGETHER = 256
ATTEMPTS = 16
"""A session that is fed meanwhile is deleted where it then stands."""


@dataclass(slots=True)
class Purged:
    """How many sessions were deleted, or would be, and some of them."""

    count: int = 0
    sample: list[str] = field(default_factory=list)

    def add(self, sessions: Sequence[str]) -> None:
        self.count += len(sessions)
        self.sample += sessions[: SAMPLE - len(self.sample)]


class Purging:
    """Finds and deletes sessions by what the store holds: the index may not know the newest yet.

    Args:
        forgotten: is told which sessions were deleted.
        log: the same for those who listen.
    """

    def __init__(self, store: SessionStore, forgotten: Callable[[Sequence[str]], None], log: EventLog) -> None:
        self._log = log
        self._store = store
        self._forgotten = forgotten

    async def purge(self, prefix: str, *, force: bool) -> Purged:
        """Delete the sessions, or, without `force`, only count them. What was deleted before an error stays deleted.

        Raises:
            StoreUnavailable, DeadlineExceeded, DurabilityUnconfirmed: the store failed; the same again goes on.
            ConcurrentUpdate: one of them is written to without pause.
        """
        purged = Purged()
        async for sessions in stored_sessions(self._store, prefix):
            for at in range(0, len(sessions), TOGETHER):
                part = sessions[at : at + TOGETHER]
                purged.add(await (self._deleted(part) if force else self._found(part)))
        return purged

    async def _found(self, sessions: Sequence[str]) -> list[str]:
        return [change.session for change in await self._there(sessions)]

    async def _deleted(self, sessions: Sequence[str]) -> list[str]:
        """Those of the sessions that were there, and are not any more."""
        deleted: list[str] = []
        changes = await self._there(sessions)
        for _ in range(ATTEMPTS):
            if not changes:
                return deleted
            told = dict(zip((change.session for change in changes), await self._store.commit(changes), strict=True))
            gone = {session for session, outcome in told.items() if outcome is Outcome.APPLIED}
            self._forgotten(list(gone))
            self._log.tell(*(Happened(session, "deleted", None, None) for session in gone))
            deleted += gone
            for session, outcome in told.items():
                _require_settled(session, outcome)
            left = {change.session: change.expected for change in changes if change.session not in gone}
            # What stands where it stood and is yet another is no record any more: it is deleted whatever it is.
            changes = [
                replace(change, expected=None) if change.expected == left[change.session] else change
                for change in await self._there(list(left))
            ]
        raise ConcurrentUpdate(Standing(changes[0].session))

    async def _there(self, sessions: Sequence[str]) -> list[Change]:
        """The deletion of each session that is there, from where it stands."""
        if not sessions:
            return []
        reading = await self._store.read(sessions, HEAD_BYTES)
        if (reading.found == Found.UNAVAILABLE).any():
            raise StoreUnavailable("the store did not answer; what was deleted before stays deleted")
        heads = heads_of(reading.rows)
        return [
            Change(session, bytes(16), bytes(8), position(row.tobytes()), Kind.DELETE, (), 0, bool(is_full(head)))
            for session, row, head, found in zip(sessions, reading.rows, heads, reading.found, strict=True)
            if found == Found.PRESENT
        ]


def _require_settled(session: str, outcome: Outcome) -> None:
    """Raises what an outcome means of which it is not known whether, or how safely, the session is gone."""
    match outcome:
        case Outcome.UNAVAILABLE:
            raise StoreUnavailable("the store did not take the deletion; what was deleted before stays deleted")
        case Outcome.UNKNOWN:
            raise DeadlineExceeded(f"the store did not confirm in time; {AGAIN}", at=Standing(session))
        case Outcome.UNCONFIRMED:
            raise DurabilityUnconfirmed(session)
