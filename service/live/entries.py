"""Entries of the log, read: what each tells, and whether anything is missing before it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from service.live.events import Event, Missed, decode
from service.live.positions import Position

RETAINED_MS = 3_600_000
"""So long the log holds at most what was told."""


class Entry(NamedTuple):
    """Some events of a stream; `last` is where the last of them stands."""

    last: Position
    size: int
    events: bytes

    @property
    def first(self) -> int:
        """The number of the first event."""
        return self.last.number - self.size + 1


def unread(entries: Sequence[Entry], read: Position) -> Iterator[tuple[Position, Event]]:
    """The events of entries that follow what was read, each with where it stands; what is missing is `Missed`."""
    for entry in entries:
        skipped = _skipped(entry, read)
        if skipped is None:
            yield read, Missed(read.ms or entry.last.ms - RETAINED_MS, entry.last.ms)
        try:
            events = decode(entry.events)
        except msgspec.DecodeError:  # of another version of the service
            yield entry.last, Missed(read.ms or entry.last.ms, entry.last.ms)
            events = []
        begin = skipped or 0
        for number, event in enumerate(events[begin:], entry.first + begin):
            yield Position(entry.last.ms, number), event
        read = entry.last


def _skipped(entry: Entry, read: Position) -> int | None:
    """How many of its events were read; None = events before it are missing."""
    if entry.first == read.number + 1:
        return 0
    if entry.last.ms == read.ms and entry.first <= read.number < entry.last.number:
        return read.number + 1 - entry.first
    if entry.first == 1 and entry.last.ms - read.ms > RETAINED_MS:
        return 0  # what was read has left the log meanwhile, and it began anew
    return None
