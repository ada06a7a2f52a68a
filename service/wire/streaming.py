"""A request's body that is read while it is answered, without its content coding and in flat memory."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterator

from starlette.types import Receive

from service.wire.exchange import ClientGone, RawHeaders, text
from service.wire.headers import GZIP_WINDOW, require_known_coding
from service.wire.problems import MalformedRequest, RequestTimeout

PIECE = 256 * 1024
"""Bytes that are inflated at once."""


async def pieces(receive: Receive, headers: RawHeaders, *, timeout_s: float) -> AsyncIterator[bytes]:
    """The body as it comes.

    Args:
        timeout_s: how long the client may be silent.
    Raises:
        RequestTimeout: it was silent for longer.
        MalformedRequest, UnsupportedMediaType: it is not the gzip stream that it is declared to be, or another coding.
        ClientGone: it will never be whole.
    """
    inflating = _Inflating() if require_known_coding(text(headers, b"content-encoding")) else None
    while True:
        try:
            async with asyncio.timeout(timeout_s):
                message = await receive()
        except TimeoutError:
            raise RequestTimeout(f"nothing arrived for {timeout_s:g} s") from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece: bytes = message.get("body", b"")
        for plain in (piece,) if inflating is None else inflating.feed(piece):
            if plain:
                yield plain
        if not message.get("more_body"):
            break
    for plain in () if inflating is None else inflating.end():
        yield plain


class _Inflating:
    def __init__(self) -> None:
        self._member = zlib.decompressobj(GZIP_WINDOW)

    def feed(self, piece: bytes) -> Iterator[bytes]:
        while piece:
            if self._member.eof:
                raise MalformedRequest("something follows the gzip body")
            try:
                yield self._member.decompress(piece, PIECE)
            except zlib.error:
                raise MalformedRequest("the body is not gzip, as its Content-Encoding says") from None
            piece = self._member.unconsumed_tail or self._member.unused_data

    def end(self) -> Iterator[bytes]:
        """What was held back. Raises MalformedRequest where the body was cut short."""
        while not self._member.eof:
            plain = self._member.decompress(b"", PIECE)
            if not plain:
                raise MalformedRequest("the gzip body is cut short")
            yield plain
