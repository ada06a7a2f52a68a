"""How requests arrive: in what time, of what size, in which order. Bodies that the framework reads: `read_body`.

The server below has a limit for idle connections that were answered once, and none for those that never send a request
or never end one.
"""

import asyncio
from asyncio import AbstractEventLoop, Transport
from typing import Any, ClassVar, cast

from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.wire import plain
from service.wire.direct import Direct, Exchange, named, problem_bytes
from service.wire.exchange import LINGER_S, Headers, as_state, header_lines
from service.wire.problems import OVERLOADED, MalformedRequest, Overloaded, RequestTimeout, ServiceError, TooLarge
from service.wire.turning_away import turned_away

HEAD_LIMIT = 32 * 1024
"""Bytes of a request's first line and headers."""
HEADERS_LIMIT = 100


class Unwanted(Exception):
    """Ends the parsing of what has arrived; the parser's caller answers it as no HTTP, unless it was answered."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection whose client is given `deadline_s` seconds for each request's head, and no more than HEAD_LIMIT.

    Args:
        connections: that may be open; the next one is refused.

    The application, a `Direct`, may turn a request away: it is refused here, for a third of what serving it would cost.
    Refused by the application, as many as are served cost all that was left for serving.
    """

    _of_every_answer: ClassVar[tuple[Headers, bytes]] = [], b""
    """Headers that the server makes anew each second, and their lines."""

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
        self._direct = cast(Direct, self.app)
        self._deadline_s = deadline_s
        self._connections = connections
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = self._in_message = self._full = self._turned_away = self._given_up = False
        self._head_bytes = self._arrived = 0
        self._idle_since = 0.0
        self._current: RequestResponseCycle | Exchange | None = None
        """What is being answered; `cycle` is what arrived last, and may have to wait."""
        self._held: Exchange | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        if len(self.connections) > self._connections:
            self._refuse(Overloaded("too many connections are open; come back later"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if isinstance(self._current, Exchange) and self._current.left is not None:
            self._current.left()
        super().connection_lost(exc)

    def close_if_idle(self, since: float) -> None:
        """Close where nothing was answered since then (on the event loop's clock), and nothing is under way."""
        if self._idle_since < since and self._is_between_requests() and not self._in_message:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        if self._given_up or self.transport.is_closing():
            return
        self._full = self._direct.is_full()
        if self._full:
            if self._is_turned_away(data):
                self.transport.write(turned_away())
                self._idle_since = self.loop.time()
                self._direct.turned_away()
                return
        elif not self._in_message and self._is_between_requests() and self._is_taken_up(data):
            return
        self._arrived = len(data)
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_message:
            self._await_the_rest()

    def _is_taken_up(self, data: bytes) -> bool:
        """Take up what plainly is one whole request that the connection answers, if it is."""
        if len(data) > HEAD_LIMIT:
            return False
        found = plain.read(data)
        if found is None:
            return False
        url, given, body = found
        target = self._direct.target(b"POST", url)
        if target is None or len(body) > self._direct.body_limit:
            return False
        self._unset_keepalive_if_required()
        exchange = Exchange(target, given, None, True, self._end, body, more_body=False)
        self._current = self.cycle = exchange  # type: ignore[assignment]
        self._begin(exchange)
        return True

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self._in_head = self._in_message = True
        self._head_bytes = self._arrived

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._stop_timer()
        # What arrived may hold more than the head, so the head is only measured where that is much.
        if (self._head_bytes > HEAD_LIMIT and self._measured() > HEAD_LIMIT) or len(self.headers) > HEADERS_LIMIT:
            raise Unwanted
        self._in_head = False
        given = dict(self.headers)
        self.expect_100_continue = given.get(b"expect", b"").lower() == b"100-continue"
        method = self.parser.get_method()
        if self._full and self._may_be_turned_away() and self._direct.turns_away(method, self.url):
            self._turned_away = True
            return
        target = self._direct.target(method, self.url)
        if target is None:
            self._leave_to_the_framework()
            return
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        repeated = self.headers if len(self.headers) != len(given) else None
        exchange = Exchange(target, given, repeated, keep_alive, self._end)
        if self._is_between_requests():
            self._current = exchange
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))  # type: ignore[arg-type]
        self.cycle = exchange  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        if self._turned_away:
            return
        if not isinstance(self.cycle, Exchange):
            super().on_body(body)
            return
        self.cycle.body += body
        if len(self.cycle.body) > self._direct.body_limit:
            self._give_up(TooLarge(self._direct.body_limit))
            raise Unwanted

    def on_message_complete(self) -> None:
        self._in_message = False
        self._arrived = 0  # of a head that begins in the same packet, what follows this one is counted
        self._stop_timer()
        if self._turned_away:
            self._turned_away = False
            self._turn_away()
        elif isinstance(self.cycle, Exchange):
            self.cycle.more_body = False
            if self.cycle is self._current:
                self._begin(self.cycle)
        else:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._idle_since = self.loop.time()
        self.flow.resume_reading()
        if self.pipeline:
            # Not here: of many requests that are refused at once, each would be answered inside the one before.
            self.loop.call_soon(self._start_asgi_task, *self.pipeline.pop())

    def _start_asgi_task(self, cycle: RequestResponseCycle | Exchange, app: Any) -> None:  # noqa: ANN401
        self._current = cycle
        if self.transport.is_closing():
            return
        if not isinstance(cycle, Exchange):
            super()._start_asgi_task(cycle, app)
        elif cycle.more_body:
            self._await_the_rest()
        else:
            self._begin(cycle)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._held is not None:
            held, self._held = self._held, None
            self._direct.begin(held)

    def _leave_to_the_framework(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        as_state(cast(Scope, self.scope))["abort"] = self.transport.abort
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()

    def _begin(self, exchange: Exchange) -> None:
        if self.flow.write_paused:  # a client that reads no answers gets no more of them
            self._held = exchange
        else:
            self._direct.begin(exchange)

    def _end(self, exchange: Exchange, status: int, lines: bytes, body: bytes) -> None:
        """Write an answer."""
        exchange.left = None
        self._direct.answered(exchange, status)
        if self.transport.is_closing():
            return
        exchange.response_complete = True
        last = not exchange.keep_alive or self._direct.closing
        self.transport.write(
            b"%b%b%bcontent-length: %d\r\n%b\r\n%b"
            % (
                STATUS_LINE[status],
                self._server_lines(),
                lines,
                len(body),
                b"connection: close\r\n" if last else b"",
                body,
            )
        )
        if last:
            self.transport.close()
        self.on_response_complete()

    def _server_lines(self) -> bytes:
        headers, lines = BoundedProtocol._of_every_answer
        if headers is not self.server_state.default_headers:
            headers = self.server_state.default_headers
            lines = header_lines(headers)
            BoundedProtocol._of_every_answer = headers, lines
        return lines

    def _await_the_rest(self) -> None:
        """Part of a request is here: the rest of it must come in time."""
        if self._in_head and self._head_bytes > HEAD_LIMIT:
            self.send_400_response("")
            return
        waits = self._waits_for_body()
        if waits:
            if int(dict(self.headers).get(b"content-length", 0)) > self._direct.body_limit:
                self._give_up(TooLarge(self._direct.body_limit))
                return
            if self.expect_100_continue:
                self.expect_100_continue = False
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._timer is None and (self._in_head or waits or self._is_between_requests()):
            self._timer = self.loop.call_later(self._deadline_s, self._is_late)

    def _waits_for_body(self) -> bool:
        """Whether it is a request's turn that the connection answers, and its body is not here."""
        return isinstance(self.cycle, Exchange) and self.cycle is self._current and self.cycle.more_body

    def _is_turned_away(self, data: bytes) -> bool:
        """Whether there is no room for what plainly is one whole request; it need not be parsed for that."""
        return (
            not self._in_message
            and self._may_be_turned_away()
            and self._direct.turns_away(b"POST", data[5 : data.find(b" ", 5)])
            and plain.is_nameless(data)
        )

    def _may_be_turned_away(self) -> bool:
        """Whether a refusal at once would neither overtake an answer nor pile up for a client that reads none."""
        return self._is_between_requests() and not self.flow.write_paused

    def _turn_away(self) -> None:
        """Refuse what was read."""
        self.transport.write(problem_bytes(Overloaded(OVERLOADED), named(dict(self.headers))))
        self._idle_since = self.loop.time()
        self._direct.turned_away()
        if not self.parser.should_keep_alive():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        self._give_up(MalformedRequest(f"the request is not HTTP, or its head is larger than {HEAD_LIMIT} bytes"))

    def _is_between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _measured(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _is_late(self) -> None:
        """What trickles is refused; the rest of a body that was answered before it came is not waited for."""
        if self._in_head:
            self._give_up(RequestTimeout(f"the request did not arrive within {self._deadline_s:g} s"))
        elif self._waits_for_body():
            self._give_up(RequestTimeout(f"the body did not arrive within {self._deadline_s:g} s"))
        else:
            self.transport.close()

    def _give_up(self, error: ServiceError) -> None:
        """Take up no more. The answers that whole requests still wait for come first, and are the last."""
        if self._given_up:
            return
        self._given_up = True
        last: RequestResponseCycle | Exchange | None = self.cycle
        if last is not None and last.more_body and self.pipeline:
            self.pipeline.popleft()
            last = self.pipeline[0][0] if self.pipeline else self._current
        if last is None or last.response_complete or last.more_body:
            self._refuse(error)
        else:
            last.keep_alive = False

    def _refuse(self, error: ServiceError) -> None:
        """Answer below the application, and close once the client has had a moment to read it."""
        self._given_up = True
        if self.transport.is_closing():
            return
        names = named(dict(self.headers) if self._in_message else {})
        self._direct.unread(error, names)
        self.transport.write(problem_bytes(error, [*names, (b"connection", b"close")]))
        self.transport.write_eof()
        self.flow.resume_reading()
        self.loop.call_later(LINGER_S, self.transport.close)
