"""The checksums of a record's parts."""

from collections.abc import Iterator
from struct import Struct
from zlib import crc32

from service.storage.layout import CRC_AT, HEAD_BYTES, Structured


def seal(array: Structured) -> None:
    """Set the checksum of each slot, outcome or snapshot of an array (any strides), in place."""
    array["crc"] = checksums(array)


def checksums(array: Structured) -> list[int]:
    """What the checksum of each slot, outcome or snapshot must be: of all that follows it."""
    return [crc32(data) for data in _rest(array)]


def sealed(array: Structured) -> list[bytes]:
    """The bytes of each slot, outcome or snapshot of an array (any strides), with its checksum."""
    return [crc32(data).to_bytes(4, "little") + data for data in _rest(array)]


def _rest(array: Structured) -> Iterator[bytes]:
    for (data,) in Struct(f"4x{array.dtype.itemsize - 4}s").iter_unpack(array.tobytes()):
        yield data


def live_crc(live: memoryview) -> int:
    """What the checksum of a head and its state must be."""
    return crc32(live[HEAD_BYTES:], crc32(live[:CRC_AT]))
