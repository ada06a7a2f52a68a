"""A stream by tasks: one takes the rows and sends them, the caller's reads what becomes of them."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from contextlib import AsyncExitStack

from websockets.asyncio.client import ClientConnection, connect

from hiddenstate.answers.batches import BatchOutcome
from hiddenstate.sending.shapes import BatchObservation
from hiddenstate.sending.streaming import BROKEN, CONNECTION, Streaming

Rows = AsyncIterable[BatchObservation]


async def outcomes(core: Streaming, rows: Rows, headers: Mapping[str, str]) -> AsyncGenerator[BatchOutcome, None]:
    """What becomes of the rows. Raises what `core` does, and what taking the rows raises, after their outcomes."""
    feed = _Feed(core, rows, headers)
    try:
        async for outcome in feed.outcomes():
            yield outcome
    finally:
        await feed.stop()


class _Feed:
    """Whoever sends holds `_sending`, so that a new connection begins with what has no outcome."""

    def __init__(self, core: Streaming, rows: Rows, headers: Mapping[str, str]) -> None:
        self._core = core
        self._rows = rows
        self._headers = headers
        self._sending = asyncio.Lock()
        self._changed = asyncio.Event()
        self._opened = AsyncExitStack()
        self._connection: ClientConnection | None = None
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None

    async def outcomes(self) -> AsyncIterator[BatchOutcome]:
        connection = await self._connected(None)
        self._task = asyncio.create_task(self._feed(), name="hiddenstate stream")
        while not self._core.is_done:
            try:
                line = await connection.recv()
            except BROKEN as error:
                if not self._core.is_done:
                    connection = await self._connected(error)
                continue
            outcome = self._core.take(line, time.monotonic())
            self._changed.set()
            if self._core.must_reconnect:
                connection = await self._connected(None)
            if outcome is not None:
                yield outcome
        if self._error is not None:
            raise self._error

    async def stop(self) -> None:
        """Take no more rows."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        await self._opened.aclose()

    async def _connected(self, error: Exception | None) -> ClientConnection:
        """Another connection, over which all that has no outcome was sent; `error`: what the last one ended with."""
        async with self._sending:
            while True:
                await self._opened.aclose()
                if error is not None or self._core.was_connected:
                    await asyncio.sleep(self._core.wait_s(error, time.monotonic()))
                try:
                    opening = connect(self._core.address, additional_headers=self._headers, **CONNECTION)
                    connection = await self._opened.enter_async_context(opening)
                    self._connection = connection
                    for line in self._core.opened():
                        await connection.send(line)
                    self._changed.set()
                    return connection
                except BROKEN as failed:
                    error = failed

    async def _feed(self) -> None:
        try:
            async for row in self._rows:
                await self._send(row)
        except Exception as error:
            self._error = error
        self._core.has_ended = True
        if self._core.is_done and self._connection is not None:
            await self._connection.close()  # nobody answers any more: it wakes whoever reads

    async def _send(self, row: BatchObservation) -> None:
        while not self._core.has_room(row):
            self._changed.clear()
            await self._changed.wait()
        async with self._sending:
            line = self._core.add(row)
            assert self._connection is not None, "rows are taken once it is open"
            try:
                await self._connection.send(line)
            except Exception:
                await self._connection.close()  # it is sent over the next one
