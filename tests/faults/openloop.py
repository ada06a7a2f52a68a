"""An open-loop load: requests leave when they are due, whether or not those before were answered.

Cheap to send: no task a request, so that the service and not the load is what is measured.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

TICK_S = 0.002


@dataclass(slots=True)
class Tally:
    """What was seen of a load.

    Attributes:
        served_s, refused_s: latencies, from when each request was due.
        bare: refusals without Retry-After.
        unsent: requests that found no connection free.
        lost: requests without an answer.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    served_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    bare: int = 0
    unsent: int = 0
    lost: int = 0


class Sender(asyncio.Protocol):
    """One kept-alive connection with at most one request on its way.

    Args:
        answered: called with this connection, the status, and the head of each answer; status 0 = there is none.
    """

    def __init__(self, answered: Callable[["Sender", int, bytes], None]) -> None:
        self._answered = answered
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = b""
        self.row = -1
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def send(self, row: int, due: float, request: bytes) -> None:
        assert self._transport is not None
        self.row, self.due = row, due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        at = data.find(b"content-length: ", 0, end)
        if end < 0 or len(data) < end + 4 + int(data[at + 16 : data.index(b"\r", at)]):
            self._buffer = data
            return
        self._buffer = b""
        self._answered(self, int(data[9:12]), data[:end])

    def connection_lost(self, exc: Exception | None) -> None:
        if self.row >= 0:
            self._answered(self, 0, b"")

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Posting:
    """Posts to many sessions of one observation, to each one request at a time.

    Attributes:
        acknowledged: the step that each session was acknowledged to stand at.
        unknown: sessions of which a request ended without saying whether it was applied.
    """

    def __init__(self, port: int, sessions: int, seed: int) -> None:
        self._port = port
        self._random = random.Random(seed)
        self._free = list(range(sessions))
        self._idle: list[Sender] = []
        self._until = 0.0
        """Until then each answer is followed by the next request at once."""
        self._on_their_way = 0
        self._all_back: asyncio.Future[None] | None = None
        self.acknowledged = [1] * sessions
        self.unknown: set[int] = set()
        self.tally = Tally()

    async def connect(self, connections: int) -> None:
        """Open connections: so many requests can be on their way at once; one that finds none is not sent."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, sender = await loop.create_connection(lambda: Sender(self._answered), "127.0.0.1", self._port)
            self._idle.append(sender)

    async def closed(self, clients: int, seconds: float) -> Tally:
        """Each client sends its next request when the one before is answered."""
        self.tally = Tally()
        self._until = time.monotonic() + seconds
        for _ in range(clients):
            self._send(self._idle.pop(), time.monotonic())
        await asyncio.sleep(seconds)
        await self._all_answered()
        return self.tally

    async def open(self, rate: float, seconds: float) -> Tally:
        """Requests become due at this rate (per second)."""
        self.tally = Tally()
        begun, count = time.monotonic(), 0
        while (now := time.monotonic()) < begun + seconds:
            while count < (now - begun) * rate:
                if self._idle:
                    self._send(self._idle.pop(), begun + count / rate)
                else:
                    self.tally.unsent += 1
                count += 1
            await asyncio.sleep(TICK_S)
        await self._all_answered()
        return self.tally

    def close(self) -> None:
        for sender in self._idle:
            sender.close()

    async def _all_answered(self) -> None:
        if self._on_their_way:
            self._all_back = asyncio.get_running_loop().create_future()
            await self._all_back

    def _send(self, sender: Sender, due: float) -> None:
        """Post the next observation of a random session that has no request on its way."""
        self._on_their_way += 1
        free = self._free
        at = int(self._random.random() * len(free))
        free[at], free[-1] = free[-1], free[at]
        row = free.pop()
        step = self.acknowledged[row] + 1
        body = b'{"value":%d.5,"step":%d}' % (row % 97 + step % 7, step)
        sender.send(
            row,
            due,
            b"POST /v1/sessions/load-%d/observations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (row, len(body), body),
        )

    def _answered(self, sender: Sender, status: int, head: bytes) -> None:
        now, tally, row = time.monotonic(), self.tally, sender.row
        sender.row = -1
        self._free.append(row)
        if status == 200:
            self.acknowledged[row] += 1
            tally.served_s.append(now - sender.due)
        elif status == 503:
            tally.refused_s.append(now - sender.due)
            tally.bare += b"retry-after:" not in head
        else:
            self.unknown.add(row)
        self._on_their_way -= 1
        if not status:
            tally.lost += 1
        elif now < self._until:
            self._send(sender, now)
        else:
            self._idle.append(sender)
        tally.statuses[status] += status > 0
        if not self._on_their_way and self._all_back is not None and not self._all_back.done():
            self._all_back.set_result(None)
