"""An Arrow IPC stream, read message by message as it arrives, so that nobody can make us hold more than one batch.

What comes from outside is checked before it is touched: lengths before they are allocated (also those of compressed
buffers, which a few bytes may claim), offsets and texts before they are followed.
"""

from collections.abc import Iterator
from struct import Struct, error, unpack_from

import pyarrow as pa
import pyarrow.ipc

from service.wire.problems import MalformedRequest, TooLarge

MESSAGE_LIMIT = 64 * 2**20
"""Bytes of one message, also once its buffers are inflated."""
CONTINUATION = 0xFFFFFFFF
SCHEMA, DICTIONARY, RECORD_BATCH = 1, 2, 3
_PREFIX = Struct("<II")
TOO_LARGE = f"a record batch of the Arrow stream is larger than {MESSAGE_LIMIT} bytes; write smaller ones"
UNSUPPORTED = "the Arrow stream uses what this server cannot read; write plain columns, and no extension of the format"
UNREADABLE = "the body is no Arrow IPC stream, or is damaged"


class ArrowMessages:
    """Takes a stream piece by piece and gives its record batches, as soon as they are whole."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._head = b""
        self._schema: pa.Schema | None = None
        self._has_dictionaries = False
        self._ended = False

    def feed(self, piece: bytes) -> Iterator[pa.RecordBatch]:
        """Raises MalformedRequest or TooLarge: nothing that follows can be read."""
        self._rest += piece
        while (message := self._message()) is not None:
            try:
                batch = self._taken(message)
                if batch is not None:
                    batch.validate(full=True)
            except pa.ArrowNotImplementedError:
                raise MalformedRequest(UNSUPPORTED) from None
            except (pa.ArrowException, OSError):  # what the library calls an input error is an OSError
                raise MalformedRequest(UNREADABLE) from None
            if batch is not None:
                yield batch

    def end(self) -> None:
        """Raises MalformedRequest: the stream was cut, or there was none."""
        if self._rest or self._schema is None:
            raise MalformedRequest("the Arrow stream is cut short" if self._schema else UNREADABLE)

    def _message(self) -> bytes | None:
        """The next message, whole; None while more must arrive."""
        rest = self._rest
        if self._ended and rest:
            raise MalformedRequest("something follows the end of the Arrow stream")
        if len(rest) < _PREFIX.size:
            return None
        continuation, length = _PREFIX.unpack_from(rest)
        if continuation != CONTINUATION:
            raise MalformedRequest(UNREADABLE)
        if not length:
            self._ended = True
            del rest[: _PREFIX.size]
            return self._message()
        if length > MESSAGE_LIMIT:
            raise TooLarge(MESSAGE_LIMIT, TOO_LARGE)
        if len(rest) < _PREFIX.size + length:
            return None
        try:
            body = _Table.root(rest, _PREFIX.size).number(3, "<q")
        except error:
            raise MalformedRequest(UNREADABLE) from None
        if not 0 <= body <= MESSAGE_LIMIT:
            raise TooLarge(MESSAGE_LIMIT, TOO_LARGE)
        whole = _PREFIX.size + length + body
        if len(rest) < whole:
            return None
        with memoryview(rest) as view:
            message = bytes(view[:whole])
        del rest[:whole]
        return message

    def _taken(self, message: bytes) -> pa.RecordBatch | None:
        """The record batch that a message is, if it is one."""
        try:
            kind = _Table.root(message, _PREFIX.size).number(1, "<B")
            if kind in (DICTIONARY, RECORD_BATCH):
                _require_small(message, kind)
        except error:
            raise MalformedRequest(UNREADABLE) from None
        if kind == SCHEMA and self._schema is None:
            self._head, self._schema = message, pa.ipc.read_schema(pa.py_buffer(message))
        elif kind == DICTIONARY and self._schema is not None:
            self._head, self._has_dictionaries = self._head + message, True
            if len(self._head) > MESSAGE_LIMIT:
                raise TooLarge(MESSAGE_LIMIT, TOO_LARGE)
        elif kind == RECORD_BATCH and self._schema is not None:
            if self._has_dictionaries:
                return pa.ipc.open_stream(pa.py_buffer(self._head + message)).read_next_batch()
            return pa.ipc.read_record_batch(pa.ipc.read_message(pa.py_buffer(message)), self._schema)
        else:
            raise MalformedRequest(UNREADABLE)
        return None


def _require_small(message: bytes, kind: int) -> None:
    """Raises TooLarge where the buffers of a batch would be inflated to more than a message may have."""
    batch = _Table.root(message, _PREFIX.size).table(2)
    if kind == DICTIONARY:
        batch = batch.table(1) if batch is not None else None
    if batch is None or batch.table(3) is None:
        return
    start = _PREFIX.size + _PREFIX.unpack_from(message)[1]
    inflated = 0
    for offset, length in batch.pairs(2):
        if length >= 8:
            inflated += max(unpack_from("<q", message, start + offset)[0], 0)
    if inflated > MESSAGE_LIMIT:
        raise TooLarge(MESSAGE_LIMIT, TOO_LARGE)


class _Table:
    """A table of a flatbuffer, a few fields of which are looked at. Raises struct.error: there is no such place."""

    def __init__(self, data: bytes | bytearray, at: int) -> None:
        self._data = data
        self._at = at
        self._fields = at - self._read("<i", at)

    @classmethod
    def root(cls, data: bytes | bytearray, start: int) -> "_Table":
        return cls(data, start + cls._at_least_zero(unpack_from("<I", data, start)[0]))

    def number(self, field: int, form: str) -> int:
        at = self._place(field)
        return self._read(form, at) if at else 0

    def table(self, field: int) -> "_Table | None":
        at = self._place(field)
        return _Table(self._data, at + self._read("<I", at)) if at else None

    def pairs(self, field: int) -> Iterator[tuple[int, int]]:
        """A vector of structs of two 64-bit numbers."""
        at = self._place(field)
        if at:
            at += self._read("<I", at)
            for index in range(self._read("<I", at)):
                yield self._read("<q", at + 4 + 16 * index), self._read("<q", at + 12 + 16 * index)

    def _place(self, field: int) -> int:
        """Where a field stands; 0 = it was left out."""
        if 4 + 2 * field >= self._read("<H", self._fields):
            return 0
        offset = self._read("<H", self._fields + 4 + 2 * field)
        return self._at + offset if offset else 0

    def _read(self, form: str, at: int) -> int:
        number: int = unpack_from(form, self._data, self._at_least_zero(at))[0]
        return number

    @staticmethod
    def _at_least_zero(at: int) -> int:
        if at < 0:
            raise error("before the beginning")
        return at
