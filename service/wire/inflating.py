"""Bodies in gzip or zlib, inflated piece by piece; a gzip body may have several members, one after another."""

import zlib
from collections.abc import Iterator

GZIP, ZLIB = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS
"""Kinds of streams, as zlib tells them apart."""
PIECE = 256 * 1024
"""Bytes that are inflated at once."""
TAKEN = 16 * 1024
"""Bytes that are looked at once: what follows a member is copied, and a body may have a great many members."""


class Inflating:
    """Inflates a body as it comes.

    Args:
        window: its kind.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._member = zlib.decompressobj(window)

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What a piece inflates to, in parts of at most PIECE bytes. Raises ValueError: it is no such stream."""
        for at in range(0, len(piece), TAKEN):
            yield from self._feed(piece[at : at + TAKEN])

    def _feed(self, piece: bytes) -> Iterator[bytes]:
        while piece:
            if self._member.eof:
                self._begin_another()
            try:
                yield self._member.decompress(piece, PIECE)
            except zlib.error as error:
                raise ValueError(error) from None
            piece = self._member.unconsumed_tail or self._member.unused_data

    def _begin_another(self) -> None:
        if self._window != GZIP:
            raise ValueError("something follows the stream")
        self._member = zlib.decompressobj(self._window)

    def end(self) -> Iterator[bytes]:
        """What was held back. Raises ValueError: it was cut short."""
        while not self._member.eof:
            plain = self._member.decompress(b"", PIECE)
            if not plain:
                raise ValueError("cut short")
            yield plain
