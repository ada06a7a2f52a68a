"""The ASGI application: the one place where the parts are joined to HTTP."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from time import perf_counter

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Message, Receive, Scope, Send

from models.artifacts.artifact import SHIPPED
from service.core import Clock, Randomness, running
from service.monitoring import logs
from service.monitoring.cells import Cells
from service.monitoring.meters import OTHER, Layout, Meters
from service.monitoring.monitor import HOT, Monitor
from service.monitoring.tracing import tracing_of_environment
from service.readiness import Readiness
from service.routes import (
    batch,
    batch_forecasts,
    dashboard,
    doors,
    events,
    forecast,
    health,
    hot,
    inference,
    metrics,
    models,
    observations,
    problems,
    sessions,
    states,
    stream,
)
from service.routes.declaring import require_declared
from service.routes.exchange import VERBS, acceptable
from service.routes.observing import Observing
from service.sessions.registry import Registry
from service.settings import Settings
from service.storage.store import SessionStore, StoreUnavailable
from service.summary import service_version
from service.wire import openapi, parsing
from service.wire import problems as problem_types
from service.wire.exchange import REVALIDATED, ClientGone, Headers, as_state, ends_connection, identity, lingering
from service.wire.problems import (
    MEDIA_TYPE,
    Fault,
    Internal,
    InvalidRequest,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    NotReady,
    ServiceError,
)

ROUTERS = (
    *(sessions.router, states.router, observations.router, forecast.router, doors.router),
    *(batch.router, batch_forecasts.router, events.router, stream.router),
    *(models.router, models.pictures, health.router, metrics.router, inference.router, problems.router),
    dashboard.router,
)
OTHER_TYPES = (
    *(problems.router, batch.router, batch_forecasts.router, forecast.router, observations.router),
    *(inference.router, events.router, stream.router, models.pictures, dashboard.router, metrics.router),
)
"""Routers whose answers are not JSON alone."""

LAYOUT = Layout([HOT, *(getattr(route, "path", OTHER) for router in ROUTERS for route in router.routes)])
"""Of what is counted, the same in all workers."""
EVENTS = b"text/event-stream"
"""Answers of this type end when the client leaves."""

logger = logs.logger(__name__)


class Application:
    """The service: an ASGI application, and what connections answer in front of it (`wire.direct.Direct`)."""

    def __init__(
        self, api: FastAPI, readiness: Readiness, settings: Settings, randomness: Randomness, monitor: Monitor
    ) -> None:
        self.readiness = readiness
        self.observing: Observing | None = None
        self.closing = False
        self.body_limit = settings.body_limit_bytes
        self.is_full: Callable[[], bool] = _has_room
        """Whether there is no room for one more observation."""
        self.target = hot.target
        self.begin = hot.HotRoute(self._observing, monitor).begin
        self.answered = monitor.answered
        self.turned_away = monitor.turned_away
        self.unread = monitor.unread
        self.meters = monitor.meters
        self._monitor = monitor
        self._randomness = randomness
        self._api = api

    def drain(self) -> None:
        """Stop being ready."""
        self.readiness.draining = True

    def close_connections(self) -> None:
        """From now on each answer is the last one on its connection."""
        self.closing = True
        self.readiness.close()

    def turns_away(self, method: bytes, url: bytes) -> bool:
        """Where it is full: whether a request is one too many, by its first line alone."""
        return not self.closing and method == b"POST" and url.startswith(hot.PREFIX.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The framework's routes, with the headers that name an exchange."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._api(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A connection, which is counted as a request when it is opened or refused."""
        names = identity(dict(scope["headers"]), self._randomness(8).hex().encode())
        begun = perf_counter()
        as_state(scope).update(names=names, request_id=names[0][1].decode("latin-1"), begun=begun)
        is_answered = False

        async def answer(message: Message) -> None:
            nonlocal is_answered
            if not is_answered:
                is_answered = True
                route = getattr(scope.get("route"), "path", None)
                self._monitor.finished("GET", route, _opening(message), names, perf_counter() - begun, None)
            await send(message)

        await self._api(scope, receive, answer)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One exchange: named, counted, and traced where that is asked for."""
        if scope["method"] == "HEAD":  # what GET answers; the server leaves the body out
            scope = {**scope, "method": "GET"}
            as_state(scope)["is_head"] = True
        given: dict[bytes, bytes] = dict(scope["headers"])
        names, span = identity(given, self._randomness(8).hex().encode()), None
        if self._monitor.tracing is not None:
            span, names = self._monitor.traced(scope["method"], given, names)
        answer = _Answer(send, names, closing=self.closing, is_read=scope["method"] == "GET")
        as_state(scope).update(names=names, request_id=names[0][1].decode("latin-1"), begun=answer.begun)
        try:
            with self._monitor.on_behalf_of(span):
                await self._api(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path", None)
            self._monitor.finished(scope["method"], route, answer.status, names, answer.took(), span)

    def tick(self) -> None:
        """Some time has passed."""
        core = self.readiness.core
        self._monitor.tick(0 if core is None else core.waves.waiting)

    def _observing(self) -> Observing:
        if self.observing is None:
            raise NotReady(["the service is starting"])
        return self.observing


def _opening(message: Message) -> int:
    """The status of the answer to a request to open a WebSocket, by its first message."""
    if message["type"] == "websocket.http.response.start":
        status: int = message["status"]
        return status
    return HTTPStatus.SWITCHING_PROTOCOLS if message["type"] == "websocket.accept" else HTTPStatus.FORBIDDEN


class _Answer:
    """Sends an answer with the headers that name it, and learns what it is and how long it takes.

    Args:
        closing: whether it is the last one on its connection.
        is_read: whether it may be kept, which then is for its client alone and has to be asked for again, unless it
            says otherwise.
    """

    def __init__(self, send: Send, names: Headers, *, closing: bool, is_read: bool) -> None:
        self.begun = perf_counter()
        self.status = 500
        self._send = send
        self._headers = [*names, (b"connection", b"close")] if closing else names
        self._is_read = is_read
        self._took: float | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if any(name == b"content-type" and value.startswith(EVENTS) for name, value in message["headers"]):
                self._took = perf_counter() - self.begun
            headers = [*message["headers"], *self._headers]
            if self._is_read and all(name != REVALIDATED[0] for name, _ in headers):
                headers.append(REVALIDATED)
            message = {**message, "headers": headers}
        await self._send(message)

    def took(self) -> float:
        """Seconds to the end of the answer, or to the beginning of one that has no end."""
        return perf_counter() - self.begun if self._took is None else self._took


def create_app(
    settings: Settings,
    connection: AbstractAsyncContextManager[SessionStore],
    registry: Registry,
    *,
    clock: Clock,
    randomness: Randomness,
    monitor: Monitor | None = None,
) -> Application:
    """The service over an open or opening store; it never starts one.

    Args:
        connection: entered when the application starts, left after its last answer.
        monitor: is told what happens; None = one of this process alone, without traces.
    """
    readiness = Readiness()
    watching = monitor or Monitor(Meters(LAYOUT), settings.slow_request_s)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        parts = running(settings, connection, registry, clock=clock, randomness=randomness, monitor=watching)
        async with parts as core:
            readiness.core = core
            application.observing = Observing(core.waves, core.registry, settings)
            application.is_full = application.observing.is_full
            yield
            readiness.draining = True
        await asyncio.to_thread(watching.close)

    api = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        redirect_slashes=False,
        static_url="/docs/assets",
        title="hiddenstate",
        version=service_version(),
        description="Post today's value, get tomorrow's forecast. The service remembers the rest.",
        lifespan=lifespan,
        dependencies=[Depends(require_declared)],
    )
    api.state.readiness = readiness
    api.state.monitor = watching
    for router in ROUTERS:
        api.include_router(router, dependencies=[] if router in OTHER_TYPES else [Depends(acceptable)])
    api.add_exception_handler(ServiceError, _refused)
    api.add_exception_handler(HTTPException, _not_routed)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(StoreUnavailable, _unavailable)
    api.add_exception_handler(ClientGone, _gone)
    api.add_exception_handler(Exception, _failed)
    api.openapi = partial(openapi.describe, api)  # type: ignore[method-assign]
    application = Application(api, readiness, settings, randomness, watching)
    return application


def from_environment(cells: Cells | None = None, number: int = 0) -> Application:
    """The service of the environment's settings, for worker processes.

    Args:
        cells: that all workers count into; `number`: of this one.
    Raises:
        ValueError: no store is set; `hiddenstate serve` brings its own.
    """
    settings = Settings()
    if settings.store_url is None:
        raise ValueError("HIDDENSTATE_STORE_URL is not set; hiddenstate serve starts a store of its own")
    logs.configure(settings.log_format, settings.log_level)
    return joined(settings, settings.store_url, Meters(LAYOUT, cells, number))


def joined(settings: Settings, store_url: str, meters: Meters | None = None) -> Application:
    """The service over the store at an address, with the shipped models and those of the settings."""
    tracing = tracing_of_environment(service_version())
    monitor = Monitor(meters or Meters(LAYOUT), settings.slow_request_s, tracing)
    registry = Registry.load(roots(settings), settings.default_model)
    connection = SessionStore.open(
        store_url, namespace=settings.namespace, timeout_s=settings.store_timeout_s, demand=settings.demand
    )
    return create_app(settings, connection, registry, clock=_LoopTime(), randomness=os.urandom, monitor=monitor)


def roots(settings: Settings) -> list[Path]:
    """The folders that models are loaded from."""
    return [SHIPPED] if settings.models_dir is None else [SHIPPED, settings.models_dir.expanduser()]


def _has_room() -> bool:
    """Before it has started, the service is not full."""
    return False


class _LoopTime:
    """The clock of the event loop that first asks for it: to ask which loop is running costs a system call."""

    def __init__(self) -> None:
        self._time: Clock | None = None

    def __call__(self) -> float:
        if self._time is None:
            self._time = asyncio.get_running_loop().time
        return self._time()


def _answer(request: Request, problem: ServiceError) -> Response:
    state, monitor = as_state(request.scope), request.app.state.monitor
    route = getattr(request.scope.get("route"), "path", OTHER)
    monitor.refused(request.method, route, problem, state["names"], state["begun"])
    body = problem.render(state["request_id"], request.url.path)
    kind = _LastResponse if ends_connection(problem) else Response
    return kind(body, status_code=problem.status, headers=problem.headers(), media_type=MEDIA_TYPE)


class _LastResponse(Response):
    """The last one on its connection, whose client is still sending."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers["connection"] = "close"
        await super().__call__(scope, receive, lingering(receive, send))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return _answer(request, error)


