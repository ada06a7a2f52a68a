"""A client that costs little beside what it measures: one connection, a request at a time."""

from __future__ import annotations

import re
import socket
import time
from types import TracebackType
from typing import NamedTuple, Self

LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


class Answer(NamedTuple):
    """What was answered, and how long it took."""

    seconds: float
    body: bytes


class Connection:
    """A kept-alive connection to a server on loopback."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def call(self, method: str, path: str, body: str) -> Answer:
        """Send a JSON body, and read the answer. Raises RuntimeError: it was refused."""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        request = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
        began = time.perf_counter()
        self._socket.sendall(request)
        answer = self._answer()
        took = time.perf_counter() - began
        if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
            raise RuntimeError(f"{method} {path} was refused: {answer.decode()}")
        return Answer(took, answer.partition(b"\r\n\r\n")[2])

    def _answer(self) -> bytes:
        received = b""
        while True:
            part = self._socket.recv(1 << 16)
            if not part:
                raise RuntimeError("the server closed the connection")
            received += part
            head, end, body = received.partition(b"\r\n\r\n")
            length = LENGTH.search(head)
            if end and length and len(body) >= int(length[1]):
                return received
