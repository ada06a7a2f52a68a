"""Clients that hold a position: each request carries the ETag of the last answer, so that nothing is lost unseen."""

import asyncio
import time
from collections.abc import Sequence
from itertools import cycle
from typing import Any

import orjson

from tests.faults.series import Series, same
from tests.faults.wire import LOST, Connection, request

PAUSE_S = 0.2
"""Before a client sends again."""
SLOWEST_S = 30.0
"""No request may take longer: the service's deadline, and what a busy machine adds."""


class Chain:
    """One client of one session, which it posts to by turns through each service.

    Attributes:
        acknowledgements: how many answers there were, those to observations sent again after a loss included.
        lost: acknowledged observations that a `state-regressed` or `session-not-found` reported as gone.
        wrong: what was wrong with answers.
        slowest_s: the longest that any request took.
    """

    def __init__(self, series: Series, ports: Sequence[int]) -> None:
        self.series = series
        self.acknowledgements = self.lost = self.retried = 0
        self.slowest_s = 0.0
        self.wrong: list[str] = []
        self._answered = 0
        self._etag: str | None = None
        self._connections = [Connection(port) for port in ports]
        self._turns = cycle(self._connections)

    async def run(self, pace_s: float, stop: asyncio.Event) -> None:
        """Post an observation every `pace_s` seconds at most, until told to stop."""
        turn = time.monotonic()
        while not stop.is_set():
            await self.advance()
            turn = max(turn + pace_s, time.monotonic())
            await asyncio.sleep(turn - time.monotonic())

    async def finish(self, length: int) -> None:
        """Post until the session holds so many observations."""
        while self.series.acknowledged < length:
            await self.advance()

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    async def advance(self) -> None:
        """Send the next observation until it is acknowledged, or until earlier ones turn out to be lost."""
        series, index = self.series, self.series.acknowledged
        path = series.path if self._etag else f"{series.path}?create=true"
        headers = {"if_match": f'"{self._etag}"'} if self._etag else {}
        body = orjson.dumps(series.observation(index))
        status, answer = await self._settled(request("POST", path, body, **headers))
        if status in (200, 201):
            self._acknowledge(answer)
        elif answer["type"] in ("/problems/state-regressed", "/problems/session-not-found"):
            await self._stand_where_the_store_does()
        else:
            raise AssertionError(f"{series.session}, step {index + 1}: {status} {answer}")

    def _acknowledge(self, answer: dict[str, Any]) -> None:
        series, index = self.series, self.series.acknowledged
        before = (series.issued[index].copy(), series.forecasts[index].copy())
        if fault := series.acknowledge(orjson.dumps(answer)):
            self.wrong.append(fault)
        if index < self._answered and not (
            same(before[0], series.issued[index]) and same(before[1], series.forecasts[index])
        ):
            self.wrong.append(f"{series.session}: step {index + 1} was answered otherwise when it was sent again")
        self._answered = max(self._answered, series.acknowledged)
        self._etag = str(answer["etag"])
        self.acknowledgements += 1

    async def _stand_where_the_store_does(self) -> None:
        status, session = await self._settled(request("GET", f"/v1/sessions/{self.series.session}"))
        step = session["step"] if status == 200 else 0
        if step >= self.series.acknowledged:
            self.wrong.append(f"{self.series.session}: a loss was reported, but step {step} is there")
        self.lost += self.series.acknowledged - step
        self.series.acknowledged = step
        self._etag = session["etag"] if status == 200 else None

    async def _settled(self, sent: bytes) -> tuple[int, dict[str, Any]]:
        """The answer to a request that is sent again as long as its outcome is unknown or the service asks for it."""
        while True:
            begun = time.monotonic()
            try:
                status, body = await next(self._turns).send(sent)
                answer = orjson.loads(body)
                if status < 500 and not answer.get("retryable"):
                    return status, answer
                if not answer["retryable"]:
                    raise AssertionError(f"{self.series.session}: {status} {answer}")
            except LOST:
                pass
            finally:
                self.slowest_s = max(self.slowest_s, time.monotonic() - begun)
            self.retried += 1
            await asyncio.sleep(PAUSE_S)
