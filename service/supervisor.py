"""Serving: the embedded store before any worker, the workers, and a stop that loses no request."""

import asyncio
import contextlib
import gc
import json
import logging
import math
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from socket import socket
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from service.app import LAYOUT, Application, from_environment, joined
from service.monitoring import logs
from service.monitoring.cells import Cells
from service.monitoring.tracing import require_tracers
from service.routes.stream import MESSAGE_LIMIT
from service.settings import Settings
from service.storage.embedded import EmbeddedStore
from service.wire.receiving import BoundedProtocol
from service.wire.sockets import Socket

KEEP_ALIVE_S = 75
"""Idle connections stay open longer than load balancers keep theirs, so that it is they who close."""
LOOK_FOR_IDLE_TICKS = 50
"""Of the server's, ten a second."""
LAST_REQUESTS_S = 1.0
"""At a stop, how long open connections are given to send what they have begun, before idle ones are closed."""
LOOK_AGAIN_S = 0.02
OTHER_WORKERS_S = 5.0
"""At a stop, how long other workers are waited for to stop listening; one that was killed does not tell."""
YOUNG_OBJECTS = 10_000
"""How many more objects there are than after the last collection of garbage before the next one."""

logger = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; every request that was taken up is answered before this returns.

    Without a store's address it starts the embedded one, and starts it again whenever it dies.

    Raises:
        EmbeddedStoreError: the embedded store cannot run.
        ModuleNotFoundError: traces are asked for, and what sends them is not installed.
        ArtifactError: a model cannot be served.
        OSError: the address is in use.
    """
    logs.configure(settings.log_format, settings.log_level)
    require_tracers()
    with contextlib.ExitStack() as stack:
        revive: Callable[[], None] = _nothing
        store_url = settings.store_url
        if store_url is None:
            store = stack.enter_context(EmbeddedStore(settings.data_dir.expanduser()))
            store_url, revive = store.url, store.revive
        stop = stack.enter_context(_own_signals())
        if settings.workers == 1:
            config = configured(settings, joined(settings, store_url))
            server = GracefulServer(config, revive, stop)
            _spare_what_stays()
            server.run(sockets=[config.bind_socket()])
        else:
            _export(settings, store_url)
            config = configured(settings, from_environment)
            Workers(config, [config.bind_socket()], revive, stop).run()


class Stop:
    """Whether this process was asked to stop before its server took the signals over."""

    asked = False


class GracefulServer(uvicorn.Server):
    """Stops without losing a request: it takes no new connection, and closes those it has between two requests."""

    def __init__(self, config: uvicorn.Config, revive: Callable[[], None], stop: Stop) -> None:
        super().__init__(config)
        self._revive = revive
        self._stop = stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if isinstance(self.config.loaded_app, Application):
            self.config.loaded_app.drain()
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        self._revive()
        if isinstance(self.config.loaded_app, Application):
            self.config.loaded_app.tick()
        if counter % LOOK_FOR_IDLE_TICKS == 0:
            self._close_idle()
        return await super().on_tick(counter) or self._stop.asked

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listening in sockets or ():
            listening.close()
        await asyncio.sleep(LOOK_AGAIN_S)  # the event loop closes them when it comes round
        if isinstance(self.config.loaded_app, Application):
            await self._let_go(self.config.loaded_app)
        await self._last_requests()
        await super().shutdown(sockets)

    async def _let_go(self, application: Application) -> None:
        """Have clients leave. One that is told to come back on another connection must find nobody, not a listener that
        is about to close, be it another worker's.
        """
        application.meters.set_listening(False)
        for _ in range(round(OTHER_WORKERS_S / LOOK_AGAIN_S)):
            if not application.meters.listening:
                break
            await asyncio.sleep(LOOK_AGAIN_S)
        application.close_connections()

    def _close_idle(self) -> None:
        """One look at all connections now and then costs less than a timer for each, set anew with each answer."""
        since = asyncio.get_running_loop().time() - KEEP_ALIVE_S
        for connection in list(self.server_state.connections):
            if isinstance(connection, BoundedProtocol):
                connection.close_if_idle(since)

    async def _last_requests(self) -> None:
        """Wait until every connection has had an answer that closed it; those that stay silent are closed after."""
        for _ in range(round(LAST_REQUESTS_S / LOOK_AGAIN_S)):
            self._revive()
            if not self.server_state.connections:
                return
            await asyncio.sleep(LOOK_AGAIN_S)


class Workers(Multiprocess):
    """Several processes that answer requests on one socket; this one starts them, and keeps the store alive."""

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket], revive: Callable[[], None], stop: Stop
    ) -> None:
        super().__init__(config, sockets)
        self._revive = revive
        self._cells = Cells(config.workers, LAYOUT.columns)
        if stop.asked:
            self.should_exit.set()

    def init_processes(self) -> None:
        self.processes = [self._started(number) for number in range(self.processes_num)]

    def terminate_all(self) -> None:
        for listening in self.sockets:
            listening.close()
        super().terminate_all()

    def keep_subprocess_alive(self) -> None:
        self._revive()
        for number, process in enumerate(self.processes):
            if self.should_exit.is_set() or process.process.is_alive():
                continue
            process.join()
            if process.exitcode == STARTUP_FAILURE:
                logger.error("a worker could not start; stopping")
                self.should_exit.set()
                return
            self.processes[number] = self._started(number)

    def _started(self, number: int) -> Process:
        process = _Worker(self.config, self.sockets, self._cells, number)
        process.start()
        return process


class _Worker(Process):
    """A worker that ends with its parent."""

    _stop = Stop()

    def __init__(self, config: uvicorn.Config, sockets: list[socket], cells: Cells, number: int) -> None:
        """Args: number: what it counts goes on where a worker that it takes the place of has ended."""
        self._cells = cells
        self._number = number
        super().__init__(config, sockets)

    def target(self, sockets: list[socket] | None = None) -> None:
        die_with_parent()
        self.config.app = partial(from_environment, self._cells, self._number)
        with _own_signals() as self._stop:
            self.config.load()
            _spare_what_stays()
            super().target(sockets)

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = GracefulServer(self.config, _nothing, self._stop)
        return self._server


def die_with_parent() -> None:
    """Have this process sent SIGTERM when the one that started it ends, however it does; end now if it has ended."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:
        raise SystemExit(0)  # it ended while this one was being started: nobody is left to tell


