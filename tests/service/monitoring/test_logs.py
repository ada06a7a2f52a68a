"""Log lines: one for each refused, failed or slow request, JSON for machines, and never what a client sent."""

import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx2
import orjson
import pytest

from service.monitoring.logs import RequestLog, logger
from service.sessions.registry import Registry
from service.wire.problems import OVERLOADED, Overloaded
from tests.service.calls import post
from tests.service.conftest import Service, serving
from tests.service.processes import ROOT

Lines = list[dict[str, Any]]
CANARY = 987654.25
SAY = """
import logging
from service.monitoring.logs import LogFormat, LogLevel, configure, logger
configure(LogFormat("{form}"), LogLevel("{level}"))
logger("service.own").info("a thing happened", session="a", count=3)
logging.getLogger("uvicorn.error").warning("said by the server")
logging.getLogger("uvicorn.error").info("said too often")
try:
    1 / 0
except ZeroDivisionError as error:
    logger("service.own").error("request failed", request_id="x", exc_info=error)
"""


def said(form: str, level: str = "info") -> str:
    """What a process writes to standard error, which is no terminal."""
    command = [sys.executable, "-c", SAY.format(form=form, level=level)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr


@pytest.fixture
def lines(service: Service) -> Iterator[Lines]:
    """What is logged of requests from now on, as values."""
    found: Lines = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert isinstance(record.msg, dict)
            found.append({"level": record.levelname, **record.msg})

    log = logging.getLogger("service.requests")
    handler, level = Keeping(), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield found
    log.removeHandler(handler)
    log.setLevel(level)


@pytest.mark.parametrize("form", ["json", "auto"])
def test_lines_are_json_where_no_terminal_is_and_the_servers_own_are_among_them(form: str) -> None:
    first, server, failed = map(orjson.loads, said(form).splitlines())
    assert list(first) == ["timestamp", "level", "logger", "event", "session", "count"]
    assert (first["level"], first["event"], first["count"]) == ("info", "a thing happened", 3)
    assert (server["level"], server["logger"], server["event"]) == ("warning", "uvicorn.error", "said by the server")
    assert "ZeroDivisionError: division by zero" in failed["exception"]
    assert failed["request_id"] == "x"


def test_console_lines_can_be_read_and_a_level_leaves_out_what_is_less_grave() -> None:
    text = said("console", "error")
    assert "a thing happened" not in text
    assert "request failed" in text
    assert "ZeroDivisionError: division by zero" in text
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(text.splitlines()[0])


def test_a_refused_request_has_one_line_that_names_it_and_nothing_it_sent(
    api: httpx2.Client, lines: Lines, name: str
) -> None:
    post(api, name, {"value": CANARY, "valu": CANARY}, **{"X-Request-Id": "mine"})
    api.patch(f"/v1/sessions/{name}/observations/1", json={"value": CANARY}, headers={"X-Request-Id": "other"})
    hot, framework = lines
    assert {**hot, "ms": 0} == {
        "level": "INFO",
        "event": "request refused",
        "method": "POST",
        "route": "/v1/sessions/{session}/observations",
        "status": 422,
        "problem": "invalid-request",
        "request_id": "mine",
        "ms": 0,
    }
    assert (framework["status"], framework["problem"], framework["session"], framework["request_id"]) == (
        *(404, "session-not-found", name, "other"),
    )
    assert framework["route"] == "/v1/sessions/{session}/observations/{key}"
    assert str(CANARY) not in repr(lines)


def test_answered_requests_have_no_line(api: httpx2.Client, lines: Lines, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"observations": [{"value": 1}]})
    assert post(api, name, {"value": 2}).status_code == 200
    assert api.get(f"/v1/sessions/{name}").status_code == 200
    assert lines == []


def test_slow_requests_are_told(registry: Registry, service: Service, lines: Lines, name: str) -> None:
    with serving(registry, service.store_url, slow_request_s=1e-9) as slow, httpx2.Client(base_url=slow.url) as client:
        client.post(f"/v1/sessions/{name}/observations?create=true", json={"value": 1}, headers={"X-Request-Id": "a"})
        client.get(f"/v1/sessions/{name}", headers={"X-Request-Id": "b"})
    told = [(line["event"], line["status"], line["request_id"], line["level"]) for line in lines]
    assert told == [("slow request", 201, "a", "WARNING"), ("slow request", 200, "b", "WARNING")]
    assert all(line["ms"] >= 0 for line in lines)


def test_many_slow_requests_are_told_as_a_number(lines: Lines) -> None:
    log = RequestLog()
    for _ in range(1000):
        log.slow("POST", "/", 200, [], 2.0)
    log.tick()
    assert [line["event"] for line in lines] == [*10 * ["slow request"], "more slow requests"]
    assert lines[-1]["count"] == 990


def test_refusals_for_want_of_room_are_told_as_a_number(lines: Lines) -> None:
    log = RequestLog()
    for _ in range(1000):
        log.turned_away()
        log.refused("POST", "/", Overloaded(OVERLOADED), [], 0.001)
    assert lines == []
    for _ in range(2):
        log.tick()
    assert [(line["event"], line["count"]) for line in lines] == [("requests refused for want of room", 2000)]


def test_a_logger_that_nobody_configured_says_nothing_below_a_warning() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger("service.quiet").addHandler(handler)
    logger("service.quiet").info("nothing")
    assert stream.getvalue() == ""
