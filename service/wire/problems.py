"""What the service refuses, as RFC 9457 problem details: the family, and the problems of requests and of the service.

One class a problem type. Those that concern the state of a session are in session_problems.py.
"""

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import orjson

MEDIA_TYPE = "application/problem+json"
INFERENCE = "/v2"
"""Where the Open Inference Protocol is spoken."""
TIME_SERIES = "/v1/timeseries/forecast"
"""Where histories are sent in KServe's shape."""
AGAIN = "the same request again settles it"
"""What a client can do that does not know what became of its request."""
LOOK_FIRST = (
    "look at the session's step before you send this again: a bare value, without timestamp, step, Idempotency-Key or "
    "If-Match, would be folded twice; give the next one a key"
)
"""The same where the request could not be recognised."""
OVERLOADED = "too many requests wait; send this one again later"
NAME_LIMIT = 64
"""Characters of a client's own key or id that a problem repeats."""


class Fault(NamedTuple):
    """One thing to mend in a request: where (a JSON pointer into the body, or a parameter) and what."""

    detail: str
    pointer: str | None = None
    parameter: str | None = None

    def body(self) -> dict[str, str]:
        where = {"parameter": self.parameter} if self.parameter is not None else {"pointer": self.pointer or ""}
        return {**where, "detail": self.detail}


def shown(name: str) -> str:
    """A client's key or id as a problem may repeat it: printable and short."""
    clean = "".join(c if c.isprintable() else "?" for c in name[:NAME_LIMIT])
    return clean if len(name) <= NAME_LIMIT else clean + "…"


def pointer(*parts: str | int) -> str:
    """The JSON pointer (RFC 6901) of a path into the body: ("observations", 3, "value") -> "/observations/3/value"."""
    return "".join("/" + shown(str(part)).replace("~", "~0").replace("/", "~1") for part in parts)


class Standing(NamedTuple):
    """The session that a problem concerns, and where it stands: step and last timestamp (written form), if known."""

    session: str
    step: int | None = None
    last: str | None = None


