"""New sessions of a batch: what they begin as, the same for all of them but for what their first rows decide."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from models.dates.grid import Grid, TimestampError, grid
from service.sessions.bulk.times import Times
from service.sessions.creation import Creator
from service.sessions.records import INCARNATION_BYTES
from service.sessions.registry import LoadedModel
from service.storage.layout import NO_TIME, HeadFlag, mark
from service.storage.record import Record
from service.wire.problems import ServiceError
from service.wire.schemas import SessionSettings


class Begun(NamedTuple):
    """How a session begins: its grid, and the instant one step before its first observation."""

    grid: Grid | None
    before: int


@dataclass(frozen=True, slots=True)
class Template:
    """A session without observations, at revision 0, with or without timestamps.

    Args:
        grid: not anchored yet; None where steps are counted.
    """

    record: Record
    loaded: LoadedModel
    grid: Grid | None
    begun_at: dict[int, Begun | None]

    @property
    def max_gap(self) -> int:
        """Most steps that are imputed at once."""
        head = self.record.head
        return 0 if head["gaps"] else int(head["max_gap"])

    def begun(self, times: Times, time: int) -> Begun | None:
        """How a session begins whose first observation has the timestamp of this number; None = it cannot."""
        if self.grid is None:
            return Begun(None, NO_TIME)
        first = int(times.instants(self.grid, np.array([time]))[0])
        if first not in self.begun_at:
            self.begun_at[first] = _begun(self.grid, first)
        return self.begun_at[first]


class Templates:
    """Those of a batch.

    Args:
        asked: the settings of its new sessions; None = it creates none.
    """

    def __init__(self, creator: Creator, asked: SessionSettings | None) -> None:
        self._creator = creator
        self._asked = asked
        self._made: dict[bool, Template | None] = {}

    def of(self, *, dated: bool) -> Template | None:
        """That of sessions with timestamps or without; None = there can be none, and each row is told why."""
        if dated not in self._made:
            self._made[dated] = None if self._asked is None else self._new(self._asked, dated)
        return self._made[dated]

    def _new(self, asked: SessionSettings, dated: bool) -> Template | None:
        try:
            record, loaded = self._creator.record("", asked, incarnation=bytes(INCARNATION_BYTES), now_ms=0)
            head = record.head
            if loaded.takes_covariates:
                return None
            if head["freq"] if not dated else int(head["flags"]) & HeadFlag.COUNTED:
                return None
            if not dated:
                mark(head, HeadFlag.COUNTED)
            elif not head["freq"]:
                head["freq"] = loaded.spec.freqs[0].encode()
            self._creator.settle_expiry(record, asked)
            record.render()  # what stays as it is has its checksums now
        except ServiceError:
            return None
        begins = grid(head["freq"].item().decode(), head["timezone"].item().decode()) if dated else None
        return Template(record, loaded, begins, {})


def _begun(unanchored: Grid, first: int) -> Begun | None:
    try:
        if first == NO_TIME:
            return None
        anchored = unanchored.anchored(first)
        return Begun(anchored, anchored.advance(first, -1))
    except TimestampError:
        return None
