"""A proxy before a store that takes down every command that passes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self


class Proxy:
    """Between clients and the Redis server on a loopback port; `commands` holds what they sent, in its order."""

    def __init__(self, server_port: int) -> None:
        self.commands: list[list[bytes]] = []
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed, at the end
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                for pump in (self._record, self._answer):
                    threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _record(self, client: socket.socket, server: socket.socket) -> None:
        pending = b""
        with server:
            while part := _received(client):
                commands, pending = split(pending + part)
                self.commands += commands
                server.sendall(part)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        with client:
            while part := _received(server):
                client.sendall(part)


def _received(connection: socket.socket) -> bytes:
    """What comes next; nothing once the connection is closed."""
    try:
        return connection.recv(1 << 18)
    except OSError:
        return b""


def split(sent: bytes) -> tuple[list[list[bytes]], bytes]:
    """Whole commands, as a client of the Redis protocol sends them, and the beginning of the next."""
    commands: list[list[bytes]] = []
    at = 0
    while True:
        command, end = _command(sent, at)
        if command is None:
            return commands, sent[at:]
        commands.append(command)
        at = end


def _command(sent: bytes, at: int) -> tuple[list[bytes] | None, int]:
    """The command that begins at `at` and where it ends; None while it is not whole."""
    count, at = _number(sent, at)
    parts = []
    for _ in range(count):
        length, at = _number(sent, at)
        if length < 0 or at + length + 2 > len(sent):
            return None, at
        parts.append(sent[at : at + length])
        at += length + 2
    return (parts or None), at


def _number(sent: bytes, at: int) -> tuple[int, int]:
    """That of a line `*2` or `$3`, and where the next line begins; -1 while there is no whole line."""
    end = sent.find(b"\r\n", at)
    return (int(sent[at + 1 : end]), end + 2) if end >= 0 else (-1, at)


def packed(command: Sequence[bytes]) -> bytes:
    """A command as it is sent."""
    return b"*%d\r\n" % len(command) + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in command])
