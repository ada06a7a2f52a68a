"""The load generator's scripts, run as it runs them."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
from lupa.luajit21 import LuaRuntime

from bench.creation import write_series
from bench.load import parse
from bench.workload import FIRST_DAY, Histories, Observations, Workload

SESSIONS = 20
Request = tuple[str, dict[str, str], dict[str, object]]


def requests(workload: Workload) -> Iterator[Request]:
    """Path, headers and body of each request of a load; the first is the one that is asked for and never sent."""
    lua = LuaRuntime()
    lua.execute(workload.script())
    while True:
        head, body = lua.eval("request()").split("\r\n\r\n")
        line, *rows = head.split("\r\n")
        headers = dict(row.split(": ") for row in rows)
        assert int(headers["Content-Length"]) == len(body)
        yield line.split()[1], headers, json.loads(body)


def sent(workload: Workload, count: int) -> list[Request]:
    asked = requests(workload)
    unsent, *rest = [next(asked) for _ in range(count + 1)]
    assert unsent == rest[0]
    return rest


def test_each_session_gets_its_days_one_after_the_other() -> None:
    days = defaultdict(list)
    for path, _, body in sent(Observations(SESSIONS), 5 * SESSIONS):
        days[path].append(body.get("timestamp"))
    expected = [(FIRST_DAY + timedelta(days=t)).date().isoformat() for t in range(5)]
    assert len(days) == SESSIONS
    for path, found in days.items():
        number = int(re.findall(r"\d+", path)[1])
        assert found == (expected if number % 2 == 0 else [None] * 5)


def test_every_request_of_a_session_without_dates_has_a_key_of_its_own() -> None:
    keys = [headers.get("Idempotency-Key") for _, headers, body in sent(Observations(SESSIONS), 200)]
    given = [key for key in keys if key]
    assert len(given) == len(set(given)) == 100


def test_the_next_load_goes_on_where_the_last_one_ended() -> None:
    workload = Observations(SESSIONS)
    both = sent(workload, 100)
    workload.sent = 70
    assert sent(workload, 30) == both[70:]


def test_the_first_day_follows_what_a_session_was_created_with(tmp_path: Path) -> None:
    dated, counted = (pq.read_table(path).to_pydict() for path in write_series(tmp_path, 5))
    assert dict(zip(dated["unique_id"], dated["ds"], strict=True)) == dict.fromkeys(
        ("bench-0", "bench-2", "bench-4"), FIRST_DAY.date() - timedelta(days=1)
    )
    assert set(counted["unique_id"]) == {"bench-1", "bench-3"}
    assert "ds" not in counted


def test_a_history_has_its_length() -> None:
    [(path, _, body)] = sent(Histories(100), 1)
    values = body["values"]
    assert isinstance(values, list)
    assert (path, len(values)) == ("/v1/forecast", 100)


def test_what_the_script_says_at_the_end_is_read() -> None:
    lua = LuaRuntime()
    lua.execute("said = ''; io = {write = function(text) said = said .. text end}")
    lua.execute(Observations(SESSIONS, 500).script())
    lua.execute("""
        setup({get = function(self, name) return sent end})
        for _ = 1, 101 do request() end
        local errors = {connect = 1, read = 2, write = 3, timeout = 4, status = 5}
        local latency = {percentile = function(self, p) return p * 100 end}
        done({requests = 95, duration = 1000000, errors = errors}, latency, nil)
    """)
    assert parse(lua.eval("said")) == (95, 1_000_000, 5000.0, 9900.0, 15, 600)