class ServiceError(Exception):
    """A refusal that the client hears of. The class holds status, slug and title; the instance the detail and members.

    Args:
        detail: what was wrong and what to do next. Never a refused value.
        at: the session concerned.
        errors: the single faults, where a programmer must mend the request.
        retry_after_s: overrides the class's advice.
        members: further members of the problem, JSON values.
    """

    status: ClassVar[int]
    slug: ClassVar[str]
    title: ClassVar[str]
    retryable: ClassVar[bool] = False
    retry_after_s: float | None = None

    def __init__(
        self,
        detail: str,
        *,
        at: Standing | None = None,
        errors: Sequence[Fault] = (),
        retry_after_s: float | None = None,
        **members: object,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.at = at
        self.errors = tuple(errors)
        self.members = members
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s

    def body(self, instance: str | None) -> dict[str, object]:
        """The problem as JSON values, in the documented order; `instance` is the request's id."""
        session, step, last = self.at or (None, None, None)
        return {
            "type": f"/problems/{self.slug}",
            "title": self.title,
            "status": self.status,
            "retryable": self.retryable,
            "instance": instance,
            "detail": self.detail,
            "errors": [fault.body() for fault in self.errors],
            "session": session,
            "step": step,
            "last": last,
            **self.members,
        }

    def render(self, instance: str | None, path: str = "") -> bytes:
        """The problem as it is answered at a path: where other APIs are spoken, with their `error`."""
        body = self.body(instance)
        if path == TIME_SERIES:
            body["error"] = self.error_object()
        if path == INFERENCE or path.startswith(f"{INFERENCE}/"):
            body["error"] = self.detail
        return orjson.dumps(body)

    def error_object(self) -> dict[str, str | None]:
        """The problem as the time-series API has it."""
        param = next((fault.pointer or fault.parameter for fault in self.errors), None)
        return {"code": self.slug, "message": self.detail, "param": param, "type": self.title}

    def headers(self) -> dict[str, str]:
        """Headers that belong to the problem itself, beside its media type."""
        return {"Retry-After": str(math.ceil(self.retry_after_s))} if self.retry_after_s is not None else {}


class Retryable(ServiceError):
    """Nothing is wrong with the request: sent again unchanged, after `retry_after_s`, it can succeed."""

    retryable = True
    retry_after_s = 1.0


class MalformedRequest(ServiceError):
    """The body, a header or a page token cannot be read at all."""

    status, slug, title = 400, "malformed-request", "Malformed request"


class Unauthenticated(ServiceError):
    status, slug, title = 401, "unauthenticated", "Authentication required"

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class Forbidden(ServiceError):
    status, slug, title = 403, "forbidden", "Not allowed with this key"


class NotFound(ServiceError):
    """No such route or model."""

    status, slug, title = 404, "not-found", "Not found"


class MethodNotAllowed(ServiceError):
    status, slug, title = 405, "method-not-allowed", "Method not allowed"

    def __init__(self, allow: Sequence[str]) -> None:
        self.allow = ", ".join(allow)
        super().__init__(f"this address takes {self.allow}")

    def headers(self) -> dict[str, str]:
        return {"Allow": self.allow}


class UpgradeRequired(ServiceError):
    """The address is that of a WebSocket."""

    status, slug, title = 426, "upgrade-required", "Upgrade required"

    def headers(self) -> dict[str, str]:
        return {"Upgrade": "websocket"}


class NotAcceptable(ServiceError):
    """`available` are the media types this address can answer with."""

    status, slug, title = 406, "not-acceptable", "No acceptable representation"

    def __init__(self, available: Sequence[str]) -> None:
        super().__init__(
            f"this address answers with {', '.join(available)}; change the Accept header",
            errors=[Fault("names none of the media types available", parameter="Accept")],
        )


class RequestTimeout(Retryable):
    """The body did not arrive in time."""

    status, slug, title = 408, "request-timeout", "Request took too long to arrive"


class TooLarge(ServiceError):
    """The body, or a part of it, is larger than `limit` bytes after decompression."""

    status, slug, title = 413, "too-large", "Body too large"

    def __init__(self, limit: int, detail: str | None = None) -> None:
        whole = (
            f"the body is larger than {limit} bytes after decompression; send it in parts: of a long history the first "
            "by PUT and the rest by POST, for the same forecasts to the bit; batches as JSON Lines or Arrow"
        )
        super().__init__(detail or whole, limit=limit)


class UnsupportedMediaType(ServiceError):
    """The body's media type, or its content coding, is not one that is read here."""

    status, slug, title = 415, "unsupported-media-type", "Unsupported media type"


class InvalidRequest(ServiceError):
    """Readable, but something in it must be mended: `errors` says where and how."""

    status, slug, title = 422, "invalid-request", "Invalid request"

    def __init__(self, errors: Sequence[Fault], at: Standing | None = None) -> None:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        where = errors[0].parameter or errors[0].pointer or "the body"
        super().__init__(f"{where}: {errors[0].detail}{more}", at=at, errors=errors)


class QuotaExceeded(Retryable):
    status, slug, title = 429, "quota-exceeded", "Quota exceeded"


class Internal(ServiceError):
    """A fault of the service: the detail holds the request's id and nothing else."""

    status, slug, title = 500, "internal", "Internal error"


class Overloaded(Retryable):
    """More is waiting than the queue takes."""

    status, slug, title = 503, "overloaded", "Too many requests are waiting"


class StoreUnavailable(Retryable):
    """The store did not take the request: nothing was changed."""

    status, slug, title = 503, "store-unavailable", "Store unavailable"


class DurabilityUnconfirmed(Retryable):
    """Applied, but not confirmed on disk or replica in time: the retry finds it."""

    status, slug, title = 503, "durability-unconfirmed", "Applied, durability not confirmed"

    def __init__(self, session: str, *, recognised: bool = True) -> None:
        again = f"{AGAIN}, once it is confirmed" if recognised else "do not send it again: it would be folded twice"
        super().__init__(
            f"the change was applied, and it is not confirmed yet that it survives what it must; {again}",
            at=Standing(session),
        )


class NotReady(Retryable):
    """Starting or draining; `reasons` says which."""

    status, slug, title = 503, "not-ready", "Not ready"

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons), reasons=list(reasons))


class DeadlineExceeded(Retryable):
    """Time is up; whether the request was applied is unknown until it is sent again."""

    status, slug, title = 504, "deadline-exceeded", "Deadline exceeded"
