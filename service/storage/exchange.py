"""Connections to one server: commands sent back to back, and a reply or a Failure to each.

A connection is opened by redis-py, which knows addresses, TLS, passwords and databases; what then comes and goes on it
is ours. A wave is one write and one reply, for which streams made for every other case are too dear.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from service.storage.resp import ProtocolError, Replies, packed

MAX_CONNECTIONS = 64
"""For each server. A wave needs one; the rest are for whole records and the index. One fsync answers all that came
during the one before, but what waits here for a connection comes later."""
MAX_PROBES = 2
"""Connections for questions about a server itself: they must not queue behind calls that hang."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command; `key` decides which server runs it. `script`: the source behind an EVALSHA."""

    key: bytes
    args: tuple[bytes, ...]
    script: bytes = b""
    asking: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """No reply. `sent`: the command may have been run. `silent`: there was none within the time limit."""

    sent: bool
    reason: str
    redirect: RedisError | None = None
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """The command was run, and what it wrote did not arrive in time where it must."""

    reply: bytes


Reply = Any
"""What the server answered (bytes, int, list), or a Failure, or, where there is a wait, Unconfirmed."""


class Line(asyncio.Protocol):
    """One connection, for one exchange at a time. An exchange that was not finished leaves it closed."""

    def __init__(self, greeted: AbstractConnection) -> None:
        assert greeted._writer is not None
        self._greeted = greeted  # keeps its streams, which would otherwise close the transport
        self._transport: asyncio.WriteTransport = greeted._writer.transport
        self._transport.set_protocol(self)
        self._replies = Replies(self._took)
        self._expected = 0
        self._answered: asyncio.Future[None] | None = None
        self.replies: list[Reply] = []
        """Of the latest exchange, as far as they have come."""

    @property
    def is_usable(self) -> bool:
        return self._answered is None and not self._transport.is_closing()

    async def ask(self, data: bytes, replies: int, deadline: float) -> None:
        """Send commands and wait for their replies.

        Raises:
            TimeoutError, ConnectionError: not all have come.
        """
        loop = asyncio.get_running_loop()
        self.replies = []
        self._expected = replies
        self._answered = answered = loop.create_future()
        timer = loop.call_at(deadline, self._give_up)
        self._transport.write(data)
        try:
            await answered
        finally:
            timer.cancel()
        self._answered = None

    def close(self) -> None:
        self._transport.abort()
        self._greeted._writer = self._greeted._reader = None

    def data_received(self, data: bytes) -> None:
        try:
            self._replies.feed(data)
        except (ProtocolError, ValueError) as error:
            self._fail(ProtocolError(str(error)))

    def eof_received(self) -> None:
        """The transport closes itself."""

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error if isinstance(error, OSError) else ConnectionError("the server closed the connection"))

    def _took(self, reply: Reply) -> None:
        if self._answered is None or self._answered.done():
            self._transport.abort()  # nobody has asked: what comes next would be taken for another answer
            return
        self.replies.append(reply)
        if len(self.replies) == self._expected:
            self._answered.set_result(None)

    def _give_up(self) -> None:
        self._fail(TimeoutError("no answer within the time limit"))

    def _fail(self, error: OSError) -> None:
        self._transport.abort()
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)


class Lines:
    """Connections to one server, opened as they are needed and kept.

    Args:
        greeting: is exchanged on each new one.
    """

    def __init__(
        self,
        url: str,
        timeout_s: float,
        *,
        connections: int = MAX_CONNECTIONS,
        greeting: Callable[[AbstractConnection], Awaitable[None]] | None = None,
    ) -> None:
        # Only makes connections; those that are open are kept here.
        self._maker = ConnectionPool.from_url(
            url,
            socket_timeout=None,  # every exchange has its own deadline
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            redis_connect_func=greeting,
        )
        self._turn = asyncio.Semaphore(connections)
        self._idle: list[Line] = []
        self.in_use = 0

    @property
    def is_ready(self) -> bool:
        """Whether `take` has nothing to wait for."""
        return self._has_idle() and not self._turn.locked()

    async def take(self) -> Line:
        """An open connection, to be given back. Raises RedisError or OSError."""
        await self._turn.acquire()
        try:
            line = self._idle.pop() if self._has_idle() else await self._opened()
        except BaseException:
            self._turn.release()
            raise
        self.in_use += 1
        return line

    def give_back(self, line: Line) -> None:
        self.in_use -= 1
        if line.is_usable:
            self._idle.append(line)
        else:
            line.close()
        self._turn.release()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _has_idle(self) -> bool:
        while self._idle and not self._idle[-1].is_usable:
            self._idle.pop().close()
        return bool(self._idle)

    async def _opened(self) -> Line:
        connection: AbstractConnection = self._maker.make_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return Line(connection)


async def exchange(lines: Lines, commands: Sequence[Command], deadline: float) -> list[Reply]:
    """Send commands back to back on one connection and read their replies; never raises for what the server does."""
    replies: list[Reply] = []
    sent, line, reason, silent = False, None, "", False
    try:
        if lines.is_ready:
            line = await lines.take()
        else:
            async with asyncio.timeout_at(deadline):
                line = await lines.take()
        asked = [arguments for command in commands for arguments in _arguments(command)]
        data = packed(asked)
        sent = True
        await line.ask(data, len(asked), deadline)
    except TimeoutError:
        reason, silent = "no answer within the time limit", True
    except (RedisError, OSError) as error:
        reason = str(error)
    finally:
        if line is not None:
            replies = line.replies if sent else []
            lines.give_back(line)
    replies = [_told(reply) for reply in replies]
    if any(command.asking for command in commands):
        replies = _without_asking(commands, replies)
    return replies + [Failure(sent, reason, silent=silent)] * (len(commands) - len(replies))


def _arguments(command: Command) -> list[tuple[bytes, ...]]:
    return [(b"ASKING",), command.args] if command.asking else [command.args]


def _without_asking(commands: Sequence[Command], replies: Sequence[Reply]) -> list[Reply]:
    left = iter(replies)
    found = []
    for command in commands:
        told = list(zip(_arguments(command), left, strict=False))
        if len(told) == 1 + command.asking:
            found.append(told[-1][1])
    return found


def _told(reply: Reply) -> Reply:
    """A reply, or the Failure that a refusal is: what the server refused it has not run."""
    if not isinstance(reply, RedisError):
        return reply
    return Failure(sent=False, reason=str(reply), redirect=reply if isinstance(reply, ResponseError) else None)
