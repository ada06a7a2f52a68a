"""Requests that the connection itself answers: no scope, no task, no coroutine; one write an answer.

The server's own way to an application costs as much as all else that is done for such a request.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, ClassVar, Protocol

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.wire.exchange import Headers, RawHeaders, header_lines, identity, problem_answer
from service.wire.problems import ServiceError

IDS_DRAWN = 512
"""Request ids that are made at once: a system call for each costs more than all else about it."""


class Target(msgspec.Struct, frozen=True):
    """What a request's first line asks for: the session whose observations it posts to, and the query."""

    session: str
    query: bytes


class Exchange(msgspec.Struct, eq=False):
    """One request of a connection, and its answer.

    For the server below it stands where its own kind of exchange would, so that what it does with those holds for this
    one too: requests that arrive before the answer to the one before wait for it, and a stop lets it be answered.

    Attributes:
        given: the request's headers.
        repeated: all of them as they came, where one was given twice.
        end: writes the answer: this exchange, the status, lines of headers, the body.
        left: called where the client is gone, once the request has been begun.
        begun: when it was known what is asked for, on `perf_counter`.
        names: the headers that name it, on its answer; none before it is taken up.
        span: its part of a trace, where there is one.
        keep_alive, more_body, response_complete, disconnected, message_event: what the server reads and sets.
    """

    target: Target
    given: RawHeaders
    repeated: Headers | None
    keep_alive: bool
    end: Callable[["Exchange", int, bytes, bytes], None]
    body: bytes | bytearray = msgspec.field(default_factory=bytearray)
    left: Callable[[], None] | None = None
    more_body: bool = True
    response_complete: bool = False
    disconnected: bool = False
    begun: float = msgspec.field(default_factory=perf_counter)
    names: Headers = msgspec.field(default_factory=list)
    span: Any = None
    message_event: ClassVar = asyncio.Event()  # nobody waits for more of the body

    def answer(self, status: int, lines: bytes, body: bytes) -> None:
        """End it.

        Args:
            lines: headers beside those of every answer, each with its end of line.
        """
        self.end(self, status, lines, body)

    def refuse(self, error: ServiceError, names: Headers) -> None:
        """End it with a problem."""
        status, headers, body = problem_answer(error, names)
        self.end(self, status, header_lines(headers), body)


def problem_bytes(error: ServiceError, headers: Headers) -> bytes:
    """A problem as a whole answer; its instance is the request id among the headers."""
    status, headers, body = problem_answer(error, headers)
    return b"%b%bcontent-length: %d\r\n\r\n%b" % (STATUS_LINE[status], header_lines(headers), len(body), body)


class Direct(Protocol):
    """The application, as a connection sees it."""

    @property
    def closing(self) -> bool:
        """Whether each answer is the last one on its connection."""
        ...

    @property
    def body_limit(self) -> int:
        """Bytes of a request's body."""
        ...

    @property
    def is_full(self) -> Callable[[], bool]:
        """Whether there is no room for one more request of the kind that `begin` answers."""
        ...

    def turns_away(self, method: bytes, url: bytes) -> bool:
        """Where it is full: whether a request is of that kind and refused, by its first line alone."""
        ...

    def target(self, method: bytes, url: bytes) -> Target | None:
        """What a request asks for that `begin` answers; None = it is left to the framework."""
        ...

    def begin(self, exchange: Exchange) -> None:
        """Take up a request that is whole. It is answered now or later, unless the client leaves."""
        ...

    def answered(self, exchange: Exchange, status: int) -> None:
        """Hear that a request that was taken up is answered, whether or not anybody still listens."""

    def turned_away(self) -> None:
        """Hear that a request was refused by its first line, because all is full."""

    def unread(self, problem: ServiceError, names: Headers) -> None:
        """Hear that a connection was refused before there was a whole request; `names` are those of the answer."""


def named(given: RawHeaders) -> Headers:
    """The headers that name an exchange, on every answer."""
    return identity(given, made_id())


def made_id() -> bytes:
    """A request's id where the client gave none."""
    return next(_ids)


def _drawn() -> Iterator[bytes]:
    while True:
        digits = os.urandom(8 * IDS_DRAWN).hex().encode()
        yield from (digits[at : at + 16] for at in range(0, len(digits), 16))


_ids = _drawn()
