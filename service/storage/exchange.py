"""One connection to one server: commands sent back to back, and a reply or a Failure to each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError, ResponseError

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


async def exchange(pool: BlockingConnectionPool, commands: Sequence[Command], deadline: float) -> list[Reply]:
    """Send commands back to back on one connection and read their replies; never raises for what the server does."""
    replies: list[Reply] = []
    sent, connection, reason, silent = False, None, "", False
    try:
        async with asyncio.timeout_at(deadline):
            connection = await pool.get_connection()  # type: ignore[no-untyped-call]
            lines = [line for command in commands for line in ([(b"ASKING",)] * command.asking + [command.args])]
            packed = connection.pack_commands(lines)
            sent = True
            await connection.send_packed_command(packed, check_health=False)
            for command in commands:
                if command.asking:
                    await connection.read_response()
                replies.append(await _reply(connection))
    except TimeoutError:
        reason, silent = "no answer within the time limit", True
    except BusyLoadingError as error:
        replies.append(Failure(sent=False, reason=str(error)))
        reason = str(error)
    except (RedisError, OSError) as error:
        reason = str(error)
    finally:
        if connection is not None:
            await pool.release(connection)
    return replies + [Failure(sent, reason, silent=silent)] * (len(commands) - len(replies))


async def _reply(connection: AbstractConnection) -> Reply:
    try:
        return await connection.read_response()
    except ResponseError as refusal:
        return Failure(sent=False, reason=str(refusal), redirect=refusal)


def open_pool(
    url: str,
    timeout_s: float,
    *,
    connections: int = MAX_CONNECTIONS,
    greeting: Callable[[AbstractConnection], Awaitable[None]] | None = None,
) -> BlockingConnectionPool:
    """Connections to one server, opened as they are needed; `greeting` is exchanged on each new one."""
    return BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=timeout_s,
        socket_timeout=None,  # every exchange has its own deadline
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),  # a command whose reply was lost must not be sent again behind our back
        protocol=2,
        redis_connect_func=greeting,
    )
