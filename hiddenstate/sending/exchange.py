"""What the client asks, and when it asks again; neither network nor clock is touched here.

The steps of a call are a generator: it yields what is to be done, and is sent what came of it. So the blocking and the
asynchronous client do the same, each in its own way.
"""

import datetime as dt
import json
import math
import random
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Generic, NamedTuple, TypeVar

import httpx2

from hiddenstate.answers.answer import NotAnAnswer
from hiddenstate.errors import ProblemError, ServiceUnreachable, problem_of, problem_of_text

ATTEMPTS = 3
LONGEST_WAIT_S = 30.0
"""A service that asks for a longer wait is not waited for: the caller gets its problem and decides."""
BACKOFF_S = 0.2
JSON = "application/json"

ResultT = TypeVar("ResultT")
ResultT_co = TypeVar("ResultT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. With `stream` the body of a good answer is left to be read."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    attempts: int = ATTEMPTS
    stream: bool = False


class Wait(NamedTuple):
    """To be waited before the next step."""

    seconds: float


class Lost(NamedTuple):
    """No answer came; the request may have arrived."""

    reason: str


Steps = Generator[Ask | Wait, httpx2.Response | Lost | None, ResultT]


@dataclass(frozen=True, slots=True)
class Call(Generic[ResultT_co]):
    """A request, and how its answer is read."""

    ask: Ask
    read: Callable[[Any], ResultT_co]


def asked(
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: object = None,
    accept: str | None = None,
    key: str | None = None,
) -> Ask:
    """A request with a JSON body, if any, and an idempotency key, if any.

    Raises:
        ValueError, TypeError: the body has what JSON has not, such as NaN.
    """
    headers = {}
    content = None
    if body is not None:
        content = dumped(body)
        headers["Content-Type"] = JSON
    if accept is not None:
        headers["Accept"] = accept
    if key is not None:
        headers["Idempotency-Key"] = key
    return Ask(method, path, query or {}, content, headers)


def dumped(body: object) -> bytes:
    """As JSON. Raises ValueError or TypeError: it has what JSON has not, such as NaN."""
    try:
        return json.dumps(body, allow_nan=False, separators=(",", ":"), default=_plain).encode()
    except ValueError as error:
        raise ValueError(f"NaN and infinity cannot be sent; None is a missing value ({error})") from None


def new_key() -> str:
    return uuid.uuid4().hex


def called(call: Call[ResultT], url: str) -> Steps[ResultT]:
    """Ask, again where that makes sense, and read the answer.

    Raises:
        ProblemError: the service refused.
        ServiceUnreachable: no answer came in three attempts, or from something else than the service.
    """
    response = yield from answered(call.ask, url)
    try:
        return call.read(json.loads(response.content) if response.content else None)
    except (ValueError, NotAnAnswer) as error:
        raise ServiceUnreachable(url, f"what answers there is no hiddenstate service ({error})") from None


def answered(ask: Ask, url: str) -> Steps[httpx2.Response]:
    """Ask until there is a good answer; the request stays the same, its idempotency key too."""
    for attempt in range(1, ask.attempts + 1):
        answer = yield ask
        if isinstance(answer, httpx2.Response) and answer.is_success:
            return answer
        error, wait_s = failure(answer, url, attempt)
        if attempt == ask.attempts or wait_s > LONGEST_WAIT_S:
            raise error
        yield Wait(wait_s)
    raise AssertionError("a request is asked once at least")


def backoff_s(attempt: int) -> float:
    """0.1 to 0.2 s, then twice that: many clients that failed together do not come back together."""
    return BACKOFF_S * float(2 ** (attempt - 1)) * random.uniform(0.5, 1.0)


def failure(
    answer: httpx2.Response | Lost | None, url: str, attempt: int
) -> tuple[ProblemError | ServiceUnreachable, float]:
    """The error to raise, and the seconds after which another attempt makes sense (infinite: none does)."""
    if not isinstance(answer, httpx2.Response):
        return ServiceUnreachable(url, "" if answer is None else answer.reason), backoff_s(attempt)
    problem = _problem(answer)
    asked_s = _retry_after_s(answer.headers.get("Retry-After", ""))
    return problem, asked_s + backoff_s(attempt) if problem.retryable else math.inf


def _retry_after_s(written: str) -> float:
    """Seconds, or a date of HTTP."""
    if written.isdecimal():
        return float(written)
    try:
        return max(0.0, (parsedate_to_datetime(written) - dt.datetime.now(dt.UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _problem(response: httpx2.Response) -> ProblemError:
    try:
        members = response.json()
    except ValueError:
        return problem_of_text(response.status_code, response.text)
    return problem_of(response.status_code, members if isinstance(members, dict) else {})


def _plain(value: object) -> object:
    """Dates, and numbers of numpy, as JSON has them."""
    if isinstance(value, dt.date):
        return value.isoformat()
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be sent")
