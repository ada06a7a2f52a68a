"""Deleting all sessions whose ids begin with a prefix."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from service.listing.readable import readable, sound
from service.listing.scanning import stored_sessions
from service.live.log import EventLog
from service.sessions import drift
from service.sessions.places import Places
from service.sessions.registry import Registry
from service.storage.connection import StoreUnavailable
from service.storage.layout import HEAD_BYTES, Bytes, Structured, is_full, position
from service.storage.record import heads_of
from service.storage.store import Change, Found, Kind, Outcome, Reading, SessionStore
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

    def __init__(
        self, store: SessionStore, registry: Registry, forgotten: Callable[[Sequence[str]], None], log: EventLog
    ) -> None:
        self._log = log
        self._store = store
        self._registry = registry
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
        return [change.session for change, _ in await self._there(sessions)]

    async def _deleted(self, sessions: Sequence[str]) -> list[str]:
        """Those of the sessions that were there, and are not any more."""
        deleted: list[str] = []
        there = await self._there(sessions)
        for _ in range(ATTEMPTS):
            if not there:
                return deleted
            changes = [change for change, _ in there]
            told = dict(zip((change.session for change in changes), await self._store.commit(changes), strict=True))
            gone = {session for session, outcome in told.items() if outcome is Outcome.APPLIED}
            self._forgotten(list(gone))
            for change, drifting in there:
                if change.session in gone:
                    self._log.tell(*drift.deleted(change.session, drifting=drifting))
            deleted += gone
            for session, outcome in told.items():
                _require_settled(session, outcome)
            left = {change.session: change.expected for change in changes if change.session not in gone}
            # What stands where it stood and is yet another is no record any more: it is deleted whatever it is.
            there = [
                (replace(change, expected=None) if change.expected == left[change.session] else change, drifting)
                for change, drifting in await self._there(list(left))
            ]
        raise ConcurrentUpdate(Standing(there[0][0].session))

    async def _there(self, sessions: Sequence[str]) -> list[tuple[Change, bool]]:
        """The deletion of each session that is there, from where it stands, and whether it is in drift."""
        if not sessions:
            return []
        reading = await self._store.read(sessions, self._registry.live_bytes)
        if (reading.found == Found.UNAVAILABLE).any():
            raise StoreUnavailable("the store did not answer; what was deleted before stays deleted")
        heads, drifting = heads_of(reading.rows), self._drifting(sessions, reading)
        return [
            (_deletion(session, reading.rows[row, :HEAD_BYTES], heads[row]), row in drifting)
            for row, session in enumerate(sessions)
            if reading.found[row] == Found.PRESENT
        ]

    def _drifting(self, sessions: Sequence[str], reading: Reading) -> set[int]:
        """The rows of those of which it can be told that they are in drift."""
        groups = readable(Places(sessions, heads_of(reading.rows)), reading, self._registry)
        return {
            row
            for loaded, rows, live in sound(groups, reading.rows)
            for row, lasted in zip(rows, loaded.model.alarmed(live[:, HEAD_BYTES:]).tolist(), strict=True)
            if lasted
        }


def _deletion(session: str, row: Bytes, head: Structured) -> Change:
    return Change(session, bytes(16), bytes(8), position(row.tobytes()), Kind.DELETE, (), 0, bool(is_full(head)))


def _require_settled(session: str, outcome: Outcome) -> None:
    """Raises what an outcome means of which it is not known whether, or how safely, the session is gone."""
    match outcome:
        case Outcome.UNAVAILABLE:
            raise StoreUnavailable("the store did not take the deletion; what was deleted before stays deleted")
        case Outcome.UNKNOWN:
            raise DeadlineExceeded(f"the store did not confirm in time; {AGAIN}", at=Standing(session))
        case Outcome.UNCONFIRMED:
            raise DurabilityUnconfirmed(session)