def configured(settings: Settings, app: Application | Callable[[], Application]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        factory=not isinstance(app, Application),
        workers=settings.workers,
        loop="uvloop",
        http=partial(BoundedProtocol, deadline_s=settings.deadline_s, connections=settings.connection_limit),  # type: ignore[arg-type]
        ws=Socket,
        ws_max_size=MESSAGE_LIMIT,
        ws_per_message_deflate=False,
        lifespan="on",
        interface="asgi3",
        access_log=False,
        log_config=None,  # what the server says goes where all else goes
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=math.ceil(settings.stop_grace_s),
    )


def _export(settings: Settings, store_url: str) -> None:
    """Hand the settings to worker processes, through the environment that they read."""
    given = settings.model_copy(update={"store_url": store_url}).model_dump(mode="json", exclude_none=True)
    for name, value in given.items():
        os.environ[f"HIDDENSTATE_{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)


@contextlib.contextmanager
def _own_signals() -> Iterator[Stop]:
    """A stop on request is a success, be it before the server listens or after it has stopped.

    Without this the server would end itself by the signal it was stopped with.
    """
    stop = Stop()

    def ask(*_: object) -> None:
        # What is raised while an object is being finalised is lost, so it is written down as well.
        stop.asked = True
        sys.exit(0)

    before = {sig: signal.signal(sig, ask) for sig in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)


def _spare_what_stays() -> None:
    """Leave what was loaded at the start out of all later collections: to go through it holds the event loop up."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def _nothing() -> None:
    """There is no store of ours to keep alive."""
