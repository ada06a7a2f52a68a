"""The hot route, POST /v1/sessions/{id}/observations, answered in the connection.

A route of the framework costs many times as much. There is one path: the framework has no such route.
"""

import logging
import re
from collections.abc import Callable
from functools import partial
from urllib.parse import unquote

from httptools import parse_url

from service.routes.observing import Observing
from service.sessions.work import Reply
from service.wire.direct import Exchange, Target, named
from service.wire.exchange import Headers, RawHeaders, given_headers, header_lines
from service.wire.problems import Internal, ServiceError
from service.wire.schemas import SESSION_ID

PREFIX, SUFFIX = "/v1/sessions/", "/observations"
PLAIN = re.compile(rb"/v1/sessions/(%b)/observations(?:\?([!-~]*))?" % SESSION_ID.strip("^$").encode())

logger = logging.getLogger(__name__)


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

    def __init__(self, observing: Callable[[], Observing]) -> None:
        self._observing = observing

    def begin(self, exchange: Exchange) -> None:
        """Take up a request; it is answered once its wave is over, or refused at once."""
        given: RawHeaders = dict(exchange.given)
        names = named(given)
        try:
            if len(given) != len(exchange.given):
                given = given_headers(exchange.given)
            exchange.left = self._observing().begin(
                exchange.target.session,
                exchange.target.query,
                given,
                bytes(exchange.body),
                partial(_answer, exchange, names),
                partial(_refuse, exchange, names),
            )
        except Exception as error:
            _refuse(exchange, names, error)


def _answer(exchange: Exchange, names: Headers, reply: Reply) -> None:
    lines = b"%bcontent-type: application/json\r\n" % header_lines(names)
    if reply.etag is not None:
        lines += b'etag: "%b"\r\n' % reply.etag.encode()
    if reply.replayed:
        lines += b"idempotency-replayed: true\r\n"
    if reply.location is not None:
        lines += b"location: %b\r\n" % reply.location.encode()
    exchange.answer(reply.status, lines, reply.body)


def _refuse(exchange: Exchange, names: Headers, error: BaseException) -> None:
    if not isinstance(error, ServiceError):
        request_id = names[0][1].decode("latin-1")
        logger.error("request %s failed", request_id, exc_info=error)
        error = Internal(f"request {request_id}")
    exchange.refuse(error, names)
