"""A network in front of a server that goes wrong on purpose, at the boundaries of commands and replies."""

import asyncio
import random
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from enum import Enum

CHUNK = 65536

Split = Callable[[asyncio.StreamReader], AsyncIterator[bytes]]
"""How a stream is split into commands, or replies."""


class Fault(Enum):
    """What becomes of one command, and with it of its connection."""

    LOST_REPLY = "lost reply"
    """It is run; its reply is swallowed, and the connection is closed."""
    CUT_REPLY = "cut reply"
    """It is run; half of its reply arrives, and the connection is closed."""
    RESET_BEFORE = "reset before"
    """It does not reach the server; the connection is reset."""
    RESET_AFTER = "reset after"
    """It reaches the server; the connection is reset at once."""
    BLACKHOLE = "blackhole"
    """It does not reach the server, and nothing comes back on this connection any more."""


class Proxy:
    """Forwards connections to a server on this machine.

    Attributes:
        split: how it tells commands, and replies, apart.
        chances: of each fault, for every command that `aims_at` names.
        aims_at: which commands, as they are on the wire, may be hit.
        latency_s: before each piece, in either direction, is passed on.
        bytes_per_s: in each direction of each connection; None = as fast as it goes.
        dealt: how many commands each fault has hit.
        open: connections of clients.
    """

    def __init__(self, upstream: int, *, seed: int, split: Split) -> None:
        self.port = 0
        self.split = split
        self.chances: Mapping[Fault, float] = {}
        self.aims_at: Callable[[bytes], bool] = lambda command: True
        self.latency_s = 0.0
        self.bytes_per_s: float | None = None
        self.dealt: Counter[Fault] = Counter()
        self.open = 0
        self._upstream = upstream
        self._random = random.Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()

    def draw(self, command: bytes) -> Fault | None:
        """What becomes of a command."""
        if not self.chances or not self.aims_at(command):
            return None
        number = self._random.random()
        for fault, chance in self.chances.items():
            if number < chance:
                self.dealt[fault] += 1
                return fault
            number -= chance
        return None

    async def pass_on(self, data: bytes, to: asyncio.StreamWriter) -> None:
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        if self.bytes_per_s is not None:
            await asyncio.sleep(len(data) / self.bytes_per_s)
        to.write(data)
        await to.drain()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client, to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.open += 1
        try:
            with suppress(OSError, asyncio.CancelledError):  # the task ends here in any case
                await _Relay(self, reader, writer).run(self._upstream)
        finally:
            self.open -= 1
            writer.close()
            self._tasks.discard(task)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def proxy(upstream: int, *, seed: int, split: Split | None = None) -> AsyncIterator[Proxy]:
    """A proxy in front of a port of this machine, which speaks RESP unless it is split otherwise."""
    started = Proxy(upstream, seed=seed, split=split or frames)
    listener = await asyncio.start_server(started.serve, "127.0.0.1", 0, limit=CHUNK)
    started.port = listener.sockets[0].getsockname()[1]
    try:
        yield started
    finally:
        listener.close()
        await started.close()


class _Relay:
    """One connection: commands one way, replies the other, and the fault that each command has drawn."""

    def __init__(self, network: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._network = network
        self._reader, self._writer = reader, writer
        self._awaited: deque[Fault | None] = deque()

    async def run(self, upstream: int) -> None:
        replies, server = await asyncio.open_connection("127.0.0.1", upstream, limit=CHUNK)
        ways = [asyncio.create_task(self._commands(server)), asyncio.create_task(self._replies(replies))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            server.close()

    async def _commands(self, server: asyncio.StreamWriter) -> None:
        async for command in self._network.split(self._reader):
            fault = self._network.draw(command)
            if fault is Fault.RESET_BEFORE:
                self._writer.transport.abort()
                return
            if fault is Fault.BLACKHOLE:
                await self._reader.read()  # until the client gives up
                return
            self._awaited.append(fault)
            await self._network.pass_on(command, server)
            if fault is Fault.RESET_AFTER:
                self._writer.transport.abort()
                return

    async def _replies(self, replies: asyncio.StreamReader) -> None:
        async for reply in self._network.split(replies):
            fault = self._awaited.popleft()
            if fault is Fault.LOST_REPLY:
                return
            if fault is Fault.CUT_REPLY:
                await self._network.pass_on(reply[: len(reply) // 2], self._writer)
                return
            await self._network.pass_on(reply, self._writer)


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The values of a RESP stream, one at a time, each as its bytes."""
    buffer = b""
    while data := await reader.read(CHUNK):
        buffer += data
        at = 0
        while (end := end_of_value(buffer, at)) is not None:
            yield buffer[at:end]
            at = end
        buffer = buffer[at:]


def end_of_value(buffer: bytes, at: int) -> int | None:
    """Where the RESP value ends that begins at `at`; None = not all of it is there."""
    line = buffer.find(b"\r\n", at)
    if line < 0:
        return None
    kind, end = buffer[at : at + 1], line + 2
    if kind == b"$":
        size = int(buffer[at + 1 : line])
        if size >= 0:
            end += size + 2
        return end if end <= len(buffer) else None
    if kind == b"*":
        for _ in range(int(buffer[at + 1 : line])):
            item = end_of_value(buffer, end)
            if item is None:
                return None
            end = item
    return end
