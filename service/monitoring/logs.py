"""Logs: one line an event, JSON for machines, readable on a terminal; the server's own lines among them.

A line names routes, problems, sessions and request ids, never what a client sent.
"""

import logging
import sys
from collections.abc import MutableMapping
from enum import StrEnum
from time import monotonic
from typing import Any, cast

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import Processor

from service.wire.exchange import Headers
from service.wire.problems import Internal, Overloaded, ServiceError

Event = MutableMapping[str, Any]

TOLD_EVERY_S = 1.0
SLOW_TOLD = 10
"""Slow requests that are told one by one in that time; of more only how many there were."""
QUIET = {
    **dict.fromkeys(("uvicorn", "asyncio", "httpx2", "httpcore2"), "WARNING"),
    **dict.fromkeys(("opentelemetry", "urllib3", "requests"), "ERROR"),
}
"""Libraries that say more than an operator wants to know."""


class LogFormat(StrEnum):
    AUTO = "auto"
    """Readable on a terminal, JSON elsewhere."""
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def logger(name: str) -> BoundLogger:
    """A logger of events with named values, which go where the standard library's lines go."""
    processors: list[Processor] = [structlog.stdlib.filter_by_level, ProcessorFormatter.wrap_for_formatter]
    wrapped = structlog.wrap_logger(logging.getLogger(name), processors=processors, wrapper_class=BoundLogger)
    return cast(BoundLogger, wrapped)


def configure(form: LogFormat, level: LogLevel) -> None:
    """Have everything that this process logs written to standard error. For the process that serves, once."""
    readable = form is LogFormat.CONSOLE or (form is LogFormat.AUTO and sys.stderr.isatty())
    handler = logging.StreamHandler()
    handler.setFormatter(_readable() if readable else _json())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel("DEBUG" if level is LogLevel.DEBUG else least)
    logging.captureWarnings(True)


def _json() -> logging.Formatter:
    rendered: list[Processor] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return ProcessorFormatter(processors=[_named, *rendered])


def _readable() -> logging.Formatter:
    plain = structlog.dev.plain_traceback
    console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    return ProcessorFormatter(processors=[_named, console])


_stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)


def _named(_: Any, method: str, event: Event) -> Event:  # noqa: ANN401 - what the library hands over
    """When, how grave, by whom: first in each line, before what happened."""
    record: logging.LogRecord = event.pop("_record")
    event.pop("_from_structlog")
    named = {"level": record.levelname.lower(), "logger": record.name, "event": event.pop("event")}
    return {**_stamp(None, method, {}), **named, **event}


class RequestLog:
    """A line for each request that was refused, failed or slow; none for those that were answered as they should.

    Refusals for want of room are as many as there is load: of those one line a second tells how many.
    """

    def __init__(self) -> None:
        self._turned_away = self._slow = 0
        self._told_at = 0.0
        self._log = logger("service.requests")

    def turned_away(self) -> None:
        """There was no room for a request."""
        self._turned_away += 1

    def refused(self, method: str, route: str, problem: ServiceError, names: Headers, took: float | None) -> None:
        """A request was answered by a problem. Of a bug only the traceback is told, where it happens."""
        if isinstance(problem, Overloaded):
            self._turned_away += 1
        elif problem.status != Internal.status:
            grave = problem.status > Internal.status
            named = {
                **_ids(names),
                "session": problem.at and problem.at.session,
                "ms": None if took is None else round(1000 * took, 1),
                "detail": problem.detail if grave else None,
            }
            self._log.log(
                logging.WARNING if grave else logging.INFO,
                "request refused",
                method=method,
                route=route,
                status=problem.status,
                problem=problem.slug,
                **{name: value for name, value in named.items() if value is not None},
            )

    def slow(self, method: str, route: str, status: int, names: Headers, took: float) -> None:
        """A request took long."""
        self._slow += 1
        if self._slow > SLOW_TOLD:
            return
        ms = round(1000 * took, 1)
        self._log.warning("slow request", method=method, route=route, status=status, **_ids(names), ms=ms)

    def tick(self) -> None:
        """Tell what was only counted, if that is long enough ago."""
        if monotonic() - self._told_at > TOLD_EVERY_S:
            self.tell()

    def tell(self) -> None:
        """Tell what was only counted."""
        if self._turned_away:
            self._log.warning("requests refused for want of room", count=self._turned_away)
        if self._slow > SLOW_TOLD:
            self._log.warning("more slow requests", count=self._slow - SLOW_TOLD)
        self._turned_away, self._slow, self._told_at = 0, 0, monotonic()


def failed(log: BoundLogger, names: Headers, error: BaseException) -> None:
    """A request met a bug."""
    log.error("request failed", **_ids(names), exc_info=error)


def _ids(names: Headers) -> dict[str, str]:
    """What a request and its trace are called."""
    given = dict(names)
    found = {}
    if b"x-request-id" in given:
        found["request_id"] = given[b"x-request-id"].decode("latin-1")
    if b"traceparent" in given:
        found["trace_id"] = given[b"traceparent"].decode("latin-1").split("-")[1]
    return found
