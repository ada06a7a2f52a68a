"""A request's body that is read while it is answered, without its content coding and in flat memory."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from starlette.types import Receive

from service.wire.exchange import ClientGone, RawHeaders, text
from service.wire.headers import require_known_coding
from service.wire.inflating import GZIP, Inflating
from service.wire.problems import MalformedRequest, RequestTimeout

AHEAD = 2 * 2**20
"""Bytes that are read before those that came earlier are worked off."""


async def pieces(receive: Receive, headers: RawHeaders, *, timeout_s: float) -> AsyncIterator[bytes]:
    """The body as it comes.

    Args:
        timeout_s: how long the client may be silent.
    Raises:
        RequestTimeout: it was silent for longer.
        MalformedRequest, UnsupportedMediaType: it is not the gzip stream that it is declared to be, or another coding.
        ClientGone: it will never be whole.
    """
    inflating = Inflating(GZIP) if require_known_coding(text(headers, b"content-encoding")) else None
    while True:
        try:
            async with asyncio.timeout(timeout_s):
                message = await receive()
        except TimeoutError:
            raise RequestTimeout(f"nothing arrived for {timeout_s:g} s") from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece: bytes = message.get("body", b"")
        for plain in (piece,) if inflating is None else _inflated(inflating.feed(piece)):
            if plain:
                yield plain
        if not message.get("more_body"):
            break
    for plain in () if inflating is None else _inflated(inflating.end()):
        yield plain


def _inflated(parts: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from parts
    except ValueError:
        raise MalformedRequest("the body is not gzip, as its Content-Encoding says, or is cut short") from None


class ReadAhead:
    """Pieces of a body, read while earlier ones are worked off: whatever has arrived meanwhile is taken at once.

    Args:
        least: bytes to wait for, unless the body ends before; 1 where the client may wait for answers to send the rest.
    """

    def __init__(self, least: int) -> None:
        self._least = least
        self._held = bytearray()
        self._ended = False
        self._error: Exception | None = None
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def of(cls, body: AsyncIterator[bytes], *, is_measured: bool) -> "AsyncIterator[ReadAhead]":
        """Reads until the block is left.

        Args:
            is_measured: the client has said how much it sends, so that all of it will come: then as much as can be is
                taken at once, because rows of one session that are taken together share a commit.
        """
        ahead = cls(AHEAD if is_measured else 1)
        task = asyncio.get_running_loop().create_task(ahead._read(body), name="read ahead")
        try:
            yield ahead
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def take(self) -> bytes | None:
        """What has arrived, once anything has; None at the end. Raises what reading raised, after what came before."""
        while len(self._held) < self._least and not self._ended and self._error is None:
            self._news.clear()
            await self._news.wait()
        if not self._held:
            if self._error is not None:
                raise self._error
            return None
        taken = bytes(self._held)
        self._held.clear()
        self._room.set()
        return taken

    def end(self) -> None:
        """Read no more; what was read is still taken."""
        self._ended = True
        self._news.set()

    async def _read(self, body: AsyncIterator[bytes]) -> None:
        try:
            async for piece in body:
                self._held += piece
                self._news.set()
                while len(self._held) >= AHEAD:
                    self._room.clear()
                    await self._room.wait()
            self._ended = True
        except Exception as error:
            self._error = error
        self._news.set()
