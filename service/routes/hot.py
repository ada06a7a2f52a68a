"""The hot route, POST /v1/sessions/{id}/observations, answered in front of the framework.

A route of the framework costs five times as much as this. There is one path: the framework has no such route.
"""

import logging
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from service.routes.observing import Observing
from service.sessions.work import Reply
from service.settings import Settings
from service.wire.exchange import JSON, ClientGone, given_headers, identity, read_body, refuse, respond
from service.wire.problems import Internal, ServiceError

PREFIX, SUFFIX = "/v1/sessions/", "/observations"

logger = logging.getLogger(__name__)


def session_in(path: str) -> str | None:
    """The session whose observations a path names; None = another kind of path."""
    if not (path.startswith(PREFIX) and path.endswith(SUFFIX)):
        return None
    session = path[len(PREFIX) : -len(SUFFIX)]
    return session if session and "/" not in session else None


class HotRoute:
    """Answers the hot route, and leaves every other request to the framework."""

    def __init__(
        self, app: ASGIApp, observing: Callable[[], Observing], settings: Settings, randomness: Callable[[int], bytes]
    ) -> None:
        self._app = app
        self._observing = observing
        self._settings = settings
        self._randomness = randomness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = session_in(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if session is None:
            await self._app(scope, receive, send)
            return
        named = identity(scope["headers"], self._randomness(8))
        try:
            observing = self._observing()
            observing.admit(session)
            headers = given_headers(scope)
            body = await read_body(
                receive, headers, limit=self._settings.body_limit_bytes, timeout_s=self._settings.deadline_s
            )
            reply = await observing.observe(session, scope["query_string"], headers, body)
        except ServiceError as refused:
            await refuse(receive, send, named, refused)
        except ClientGone:
            return
        except Exception:
            logger.exception("request %s failed", named[0][1].decode("latin-1"))
            await refuse(receive, send, named, Internal(f"request {named[0][1].decode('latin-1')}"))
        else:
            await respond(send, reply.status, [*named, *_headers(reply)], reply.body)


def _headers(reply: Reply) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", JSON)]
    if reply.etag is not None:
        headers.append((b"etag", b'"%b"' % reply.etag.encode()))
    if reply.replayed:
        headers.append((b"idempotency-replayed", b"true"))
    if reply.location is not None:
        headers.append((b"location", reply.location.encode()))
    return headers
