"""One HTTP connection at the speed that a load needs: bytes out, status and body back."""

import asyncio
from typing import Self

LOST = (OSError, EOFError, asyncio.IncompleteReadError, TimeoutError)
"""What a request raises whose connection was lost, or never was: it may have been carried out."""


class Connection:
    """A kept-alive connection, opened when it is needed.

    Attributes:
        replayed: whether the last answer was one that had been given before.
    """

    def __init__(self, port: int, limit_s: float = 30.0) -> None:
        self.replayed = False
        self._port = port
        self._limit_s = limit_s
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and read the answer's status and body. Raises LOST."""
        status, _, body = await self.exchange(request)
        return status, body

    async def exchange(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Send a request and read the answer: status, head in lower case, body.

        Raises:
            LOST: there was no answer.
        """
        try:
            async with asyncio.timeout(self._limit_s):
                reader, writer = await self._opened()
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
                body = await reader.readexactly(size)
        except BaseException:
            self.close()
            raise
        self.replayed = b"\r\nidempotency-replayed: true\r\n" in head
        if b"connection: close" in head:
            self.close()
        return int(head[9:12]), head, body

    async def send_and_leave(self, request: bytes) -> None:
        """Send a request and hang up before the answer."""
        try:
            _, writer = await self._opened()
            writer.write(request)
            await writer.drain()
        finally:
            self.close()

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        return self._streams


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """The bytes of a request with a JSON body; underscores in the names of headers stand for hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"content-length: {len(body)}"]
    if body:
        lines.append("content-type: application/json")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def get(port: int, path: str) -> tuple[int, bytes]:
    """One GET on a connection of its own. Raises LOST."""
    async with Connection(port) as connection:
        return await connection.send(request("GET", path))
