"""What is told of sessions, and how it is kept: the numbers only, which are written out when somebody reads them."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from models.dates.grid import Grid, grid
from service.storage.answers import Answer, Label

Action = Literal["created", "corrected", "rewound", "reset", "migrated", "imported", "deleted"]


class Answered(msgspec.Struct, frozen=True, array_like=True, tag="answered"):
    """A write was answered with an Advance."""

    session: str
    model: str
    freq: str | None
    timezone: str
    anchor: int | None
    covariates: tuple[str, ...]
    answer: Answer
    known: int = 0

    @classmethod
    def of(cls, label: Label, answer: Answer) -> "Answered":
        at = label.grid
        if at is None:
            return cls(label.session, label.model, None, "", None, label.covariates, answer, label.known)
        return cls(label.session, label.model, at.freq, at.timezone, at.anchor, label.covariates, answer, label.known)

    @property
    def label(self) -> Label:
        return Label(self.session, self.model, self._grid, self.covariates, self.known)

    @property
    def _grid(self) -> Grid | None:
        return None if self.freq is None else grid(self.freq, self.timezone, self.anchor)


class Happened(msgspec.Struct, frozen=True, array_like=True, tag="happened"):
    """Something else became of a session; `step` and `etag` None = it is not there any more."""

    session: str
    action: Action
    step: int | None
    etag: str | None


class Drifted(msgspec.Struct, frozen=True, array_like=True, tag="drifted"):
    """A session's drift was detected `since` a time, as it is written, or a step; None = it has ended.

    `step` is that at which it was, `etag` of the commit; None = the session is not there any more.
    """

    session: str
    since: str | None
    step: int | None
    etag: str | None


class Missed(msgspec.Struct, frozen=True, array_like=True, tag="missed"):
    """Between these two times of the store's clock, in milliseconds, anything may have happened that is not told."""

    from_ms: int
    to_ms: int


Event = Answered | Happened | Drifted | Missed

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Event])


def encode(events: Sequence[Event]) -> bytes:
    """Events as they are kept."""
    return _encoder.encode(events)


def decode(kept: bytes) -> list[Event]:
    return _decoder.decode(kept)
