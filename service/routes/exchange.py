"""What all routes need of a request and of an answer."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import Depends, Request
from fastapi.responses import Response

from service.core import Core
from service.sessions.views import is_unchanged
from service.sessions.work import Conditions, Reply, digest_of, token_of
from service.wire import headers, parsing
from service.wire.exchange import given_headers, read_body, require_acceptable, text
from service.wire.media import Media, accepted
from service.wire.problems import AGAIN, DeadlineExceeded, MethodNotAllowed, NotReady
from service.wire.schemas import Nothing, Problem

ResultT = TypeVar("ResultT")

JSON = "application/json"
VERBS = ("forecast", "reset", "rewind", "verify")
"""Of the calls POST …/{session}:VERB."""
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "Refused; see /problems/{slug}"},
    "5XX": {"model": Problem, "description": "Failed; see /problems/{slug}"},
}


def core_of(request: Request) -> Core:
    """The running service. Raises NotReady before it has started."""
    core: Core | None = request.app.state.readiness.core
    if core is None:
        raise NotReady(["the service is starting"])
    return core


def session_of(session: str) -> str:
    """The session that a path names.

    Raises:
        MethodNotAllowed: it names a verb, and the method is not that of verbs.
        InvalidRequest: the id is not allowed.
    """
    if session.rpartition(":")[2] in VERBS and ":" in session:
        raise MethodNotAllowed(["POST"])
    return parsing.session_id(session)


def acceptable(request: Request) -> None:
    """Raises NotAcceptable where the client takes no JSON."""
    require_acceptable(_given(request, b"accept"))


CoreDep = Annotated[Core, Depends(core_of)]
SessionDep = Annotated[str, Depends(session_of)]


async def json_body(
    request: Request,
    core: Core,
    *,
    limit: int | None = None,
    codings: Mapping[str, headers.Unpack] = headers.GZIP,
) -> bytes:
    """The request's JSON body, of so many bytes at most. Raises what the limits and the media type refuse."""
    headers.require_json(_given(request, b"content-type"))
    return await _body(request, core, limit, codings)


async def require_no_members(request: Request, core: Core) -> None:
    """Of a call that takes nothing: raises InvalidRequest where something is sent, as it would be ignored."""
    if body := await _body(request, core):
        headers.require_json(_given(request, b"content-type"))
        parsing.request(body, Nothing)


async def _body(
    request: Request, core: Core, limit: int | None = None, codings: Mapping[str, headers.Unpack] = headers.GZIP
) -> bytes:
    given, settings = given_headers(request.scope["headers"]), core.settings
    most = settings.body_limit_bytes if limit is None else limit
    return await read_body(request.receive, given, limit=most, timeout_s=settings.deadline_s, codings=codings)


def _given(request: Request, name: bytes) -> str | None:
    return text(given_headers(request.scope["headers"]), name)


def if_match(request: Request) -> tuple[str, ...] | None:
    """The ETags of If-Match."""
    return headers.entity_tags(_given(request, b"if-match"), "If-Match")


def conditions(request: Request, operation: str, payload: object) -> Conditions:
    """If-Match, and the Idempotency-Key with what tells its payload from others."""
    key = headers.idempotency_key(_given(request, b"idempotency-key"))
    if key is None:
        return Conditions(if_match(request))
    return Conditions(if_match(request), token_of(key), digest_of(operation, payload))


async def within(seconds: float, work: Awaitable[ResultT]) -> ResultT:
    """The result of work that is given up after a while. Raises DeadlineExceeded."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise DeadlineExceeded(f"the work took too long; {AGAIN}") from None


def reply(body: object, *, etag: str | None = None, status: int = 200, **extra: str) -> Response:
    """A JSON answer; `extra` are further headers, underscores standing for hyphens."""
    named = {name.replace("_", "-"): value for name, value in extra.items()}
    if etag is not None:
        named["ETag"] = f'"{etag}"'
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return Response(data, status_code=status, headers=named, media_type=JSON)


def write_reply(answered: Reply) -> Response:
    """The answer to a write, repeated or new."""
    repeated = {"Idempotency_Replayed": "true"} if answered.replayed else {}
    return reply(answered.body, etag=answered.etag, status=answered.status, **repeated)


def read_reply(request: Request, body: object, etag: str, media: Media = Media.JSON, **extra: str) -> Response:
    """The answer to a GET, of a media type: 304 where the client has this state. `extra` are further headers."""
    if is_unchanged(etag, headers.entity_tags(_given(request, b"if-none-match"), "If-None-Match")):
        return Response(status_code=304, headers={"ETag": f'"{etag}"'})
    answer = reply(body, etag=etag)
    answer.headers.update({"content-type": media, **extra})
    return answer


def accepted_media(request: Request) -> Media:
    """The media type of rows to answer with. Raises NotAcceptable."""
    return accepted(_given(request, b"accept"), Media.JSON)
