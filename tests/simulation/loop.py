"""An event loop whose time is virtual: it stands still while something runs, and jumps to the next timer otherwise.

Nothing in it waits for the machine, so what happens, and in which order, follows from the program and its seed alone.
"""

import asyncio
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

START_S = 1000.0

Connect = Callable[[asyncio.BaseProtocol, str, int], asyncio.Transport]
"""Joins a client's protocol to what listens at host and port. Raises OSError where nothing does."""

owner: ContextVar["Owner | None"] = ContextVar("owner", default=None)
"""Whose code runs."""


class Owner:
    """A simulated process: its tasks can be ended together, as by kill -9."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self._tasks: list[asyncio.Task[Any]] = []

    def add(self, task: "asyncio.Task[Any]") -> None:
        if len(self._tasks) > 64:
            self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(task)

    def kill(self) -> list["asyncio.Task[Any]"]:
        """End every task of this process; the network must have forgotten it before. Returns those that still end."""
        self.alive = False
        ending = [task for task in self._tasks if not task.done()]
        for task in ending:
            task.cancel()
        return ending


class Deadlock(Exception):
    """Nothing is ready and no timer runs: the program waits for what will never come."""


class VirtualLoop(BaseEventLoop):
    """Args:
    connect: opens connections; there is no other input or output.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = START_S
        self._selector = self
        self.connect: Connect | None = None
        self.delay: Callable[[], float] = lambda: 0.0
        """How long opening a connection takes, in seconds."""
        self.set_task_factory(_owned)

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[object]:
        """What the base class calls where nothing is ready: let time pass."""
        if timeout is None:
            raise Deadlock
        self._now += timeout
        return []

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: str, port: int
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        assert self.connect is not None, "there is no network"
        await asyncio.sleep(self.delay())
        protocol = protocol_factory()
        return self.connect(protocol, host, port), protocol

    def _process_events(self, event_list: list[object]) -> None:
        """There are none: all that happens is a callback or a timer."""

    def _write_to_self(self) -> None:
        """Nobody waits in another thread."""


def _owned(loop: asyncio.AbstractEventLoop, coroutine: Any, **kwargs: Any) -> "asyncio.Task[Any]":  # noqa: ANN401
    task = asyncio.Task(coroutine, loop=loop, **kwargs)
    running = owner.get()
    if running is not None:
        running.add(task)
    return task
