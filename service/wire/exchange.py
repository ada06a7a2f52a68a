"""One HTTP exchange below the framework: the body within its limits, the request's id, the bytes of an answer."""

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from service.wire.accepting import preferred
from service.wire.headers import GZIP, Unpack, inflated
from service.wire.problems import (
    MEDIA_TYPE,
    Fault,
    MalformedRequest,
    RequestTimeout,
    ServiceError,
    TooLarge,
)

JSON = b"application/json"
REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
TRACE_PARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

SINGLE = {
    b"content-type": "Content-Type",
    b"content-encoding": "Content-Encoding",
    b"idempotency-key": "Idempotency-Key",
    b"inference-header-content-length": "Inference-Header-Content-Length",
}
LISTS = (b"accept", b"accept-encoding", b"if-match", b"if-none-match")
REVALIDATED = (b"cache-control", b"private, no-cache")
LINGER_S = 1.0
"""How long a connection whose request is not wanted is read on: closed with bytes unread, it would be reset, and the
answer lost on its way."""

Headers = list[tuple[bytes, bytes]]
RawHeaders = Mapping[bytes, bytes]


class ClientGone(Exception):
    """The client closed the connection before its request was whole: nobody waits for an answer."""


async def read_body(
    receive: Receive,
    headers: RawHeaders,
    *,
    limit: int,
    timeout_s: float,
    codings: Mapping[str, Unpack] = GZIP,
) -> bytes:
    """The request's body, without its content coding.

    Args:
        codings: those that it may have.

    Raises:
        TooLarge, RequestTimeout, MalformedRequest, UnsupportedMediaType: it is refused.
        ClientGone: it will never be whole.
    """
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit:
        raise TooLarge(limit)
    try:
        async with asyncio.timeout(timeout_s):
            message = await receive()
            body = _part(message)
            if message.get("more_body"):
                body = await _rest(receive, bytearray(body), limit)
    except TimeoutError:
        raise RequestTimeout(f"the body did not arrive within {timeout_s:g} s") from None
    coding = headers.get(b"content-encoding")
    return inflated(body, None if coding is None else coding.decode("latin-1"), limit, codings)


async def _rest(receive: Receive, body: bytearray, limit: int) -> bytes:
    while True:
        message = await receive()
        body += _part(message)
        if len(body) > limit:
            raise TooLarge(limit)
        if not message.get("more_body"):
            return bytes(body)


def _part(message: Message) -> bytes:
    if message["type"] == "http.disconnect":
        raise ClientGone
    part: bytes = message.get("body", b"")
    return part


def given_headers(sent: Headers) -> RawHeaders:
    """The request's headers by name. A list that is given in parts is joined.

    Raises:
        MalformedRequest: a header that has one value is given twice.
    """
    headers = dict(sent)
    if len(headers) == len(sent):
        return headers
    for name, count in Counter(name for name, _ in sent).items():
        if count > 1 and name in SINGLE:
            fault = Fault("given twice", parameter=SINGLE[name])
            raise MalformedRequest(f"{SINGLE[name]} is {fault.detail}", errors=[fault])
        if count > 1 and name in LISTS:
            headers[name] = b", ".join(value for other, value in sent if other == name)
    return headers


def text(headers: RawHeaders, name: bytes) -> str | None:
    """A header's value."""
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


def require_acceptable(accept: str | None) -> None:
    """Raises NotAcceptable where the client takes no JSON."""
    if accept not in (None, "*/*"):
        preferred(accept, ["application/json"])


def request_id(headers: RawHeaders, made: bytes) -> bytes:
    """The id that the client gave, else the one made."""
    given = headers.get(b"x-request-id")
    return given if given is not None and REQUEST_ID.fullmatch(given) else made


def identity(given: RawHeaders, made: bytes) -> Headers:
    """The headers that name an exchange, on every answer; the id is the client's, else the one made."""
    named = [(b"x-request-id", request_id(given, made))]
    trace = given.get(b"traceparent")
    if trace is not None and TRACE_PARENT.fullmatch(trace):
        named.append((b"traceparent", trace))
    return named


def header_lines(headers: Headers) -> bytes:
    """Headers as they are sent, each with its end of line."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def problem_answer(error: ServiceError, headers: Headers) -> tuple[int, Headers, bytes]:
    """A problem as status, headers and body; its instance is the request id among the given headers."""
    instance = next((value.decode("latin-1") for name, value in headers if name == b"x-request-id"), None)
    extra = [(name.lower().encode(), value.encode("latin-1")) for name, value in error.headers().items()]
    return error.status, [*headers, (b"content-type", MEDIA_TYPE.encode()), *extra], error.render(instance)


def ends_connection(error: ServiceError) -> bool:
    """Whether the request was not read to its end."""
    return isinstance(error, TooLarge | RequestTimeout)


def lingering(receive: Receive, send: Send) -> Send:
    """Send an answer as it is, and end it only when the client has stopped sending, or LINGER_S after."""

    async def send_and_read_on(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
            return
        await send({**message, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while (await receive()).get("more_body"):
                    pass
        await send({"type": "http.response.body"})

    return send_and_read_on


def as_state(scope: Scope) -> dict[str, Any]:
    """Where an exchange's own values are kept."""
    state: dict[str, Any] = scope.setdefault("state", {})
    return state
