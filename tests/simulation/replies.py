"""What a server answers, and its bytes in the second version of the protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Reply: TypeAlias = "bytes | int | Status | list[Reply] | None"


@dataclass(frozen=True, slots=True)
class Status:
    """A simple string, such as OK."""

    text: bytes


OK = Status(b"OK")


class ReplyError(Exception):
    """An error reply; its first word is the code."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text.decode(errors="replace"))
        self.text = text


def encode(reply: Reply | ReplyError) -> bytes:
    """A reply on the wire."""
    match reply:
        case ReplyError():
            return b"-%b\r\n" % reply.text.replace(b"\r", b" ").replace(b"\n", b" ")
        case Status():
            return b"+%b\r\n" % reply.text
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
        case list():
            return b"*%d\r\n" % len(reply) + b"".join(map(encode, reply))


class Requests:
    """Takes the bytes of one connection apart into commands."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[list[bytes]]:
        """The commands that are whole now."""
        self._rest += data
        commands, at = [], 0
        while (found := _command(self._rest, at)) is not None:
            command, at = found
            commands.append(command)
        self._rest = self._rest[at:]
        return commands


def _command(data: bytes, at: int) -> tuple[list[bytes], int] | None:
    """A whole command that begins at a position, and where it ends."""
    end = data.find(b"\r\n", at)
    if end < 0:
        return None
    parts: list[bytes] = []
    count, at = int(data[at + 1 : end]), end + 2
    for _ in range(count):
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(data[at + 1 : end])
        part, at = data[end + 2 : end + 2 + size], end + 4 + size
        if len(data) < at:
            return None
        parts.append(part)
    return parts, at
