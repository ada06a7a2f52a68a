"""Rows that come one after another, fed to their sessions: what a batch and a stream have in common."""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace

from service.core import Core
from service.readiness import Readiness
from service.sessions.bulk.bulk import FAILING
from service.sessions.bulk.lines import Asked
from service.wire.batch import rows as batch_rows
from service.wire.batch.outcomes import Outcomes
from service.wire.batch.reading import Reader
from service.wire.batch.rows import FORESEEN, Rows
from service.wire.problems import NotReady, ServiceError
from service.wire.streaming import ReadAhead

READ = 64 * 1024
"""Bytes of rows that are read before a wave may go on."""


class Feeding:
    """Feeds rows.

    Args:
        key: the Idempotency-Key of all of them; None = there is none.
    """

    def __init__(self, core: Core, readiness: Readiness, asked: Asked, key: str | None) -> None:
        self._core = core
        self._readiness = readiness
        self._asked = asked
        self._key = key

    async def rows(self, reader: Reader, ahead: ReadAhead) -> AsyncIterator[Rows]:
        """The rows of a body while it comes. Raises ServiceError: what follows cannot be read.

        Where they are told what is known in advance by those that follow, these come with them. That must not depend
        on how the body was cut under way: so many rows are waited for, or its end.
        """
        least = FORESEEN if self._asked.foreseeing and self._core.registry.foreseen else 0
        held: deque[Rows] = deque()
        problem: ServiceError | None = None
        try:
            async for rows in self._read(reader, ahead):
                held.append(rows)
                while held and sum(map(len, held)) - len(held[0]) >= least:
                    yield _next(held)
        except ServiceError as refused:
            problem = refused
        while held:
            yield _next(held)
        if problem is not None:
            raise problem

    async def _read(self, reader: Reader, ahead: ReadAhead) -> AsyncIterator[Rows]:
        while (taken := await ahead.take()) is not None:
            parts: list[Rows] = []
            problem: ServiceError | None = None
            for at in range(0, len(taken), READ):
                try:
                    parts.extend(reader.feed(taken[at : at + READ]))
                except ServiceError as refused:
                    problem = refused
                    break
                await self._core.waves.between()
            if parts:
                yield batch_rows.joined(parts)
            if problem is not None:
                raise problem
        for rows in reader.end():
            yield rows

    async def outcomes(self, rows: Rows) -> Outcomes:
        """What became of each of these rows."""
        if self._key is not None:
            rows.give_keys(self._key)
        return await self._core.bulk.observe(rows, self._asked, self._is_stopping)

    def require_going_on(self) -> None:
        """Raises what keeps the rest from being taken up, once a part of it was."""
        if self._is_stopping():
            raise NotReady(["the service is stopping"])
        if len(self._asked.failing) >= FAILING:
            raise next(iter(self._asked.failing.values()))

    def _is_stopping(self) -> bool:
        return self._readiness.draining


def _next(held: deque[Rows]) -> Rows:
    """The first of the rows that are held, with the others."""
    first = held.popleft()
    return replace(first, beyond=batch_rows.joined(list(held))) if held else first
