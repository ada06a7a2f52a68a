"""The Redis protocol (RESP2): commands as bytes, and replies from bytes as they arrive."""

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

Steps = Generator[None, None, Any]
"""Goes on each time that more bytes have arrived."""
REFUSALS: dict[str, Callable[[str], RedisError]] = {
    "ASK": AskError,
    "CLUSTERDOWN": ClusterDownError,
    "LOADING": BusyLoadingError,
    "MASTERDOWN": MasterDownError,
    "MOVED": MovedError,
    "NOSCRIPT": NoScriptError,
    "READONLY": ReadOnlyError,
}
"""What a server says by the first word of an error; all others are a ResponseError."""


class _Lengths(dict[int, bytes]):
    """The lines that announce so many bytes, by their number; few are ever used."""

    def __missing__(self, length: int) -> bytes:
        if len(self) > LENGTHS_KEPT:
            self.clear()
        line = self[length] = b"\r\n$%d\r\n" % length
        return line


LENGTHS_KEPT = 4096
_announced = _Lengths()


def packed(commands: Iterable[Sequence[bytes]]) -> bytes:
    """Commands as they are sent, back to back."""
    parts: list[bytes] = []
    for arguments in commands:
        parts.append(b"*%d" % len(arguments))
        parts += [part for argument in arguments for part in (_announced[len(argument)], argument)]
        parts.append(b"\r\n")
    return b"".join(parts)


class ProtocolError(ConnectionError):
    """What arrived is no reply of a Redis server."""


class Replies:
    """Cuts the bytes of a connection into replies, whatever pieces they come in.

    Args:
        took: is given each reply; a refusal is an error, given and not raised.
    """

    def __init__(self, took: Callable[[Any], None]) -> None:
        self._took = took
        self._bytes = bytearray()
        self._at = 0
        self._steps = self._all()
        next(self._steps)

    def feed(self, data: bytes) -> None:
        """Raises ProtocolError; after that nothing more can be read."""
        self._bytes += data
        self._steps.send(None)

    def _all(self) -> Steps:
        while True:
            reply = yield from self._reply()
            self._took(reply)
            if self._at == len(self._bytes):
                self._bytes.clear()
                self._at = 0

    def _reply(self) -> Steps:
        line = yield from self._line()
        kind, rest = line[:1], line[1:]
        match kind:
            case b"$":
                return (yield from self._bulk(int(rest)))
            case b"*":
                replies = []
                for _ in range(int(rest)):
                    replies.append((yield from self._reply()))
                return None if rest == b"-1" else replies
            case b":":
                return int(rest)
            case b"+":
                return rest
            case b"-":
                return _refusal(rest.decode(errors="replace"))
        raise ProtocolError("the server does not speak the Redis protocol")

    def _line(self) -> Steps:
        while (end := self._bytes.find(b"\r\n", self._at)) < 0:
            yield
        line = bytes(self._bytes[self._at : end])
        self._at = end + 2
        return line

    def _bulk(self, length: int) -> Steps:
        if length < 0:
            return None
        start, end = self._at, self._at + length
        while len(self._bytes) < end + 2:
            yield
        with memoryview(self._bytes) as view:
            data = bytes(view[start:end])
        self._at = end + 2
        return data


def _refusal(text: str) -> RedisError:
    word, _, rest = text.partition(" ")
    return REFUSALS[word](rest) if word in REFUSALS else ResponseError(text)
