"""Sound records of several kinds, and ways to damage them: by bits, by lengths, and field by field."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from zlib import crc32

import numpy as np

from service.storage.checksums import seal
from service.storage.layout import CRC_AT, HEAD_BYTES, Layout

EXTREMES = (0, 1, 2, 0x7FFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
FLOATS = (float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 5e-324, 0.0)


@dataclass(frozen=True, slots=True)
class Sound:
    """A record as it was stored."""

    blob: bytes
    layout: Layout
    history: int


@dataclass(frozen=True, slots=True)
class Damaged:
    """A damaged record.

    Args:
        how: the way it was damaged, for the summary.
        sealed: its checksums were computed again.
    """

    of: int
    blob: bytes
    how: str
    sealed: bool


def flipped(record: Sound, chance: random.Random) -> bytes:
    data = bytearray(record.blob)
    for _ in range(chance.choice((1, 1, 2, 8))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def overwritten(record: Sound, chance: random.Random) -> bytes:
    data, size = bytearray(record.blob), chance.choice((4, 8, 64, 512))
    at = chance.randrange(len(data) - size)
    data[at : at + size] = chance.choice((bytes(size), b"\xff" * size, chance.randbytes(size)))
    return bytes(data)


def cut(record: Sound, chance: random.Random) -> bytes:
    return record.blob[: chance.choice((0, HEAD_BYTES - 1, HEAD_BYTES, chance.randrange(len(record.blob))))]


def grown(record: Sound, chance: random.Random) -> bytes:
    return record.blob + chance.randbytes(chance.choice((1, 8, 136, 2000)))


def shifted(record: Sound, chance: random.Random) -> bytes:
    at = chance.randrange(len(record.blob))
    return record.blob[:at] + chance.randbytes(chance.choice((1, 4, 8))) + record.blob[at:]


def foreign(record: Sound, chance: random.Random) -> bytes:
    return chance.choice((b"x", chance.randbytes(64), chance.randbytes(len(record.blob)), b'{"value": 1}' * 200))


def in_head(record: Sound, chance: random.Random) -> bytes:
    return _with_field(record, chance, ("head",))


def in_history(record: Sound, chance: random.Random) -> bytes:
    return _with_field(record, chance, ("outcomes", "ring", "snapshots"))


def in_state(record: Sound, chance: random.Random) -> bytes:
    data = bytearray(record.blob)
    at = HEAD_BYTES + 8 * chance.randrange(record.layout.state_bytes // 8)
    data[at : at + 8] = np.array(chance.choice(FLOATS), "<f8").tobytes()
    return bytes(data)


def in_tail(record: Sound, chance: random.Random) -> bytes:
    """Another tail, of the length that the head says."""
    parts = np.frombuffer(record.blob, record.layout.whole(record.history), 1).copy()
    tail = chance.choice((b"{", b"[]", b"null", b'{"static": 3}', b"\xff\xfe", b"[" * 5000, b'{"a": NaN}'))
    parts["head"]["tail_bytes"] = len(tail)
    return parts.tobytes() + tail


WAYS: Sequence[Callable[[Sound, random.Random], bytes]] = (
    *(flipped, overwritten, cut, grown, shifted, foreign, in_head, in_head, in_head, in_history, in_state, in_tail),
)


def damaged(records: Sequence[Sound], chance: random.Random) -> Damaged:
    """One of the records, damaged; half of them with right checksums."""
    number = chance.randrange(len(records))
    record = records[number]
    while True:
        way = chance.choice(WAYS)
        blob = way(record, chance)
        sealed = chance.random() < 0.5
        if sealed:
            blob = resealed(blob, record)
        if blob != record.blob:
            return Damaged(number, blob, way.__name__, sealed)


def resealed(blob: bytes, record: Sound) -> bytes:
    """The same with every checksum computed again, where its place is still there."""
    layout, whole = record.layout, record.layout.whole(record.history)
    if len(blob) < layout.live_bytes:
        return blob
    tail = blob[whole.itemsize :]
    if len(blob) >= whole.itemsize:
        parts = np.frombuffer(blob, whole, 1).copy()
        seal(parts["outcomes"]["observed"][0])
        for name in ("outcomes", "ring", "snapshots") if record.history else ("outcomes", "snapshots"):
            seal(parts[name][0])
        parts["head"]["tail_crc"] = crc32(tail)
        blob = parts.tobytes() + tail
    size = int.from_bytes(blob[260:264], "little")
    crc = crc32(blob[HEAD_BYTES : HEAD_BYTES + size], crc32(blob[:CRC_AT]))
    return blob[:CRC_AT] + crc.to_bytes(4, "little") + blob[CRC_AT + 4 :]


def _with_field(record: Sound, chance: random.Random, names: Sequence[str]) -> bytes:
    """One number or text of these parts is another."""
    at, leaf = chance.choice([place for name in names for place in _fields(record, name)])
    data, size = bytearray(record.blob), leaf.itemsize
    if leaf.kind in "iu" and size > 1:
        value = (chance.choice(EXTREMES) & (256**size - 1)).to_bytes(size, "little")
    elif leaf.kind == "f":
        value = np.array(chance.choice(FLOATS), leaf).tobytes()
    else:
        value = chance.choice((bytes(size), b"\xff" * size, chance.randbytes(size)))
    data[at : at + size] = value
    return bytes(data)


@cache
def _fields(record: Sound, part: str) -> list[tuple[int, np.dtype[Any]]]:
    dtype, at = record.layout.whole(record.history).fields[part][:2]  # type: ignore[index]
    return list(_leaves(dtype, at))


def _leaves(dtype: np.dtype[Any], at: int) -> Iterator[tuple[int, np.dtype[Any]]]:
    """Where each number and text of a structure stands; of an array one text."""
    if dtype.subdtype is not None:
        inner, shape = dtype.subdtype
        if inner.itemsize == 1:
            yield at, np.dtype(f"S{dtype.itemsize}")
        else:
            for number in range(int(np.prod(shape))):
                yield from _leaves(inner, at + number * inner.itemsize)
    elif dtype.names:
        for name in dtype.names:
            inner, offset = dtype.fields[name][:2]  # type: ignore[index]
            yield from _leaves(inner, at + offset)
    else:
        yield at, dtype
