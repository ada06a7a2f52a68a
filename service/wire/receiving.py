"""How requests arrive: heads and idle connections within their time and size. Bodies have theirs in `read_body`.

The server below has a limit for idle connections that were answered once, and none for those that never send a request
or never end one.
"""

import asyncio
import os
from asyncio import AbstractEventLoop, Transport
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from service.wire.exchange import LINGER_S, Headers, identity, problem_answer
from service.wire.problems import OVERLOADED, MalformedRequest, Overloaded, RequestTimeout, ServiceError

HEAD_LIMIT = 32 * 1024
"""Bytes of a request's first line and headers."""
HEADERS_LIMIT = 100
NAMING = (b"x-request-id", b"traceparent")
"""Headers of a request that its answer repeats."""
STAND_IN = b"0123456789abcdef"
"""Where the id stands in the prepared answer to a request that is turned away."""


class HeadTooLarge(Exception):
    """The parser that calls us answers it as a request that cannot be read."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection whose client is given `deadline_s` seconds for each request's head, and no more than HEAD_LIMIT.

    Args:
        connections: that may be open; the next one is refused.

    The application may say `turns_away(method, path)`: such a request is refused here, for a third of what serving it
    would cost. Refused by the application, as many as are served cost all that was left for serving.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
        *,
        deadline_s: float,
        connections: int,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._deadline_s = deadline_s
        self._connections = connections
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = self._refused = self._turned_away = False
        self._head_bytes = self._arrived = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._connections:
            self._refuse(Overloaded("too many connections are open; come back later"))
            return
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._arrived = len(data)
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_LIMIT:
            self.send_400_response("")
        elif (self._in_head or self._is_between_requests()) and not self._is_timed():
            self._timer = self.loop.call_later(self._deadline_s, self._is_late)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = self._arrived

    def on_headers_complete(self) -> None:
        self._stop_timer()
        # What arrived may hold more than the head, so the head is only measured where that is much.
        if (self._head_bytes > HEAD_LIMIT and self._measured() > HEAD_LIMIT) or len(self.headers) > HEADERS_LIMIT:
            raise HeadTooLarge
        self._in_head = False
        self._turned_away = self._is_between_requests() and self.app.turns_away(self.parser.get_method(), self.url)
        if not self._turned_away:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._turned_away:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._stop_timer()
        if self._turned_away:
            self._turned_away = False
            self._turn_away()
        else:
            super().on_message_complete()

    def _turn_away(self) -> None:
        made = os.urandom(8)
        if any(name in NAMING for name, _ in self.headers):
            self.transport.write(_answer(Overloaded(OVERLOADED), identity(self.headers, made)))
        else:
            self.transport.write(TURNED_AWAY.replace(STAND_IN, made.hex().encode()))
        if self.parser.should_keep_alive():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        self._give_up(MalformedRequest(f"the request is not HTTP, or its head is larger than {HEAD_LIMIT} bytes"))

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _is_timed(self) -> bool:
        return self._timer is not None or self.timeout_keep_alive_task is not None

    def _measured(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_late(self) -> None:
        """A head that trickles is refused; the rest of a body that was answered before it came is not waited for."""
        if self._in_head:
            self._give_up(RequestTimeout(f"the request did not arrive within {self._deadline_s:g} s"))
        else:
            self.transport.close()

    def _give_up(self, error: ServiceError) -> None:
        """Read no more. The answer that a whole request still waits for comes first, and is the last."""
        if self._is_between_requests() or self.cycle.more_body:
            self._refuse(error)
        else:
            self.cycle.keep_alive = False
            self.flow.pause_reading()

    def _refuse(self, error: ServiceError) -> None:
        """Answer below the application, and close once the client has had a moment to read it."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self.transport.write(_answer(error, [(b"connection", b"close")]))
        self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_S, self.transport.close)


def _answer(error: ServiceError, headers: Headers) -> bytes:
    """A problem as a whole answer; its instance is the request id among the headers, if there is one."""
    status, headers, body = problem_answer(error, headers)
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    return b"%b%bcontent-length: %d\r\n\r\n%b" % (STATUS_LINE[status], lines, len(body), body)


TURNED_AWAY = _answer(Overloaded(OVERLOADED), [(b"x-request-id", STAND_IN)])
