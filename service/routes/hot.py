"""The hot route, POST /v1/sessions/{id}/observations, answered in the connection.

A route of the framework costs many times as much. There is one path: the framework has no such route.
"""

import re
from collections.abc import Callable
from functools import partial
from urllib.parse import unquote

from httptools import parse_url

from service.monitoring import logs
from service.monitoring.monitor import HOT, Monitor
from service.routes.observing import Observing
from service.sessions.work import Reply
from service.wire.direct import Exchange, Target, named
from service.wire.exchange import given_headers, header_lines
from service.wire.problems import Internal, ServiceError
from service.wire.schemas import SESSION_ID

PREFIX, SUFFIX = "/v1/sessions/", "/observations"
PLAIN = re.compile(rb"/v1/sessions/(%b)/observations(?:\?([!-~]*))?" % SESSION_ID.strip("^$").encode())

logger = logs.logger(__name__)


def session_in(path: str) -> str | None:
    """The session whose observations a path names; None = another kind of path."""
    if not (path.startswith(PREFIX) and path.endswith(SUFFIX)):
        return None
    session = path[len(PREFIX) : -len(SUFFIX)]
    return session if session and "/" not in session else None


def target(method: bytes, url: bytes) -> Target | None:
    """What a request of the hot route asks for; None = another kind of request."""
    if method != b"POST":
        return None
    plain = PLAIN.fullmatch(url)
    if plain is not None:
        return Target(plain[1].decode(), plain[2] or b"")
    parsed = parse_url(url)
    session = session_in(unquote(parsed.path.decode("ascii")))
    return None if session is None else Target(session, parsed.query or b"")


class HotRoute:
    """Answers requests of the hot route."""

    def __init__(self, observing: Callable[[], Observing], monitor: Monitor) -> None:
        self._observing = observing
        self._monitor = monitor

    def begin(self, exchange: Exchange) -> None:
        """Take up a request; it is answered once its wave is over, or refused at once."""
        self._monitor.begun(exchange, named(exchange.given))
        if exchange.span is None:
            self._begin(exchange)
            return
        tracing = self._monitor.tracing
        assert tracing is not None, "who made the span"
        with tracing.within(exchange.span):
            self._begin(exchange)
        if exchange.left is not None:
            exchange.left = partial(_both, exchange.left, partial(tracing.left, exchange.span))

    def _begin(self, exchange: Exchange) -> None:
        try:
            given = exchange.given if exchange.repeated is None else given_headers(exchange.repeated)
            exchange.left = self._observing().begin(
                exchange.target.session,
                exchange.target.query,
                given,
                bytes(exchange.body),
                partial(_answer, exchange),
                partial(self._refuse, exchange),
            )
        except Exception as error:
            self._refuse(exchange, error)

    def _refuse(self, exchange: Exchange, error: BaseException) -> None:
        if not isinstance(error, ServiceError):
            logs.failed(logger, exchange.names, error)
            error = Internal(f"request {exchange.names[0][1].decode('latin-1')}")
        self._monitor.refused("POST", HOT, error, exchange.names, exchange.begun)
        exchange.refuse(error, exchange.names)


def _answer(exchange: Exchange, reply: Reply) -> None:
    lines = b"%bcontent-type: application/json\r\n" % header_lines(exchange.names)
    if reply.etag is not None:
        lines += b'etag: "%b"\r\n' % reply.etag.encode()
    if reply.replayed:
        lines += b"idempotency-replayed: true\r\n"
    if reply.location is not None:
        lines += b"location: %b\r\n" % reply.location.encode()
    exchange.answer(reply.status, lines, reply.body)


def _both(first: Callable[[], None], then: Callable[[], None]) -> None:
    first()
    then()