async def _not_routed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _answer(request, NotFound("there is nothing at this address; /docs lists every call"))
    if error.status_code == 405:
        if _is_unknown_verb(request):
            known = ", ".join(f":{verb}" for verb in VERBS)
            return _answer(request, NotFound(f"a session has no such verb; there are {known}, each by POST"))
        return _answer(request, MethodNotAllowed(_methods(request)))
    return _answer(request, MalformedRequest("the request cannot be read"))


def _is_unknown_verb(request: Request) -> bool:
    """Whether something of a session is asked for that there is not, by POST …/{session}:VERB."""
    session: str = request.path_params.get("session", "")
    verb = session.rpartition(":")[2]
    return request.method == "POST" and request.url.path.endswith(f":{verb}") and ":" in session and verb not in VERBS


def _methods(request: Request) -> list[str]:
    """The methods that this address takes."""
    found = {"POST"} if hot.session_in(request.url.path) is not None else set()
    for route in (route for router in ROUTERS for route in router.routes):
        if route.matches(request.scope)[0] is not Match.NONE:
            methods: set[str] = getattr(route, "methods", None) or set()
            if "}:" in getattr(route, "path", ""):
                return sorted(methods)  # a verb, which is no part of a session's id
            found |= methods
    return sorted({*found, "HEAD"} if "GET" in found else found)


async def _invalid(request: Request, error: Exception) -> Response:
    """What the framework refuses of path and query."""
    assert isinstance(error, RequestValidationError)
    faults = []
    for refused in error.errors():
        name = str(refused["loc"][-1])
        faults.append(Fault(parsing.worded(refused["type"], refused["msg"], refused.get("ctx")), parameter=name[:64]))
    return _answer(request, InvalidRequest(faults))


async def _unavailable(request: Request, error: Exception) -> Response:
    return _answer(request, problem_types.StoreUnavailable(f"{error}; nothing was changed"))


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # to nobody: the client closed the connection


async def _failed(request: Request, error: Exception) -> Response:
    state = as_state(request.scope)
    logs.failed(logger, state["names"], error)
    return _answer(request, Internal(f"request {state['request_id']}"))
