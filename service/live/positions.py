"""Where a reader of the log stands, and how that is written as the opaque id of an event."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from itertools import chain
from typing import NamedTuple

import msgspec

from service.wire.problems import MalformedRequest

SHARDS = 4
"""Streams that the log consists of: in a Cluster no server carries all of it, and none is asked in vain by many."""


class Position(NamedTuple):
    """In one stream: the event of this number, in an entry of this time, was the last one read; 0, 0 = none was."""

    ms: int
    number: int


START = Position(0, 0)


class Place(NamedTuple):
    """In the whole log: how far in each stream; `ms` is a time up to which events are known to have been logged."""

    ms: int
    at: tuple[Position, ...]

    def moved(self, shard: int, to: Position) -> "Place":
        """The place after an event of a stream was read."""
        return self._replace(at=(*self.at[:shard], to, *self.at[shard + 1 :]))


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(tuple[int, ...])


def written(place: Place) -> bytes:
    """An event's id."""
    return urlsafe_b64encode(_encode((place.ms, *chain(*place.at)))).rstrip(b"=")


def read(text: str) -> Place:
    """The place that an id names. Raises MalformedRequest: it is none."""
    try:
        padded = text + "=" * (-len(text) % 4)
        ms, *numbers = _decoder.decode(urlsafe_b64decode(padded.encode("ascii")))
        if len(numbers) != 2 * SHARDS or min(ms, *numbers) < 0 or max(ms, *numbers) >= 2**53:
            raise ValueError
    except (ValueError, msgspec.DecodeError):
        raise MalformedRequest(
            "Last-Event-ID is no id of an event of this service; leave it out to begin with what happens from now on"
        ) from None
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return Place(ms, tuple(Position(*pair) for pair in pairs))
