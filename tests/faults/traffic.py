"""Clients that post series observation by observation, and send again whatever was not acknowledged."""

import asyncio
import random
import time
from collections.abc import Sequence

import orjson

from tests.faults.series import Series
from tests.faults.wire import LOST, Connection

LEAVES = 0.005
"""Share of the requests whose client hangs up before the answer and sends the same again."""
PAUSE_S = 0.1
"""Before a client sends again."""


class Traffic:
    """Posts each series in order, many at a time, until all is acknowledged.

    Attributes:
        acknowledged, lost, refused, left: answers; requests without one; those to be sent again later; hung up on.
        slowest_s: the longest that any request took.
        wrong: what was wrong with answers.
    """

    def __init__(self, port: int, series: Sequence[Series], *, connections: int, seed: int) -> None:
        self._port = port
        self._connections = connections
        self._random = random.Random(seed)
        self._ready = [one for one in series if len(one)]
        self._in_flight = 0
        self.acknowledged = self.lost = self.refused = self.left = 0
        self.slowest_s = 0.0
        self.wrong: list[str] = []
        self._awaited: dict[int, asyncio.Event] = {}

    async def run(self) -> None:
        """Until every observation is acknowledged."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._connections):
                group.create_task(self._client())

    async def until(self, acknowledged: int) -> None:
        """Until so many observations are acknowledged. One caller waits for one number."""
        if self.acknowledged < acknowledged:
            reached = self._awaited[acknowledged] = asyncio.Event()
            await reached.wait()

    async def _client(self) -> None:
        async with Connection(self._port) as connection:
            while self._ready or self._in_flight:
                if not self._ready:
                    await asyncio.sleep(0.01)
                    continue
                series = self._taken()
                try:
                    await self._deliver(connection, series)
                finally:
                    self._in_flight -= 1
                if series.acknowledged < len(series):
                    self._ready.append(series)

    def _taken(self) -> Series:
        """A random series of those that nobody is posting."""
        row = self._random.randrange(len(self._ready))
        self._ready[row], self._ready[-1] = self._ready[-1], self._ready[row]
        self._in_flight += 1
        return self._ready.pop()

    async def _deliver(self, connection: Connection, series: Series) -> None:
        """Send the next observation until it is acknowledged."""
        request = series.next_request()
        while True:
            try:
                if self._random.random() < LEAVES:
                    self.left += 1
                    await connection.send_and_leave(request)
                    continue
                status, body = await self._timed(connection, request)
            except LOST:
                self.lost += 1
                await asyncio.sleep(PAUSE_S)
                continue
            if status in (200, 201):
                self.acknowledged += 1
                if reached := self._awaited.pop(self.acknowledged, None):
                    reached.set()
                if fault := series.acknowledge(body):
                    self.wrong.append(fault)
                return
            if not orjson.loads(body)["retryable"]:
                raise AssertionError(f"{series.session} was refused: {status} {body.decode()}")
            self.refused += 1
            await asyncio.sleep(PAUSE_S)

    async def _timed(self, connection: Connection, request: bytes) -> tuple[int, bytes]:
        begun = time.monotonic()
        try:
            return await connection.send(request)
        finally:
            self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
