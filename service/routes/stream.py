"""Many observations over one connection: a line of a batch up, its outcome down, under the rules of a batch."""

import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

from fastapi import APIRouter, WebSocket
from fastapi.responses import Response
from starlette.websockets import WebSocketDisconnect

from service.core import Core
from service.monitoring.meters import OBSERVATIONS, RECEIVED, SENT
from service.readiness import Readiness
from service.routes import asking
from service.routes.feeding import Feeding
from service.sessions.bulk.lines import Asked
from service.wire import headers
from service.wire.batch.reading import LinesReader
from service.wire.batch.writing import LinesWriter
from service.wire.exchange import as_state, given_headers, problem_answer, text
from service.wire.problems import (
    OVERLOADED,
    Fault,
    Forbidden,
    Internal,
    InvalidRequest,
    NotReady,
    Overloaded,
    ServiceError,
    UpgradeRequired,
)
from service.wire.stream_description import STREAM
from service.wire.streaming import ReadAhead

router = APIRouter(tags=["batch"])

MESSAGE_LIMIT = 2**20
"""Bytes of one message, which may be several lines."""
SERVICE_RESTART, INTERNAL_ERROR, TRY_AGAIN_LATER = 1012, 1011, 1013
"""Codes with which a connection is closed."""

logger = logging.getLogger(__name__)


@router.websocket(STREAM)
async def stream(socket: WebSocket) -> None:
    """Feed observations of any sessions, each a line as in a batch; each has an outcome of its own, in their order."""
    state, monitor = as_state(socket.scope), socket.app.state.monitor
    request_id = str(state["request_id"])
    try:
        connection = _opened(socket, request_id)
    except ServiceError as refused:
        monitor.refused("GET", STREAM, refused, state["names"], state["begun"])
        await _refuse(socket, refused, request_id)
        return
    await socket.accept(headers=[(b"x-request-id", request_id.encode())])
    with monitor.streaming(OBSERVATIONS), suppress(WebSocketDisconnect):
        await connection.serve()


@router.get(STREAM, include_in_schema=False)
async def stream_without_an_upgrade() -> Response:
    """Says what this address is for."""
    raise UpgradeRequired("this is the address of a WebSocket: connect to it with ws:// or wss://")


def _opened(socket: WebSocket, request_id: str) -> "_Stream":
    """Raises ServiceError: the request is refused."""
    readiness: Readiness = socket.app.state.readiness
    core = readiness.core
    if core is None or readiness.draining:
        raise NotReady(["the service is starting" if core is None else "the service is stopping"])
    given = given_headers(socket.scope["headers"])
    _require_own_page(text(given, b"origin"), text(given, b"host"))
    parameters = asking.parameters(socket.scope["query_string"], "return")
    asked = Asked(asking.creation(parameters, core.registry), asking.is_correcting(parameters))
    key = headers.idempotency_key(text(given, b"idempotency-key"))
    writer = LinesWriter(request_id, is_minimal=_is_minimal(parameters.get("return"), text(given, b"prefer")))
    if core.waves.is_full(core.settings.deadline_s):
        raise Overloaded(OVERLOADED)
    return _Stream(socket, core, readiness, Feeding(core, readiness, asked, key), writer)


def _is_minimal(asked: str | None, prefer: str | None) -> bool:
    """Whether outcomes are to be short: pages, which cannot send Prefer, say so in the query."""
    if asked not in (None, "minimal", "representation"):
        raise InvalidRequest([Fault("must be minimal or representation", parameter="return")])
    return asked == "minimal" or (asked is None and headers.prefers_minimal(prefer))


def _require_own_page(origin: str | None, host: str | None) -> None:
    """A browser opens such connections for any page, and asks nobody: raises Forbidden for those of others."""
    if origin is not None and urlsplit(origin).netloc.lower() != (host or "").lower():
        raise Forbidden("a web page of another origin must not open this connection; leave Origin out, or send its own")


async def _refuse(socket: WebSocket, error: ServiceError, request_id: str) -> None:
    status, named, body = problem_answer(error, [(b"x-request-id", request_id.encode())])
    answer = Response(body, status)
    answer.raw_headers += named
    await socket.send_denial_response(answer)


class _Stream:
    """An open connection."""

    def __init__(
        self, socket: WebSocket, core: Core, readiness: Readiness, feeding: Feeding, writer: LinesWriter
    ) -> None:
        self._socket = socket
        self._core = core
        self._readiness = readiness
        self._feeding = feeding
        self._writer = writer

    async def serve(self) -> None:
        """Until the client closes it, or the service stops. Raises WebSocketDisconnect: nobody reads any more."""
        problem, code = await self._fed()
        if problem is not None:
            await self._send(self._writer.end(problem))
            await self._socket.close(code, problem.detail[:100])

    async def _fed(self) -> tuple[ServiceError | None, int]:
        """Why no more lines are taken up, and the code that says it."""
        try:
            async with ReadAhead.of(self._lines(), is_measured=False) as ahead:
                self._readiness.closing.add(ahead.end)
                try:
                    await self._feed(ahead)
                finally:
                    self._readiness.closing.discard(ahead.end)
        except ServiceError as refused:
            return refused, SERVICE_RESTART if isinstance(refused, NotReady) else TRY_AGAIN_LATER
        except WebSocketDisconnect:
            raise
        except Exception:
            logger.exception("request %s failed", as_state(self._socket.scope)["request_id"])
            return Internal(f"request {as_state(self._socket.scope)['request_id']}"), INTERNAL_ERROR
        return None, 0

    async def _feed(self, ahead: ReadAhead) -> None:
        async for rows in self._feeding.rows(LinesReader(skips_blank=False), ahead):
            self._feeding.require_going_on()
            outcomes = await self._feeding.outcomes(rows)
            for part in outcomes.parts(self._writer.at_once):
                await self._send(self._writer.part(part))
                await self._core.waves.between()
        if self._readiness.draining:
            raise NotReady(["the service is stopping"])

    async def _send(self, written: bytes) -> None:
        lines = written.rstrip(b"\n").split(b"\n")
        for line in lines:
            await self._socket.send_text(line.decode())
        self._core.monitor.messages(OBSERVATIONS, SENT, len(lines))

    async def _lines(self) -> AsyncIterator[bytes]:
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            sent = message.get("text")
            line: bytes = message["bytes"] if sent is None else sent.encode()
            self._core.monitor.messages(OBSERVATIONS, RECEIVED, 1)
            yield line.removesuffix(b"\n") + b"\n"
