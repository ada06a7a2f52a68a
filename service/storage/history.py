"""A history that is kept in full: the ring's slots, moved to chunks of a key of their own each time the ring is filled.

`hs:{<namespace>/<session>}:history` is a hash in the record's slot of a Cluster. Its field K holds the slots of the
steps K * ring + 1 to (K + 1) * ring, with the bytes that the ring had; `base` holds a SNAPSHOT, the state before the
first observation, where that is not the model's initial state. The commit moves the slots, so that an advance neither
reads nor sends them. The key expires with its record, and is deleted with it and where a new life begins.
"""

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np

from service.storage.checksums import seal
from service.storage.layout import Bytes, Layout, Structured
from service.storage.record import DamagedRecord, Record

BASE = b"base"
Fields = tuple[tuple[bytes, bytes], ...]
"""What to put into a history: (field, bytes); without bytes the field is taken away."""


def chunk_of(step: int, ring: int) -> int:
    """The chunk that a step belongs to once the ring was filled with it."""
    return (step - 1) // ring


def slots_between(record: Record, chunks: Sequence[bytes | None], first: int, last: int) -> Structured:
    """The slots of the steps from `first` to `last`, oldest first.

    Args:
        chunks: from that of `first` on, to that of `last` or the last one that is complete.
        first: not before the record's first one.
    Raises:
        DamagedRecord: one of the chunks that are needed is missing or is not what was written.
    """
    ring, number = record.history, chunk_of(first, record.history)
    parts = [_parsed(chunk, number + row, record) for row, chunk in enumerate(chunks)]
    moved = record.step // ring * ring
    parts.append(record.ring[(np.arange(moved, max(record.step, moved))) % ring])
    slots = np.concatenate(parts)
    wanted: Structured = slots[(slots["step"] >= first) & (slots["step"] <= last)]
    if len(wanted) != last - first + 1:
        raise DamagedRecord("a part of its history is missing")
    return wanted


def rendered(slots: Structured, number: int, ring: int) -> tuple[bytes, bytes]:
    """The field of a chunk, from slots that follow each other, among which are all of it that are retained."""
    chunk = np.zeros(ring, slots.dtype)
    begin = number * ring + 1 - int(slots["step"][0])
    own = slots[max(begin, 0) : max(begin + ring, 0)].copy()
    seal(own)
    chunk[(own["step"].astype(np.int64) - 1) % ring] = own
    return b"%d" % number, chunk.tobytes()


def rendered_base(layout: Layout, step: int, state: Bytes) -> tuple[bytes, bytes]:
    """The field of the state before the first observation."""
    base = np.zeros(1, layout.snapshot)
    base["filled"], base["step"], base["state"] = 1, step, state
    seal(base)
    return BASE, base.tobytes()


def parsed_base(data: bytes | None, record: Record) -> Bytes:
    """The state before the first observation. Raises DamagedRecord where it is missing or not what was written."""
    base = _array(data, record.layout.snapshot)
    if len(base) != 1 or int(base["step"][0]) != int(record.head["first"]) - 1:
        raise DamagedRecord("the state before its history is missing")
    state: Bytes = base["state"][0].copy()
    return state


def _parsed(data: bytes | None, number: int, record: Record) -> Structured:
    slots = _array(data, record.layout.slot)
    steps = number * record.history + 1 + np.arange(record.history)
    kept = steps >= int(record.head["first"])
    if len(slots) != len(steps) or (slots["step"][kept] != steps[kept]).any():
        raise DamagedRecord("a part of its history is missing")
    return slots[kept]


def _array(data: bytes | None, dtype: "np.dtype[Any]") -> Structured:
    """What was stored, its checksums checked; zeros are the places before the first observation."""
    if data is None or len(data) % dtype.itemsize:
        raise DamagedRecord("a part of its history is missing")
    view, size = memoryview(data), dtype.itemsize
    for at in range(0, len(data), size):
        piece = view[at : at + size]
        if int.from_bytes(piece[:4], "little") != crc32(piece[4:]) and any(piece):
            raise DamagedRecord("the checksum of a part of its history does not match")
    return np.frombuffer(data, dtype).copy()
