"""Metrics: exact counts of what was asked and what came of it, and what is read from the store."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
import redis
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from service.sessions.registry import Registry
from service.storage.embedded import EmbeddedStore
from tests.service.calls import correct, post, wait_until
from tests.service.conftest import Service, serving
from tests.service.days import day, observation, series, value
from tests.service.monitoring.scrapes import Scrape, scraped

HOT = "/v1/sessions/{session}/observations"
KEY = HOT + "/{key}"
BATCH = "/v1/observations:batch"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path) as store:
        yield store


@pytest.fixture
def own(store: EmbeddedStore, registry: Registry) -> Iterator[httpx2.Client]:
    """A service over a store of its own, which nobody has asked anything yet."""
    with serving(registry, store.url, store_timeout_s=1.0) as running, httpx2.Client(base_url=running.url) as client:
        yield client


@pytest.fixture
def counted(registry: Registry, service: Service) -> Iterator[httpx2.Client]:
    """A service that nobody has asked anything yet."""
    with serving(registry, service.store_url) as running, httpx2.Client(base_url=running.url) as client:
        yield client


def of(api: httpx2.Client) -> Scrape:
    return scraped(str(api.base_url).rstrip("/"))


def test_each_request_is_counted_once_by_its_route_and_status(counted: httpx2.Client, name: str) -> None:
    created = f"{name}/observations?create=true"
    for _ in range(3):
        counted.post(f"/v1/sessions/{created}", json={"value": 1})
    post(counted, name, {"valu": 1})
    post(counted, "nobody-" + name, {"value": 1})
    for path in (f"/v1/sessions/{name}", "/v1/sessions/nobody", "/nowhere", "/v1/sessions/a/b/c", "/health/live"):
        counted.get(path)
    scrape = of(counted)
    assert [scrape.value("requests_total", route=HOT, status=status) for status in ("201", "200", "422", "404")] == [
        *(1, 2, 1, 1)
    ]
    assert [
        scrape.value("requests_total", route="/v1/sessions/{session}", status=status) for status in ("200", "404")
    ] == [1, 1]
    assert scrape.value("requests_total", route="other", status="404") == 2
    assert scrape.value("requests_total", route="/health/live", status="200") == 1
    assert scrape.sum("requests_total") == scrape.sum("request_seconds_count") == 10
    assert of(counted).value("requests_total", route="/metrics", status="200") == 1


def test_each_observation_is_counted_by_what_became_of_it(counted: httpx2.Client, name: str) -> None:
    counted.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": [*series(1, 3), *series(6, 6)]})
    assert of(counted).outcomes() == {"applied": 4, "imputed": 2, "replayed": 0, "corrected": 0, "refused": 0}
    post(counted, name, observation(7))
    post(counted, name, series(6, 9))
    post(counted, name, observation(9))
    post(counted, name, observation(12))
    assert of(counted).outcomes() == {"applied": 8, "imputed": 4, "replayed": 3, "corrected": 0, "refused": 0}
    correct(counted, name, day(8), 1.5)
    correct(counted, name, day(8), 1.5)
    correct(counted, name, day(40), 1.5)
    post(counted, name, observation(9, value=3.0))
    counted.post(f"/v1/sessions/{name}/observations?on_conflict=correct", json=[observation(7, value=2.0)])
    assert of(counted).outcomes() == {"applied": 8, "imputed": 4, "replayed": 4, "corrected": 2, "refused": 2}


def test_rows_of_a_batch_are_counted_like_single_observations(counted: httpx2.Client, name: str) -> None:
    rows: list[dict[str, Any]] = [{"session": f"{name}-{n}", **observation(step)} for step in (1, 2) for n in range(3)]
    rows += [{"session": f"{name}-0", **observation(5)}, {"session": f"{name}-1", **observation(1, value=7.0)}, {}]
    rows += [{"session": f"{name}-2", **observation(2)}]
    counted.post(f"{BATCH}?create=true&freq=D", json={"observations": rows})
    assert of(counted).outcomes() == {"applied": 7, "imputed": 2, "replayed": 1, "corrected": 0, "refused": 2}
    lines = b"\n".join(orjson.dumps({"unique_id": f"{name}-{n}", "ds": day(2), "y": value(2)}) for n in range(3))
    counted.post(BATCH, content=lines, headers={"content-type": "application/jsonl"})
    assert of(counted).outcomes() == {"applied": 7, "imputed": 2, "replayed": 4, "corrected": 0, "refused": 2}


def test_waves_and_calls_of_the_store_are_timed(counted: httpx2.Client, name: str) -> None:
    counted.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 3)})
    before = of(counted)
    for step in (4, 5, 6):
        post(counted, name, observation(step))
    after = of(counted)
    assert after.value("batch_size_count") - before.value("batch_size_count") == 3
    assert after.value("batch_size_sum") - before.value("batch_size_sum") == 3
    commits = [scrape.value("store_seconds_count", op="commit") for scrape in (before, after)]
    assert commits[1] - commits[0] == 3
    assert after.value("store_seconds_bucket", op="commit", le="0.0001") == 0  # each waits for the disk
    assert 0 < after.value("store_seconds_sum", op="commit") < 60
    assert after.value("queue_depth") == 0


def test_no_session_is_named_and_every_name_is_the_services_own(counted: httpx2.Client, name: str) -> None:
    post(counted, name, {"value": 1})
    counted.get(f"/v1/sessions/{name}")
    text = counted.get("/metrics").text
    assert name not in text
    assert all(line.startswith(("hiddenstate_", "# ")) for line in text.splitlines())


def test_openmetrics_is_given_to_those_who_ask_for_it(counted: httpx2.Client, name: str) -> None:
    post(counted, name, {"value": 1})
    answer = counted.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    parsed = open_families(answer.text)  # type: ignore[no-untyped-call]
    families = {family.name: family.type for family in parsed}
    assert families["hiddenstate_requests"] == "counter"
    assert families["hiddenstate_request_seconds"] == "histogram"


def test_what_the_store_holds_is_told_as_it_is(own: httpx2.Client) -> None:
    own.put("/v1/sessions/late", json={"freq": "D", "observations": series(1, 60)})
    own.put("/v1/sessions/counted", json={"observations": [{"value": 1}]})
    wait_until(lambda: of(own).sum("sessions") == 2)
    scrape = of(own)
    assert [scrape.value("sessions", state=state) for state in ("current", "overdue")] == [1, 1]
    recent = own.get("/v1/sessions/late").json()["scores"]["recent"]["coverage"]
    assert [scrape.value("coverage", level=level) for level in ("80", "95")] == pytest.approx(list(recent.values()))
    assert scrape.value("ready") == 1
    assert 0 < scrape.value("store_used_ratio") < 1


def test_a_store_that_is_away_leaves_counts_and_says_not_ready(own: httpx2.Client, store: EmbeddedStore) -> None:
    own.put("/v1/sessions/a", json={"freq": "D", "observations": series(1, 3)})
    assert store.pid is not None
    os.kill(store.pid, 9)
    scrape = of(own)
    assert (scrape.value("ready"), scrape.sum("sessions"), scrape.sum("store_used_ratio")) == (0, 0, 0)
    assert scrape.outcomes()["applied"] == 3
    assert scrape.value("requests_total", route="/v1/sessions/{session}", status="503") == 0
    assert ("hiddenstate_requests_total", frozenset({("route", "/v1/sessions/{session}"), ("status", "503")})) in (
        scrape.values
    )
    assert own.get("/v1/sessions/a").status_code == 503
    assert of(own).value("requests_total", route="/v1/sessions/{session}", status="503") == 1


def test_damage_and_lost_writes_are_counted(own: httpx2.Client, store: EmbeddedStore) -> None:
    own.put("/v1/sessions/a", json={"freq": "D", "observations": series(1, 3)})
    with redis.Redis(unix_socket_path=store.url.removeprefix("unix://")) as client:
        before = client.get("hs:{default/a}")
        lost = post(own, "a", observation(4)).headers["etag"]
        client.set("hs:{default/a}", before)
        assert post(own, "a", observation(5), **{"If-Match": lost}).status_code == 409
        client.setrange("hs:{default/a}", 700, b"\xff\xff\xff\xff")
    assert own.get("/v1/sessions/a").status_code == 409
    rows = [{"session": "a", **observation(4)}]
    assert own.post(BATCH, json={"observations": rows}).json()["counts"] == {"409": 1}
    scrape = of(own)
    assert scrape.value("state_regressions_total") == 1
    assert scrape.value("damaged_records_total") == 2


def test_a_commit_that_lost_a_race_is_counted(counted: httpx2.Client, service: Service, name: str) -> None:
    counted.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 3)})
    post(counted, name, observation(4))  # which keeps its state at hand
    with httpx2.Client(base_url=service.url) as other:
        post(other, name, observation(5))
    assert post(counted, name, observation(6)).status_code == 200
    assert of(counted).value("conflicts_total") == 1


def test_services_over_one_store_share_one_count(own: httpx2.Client, store: EmbeddedStore, registry: Registry) -> None:
    own.put("/v1/sessions/a", json={"freq": "D", "observations": series(1, 3)})
    wait_until(lambda: of(own).sum("sessions") == 1)
    path = store.url.removeprefix("unix://")
    with redis.Redis(unix_socket_path=path) as client, serving(registry, store.url) as other:
        client.persist("hs-index:{default}:count")
        kept = orjson.loads(client.get("hs-index:{default}:count"))
        client.set("hs-index:{default}:count", orjson.dumps(kept | {"overdue": 1, "by_model": {"tiny@2": 41}}))
        assert [scraped(other.url).value("sessions", state=state) for state in ("current", "overdue")] == [40, 1]
        client.delete("hs-index:{default}:count")
        assert scraped(other.url).sum("sessions") == 1


def test_streams_are_counted_and_what_goes_over_them(counted: httpx2.Client, name: str) -> None:
    url = f"{str(counted.base_url).rstrip('/').replace('http://', 'ws://')}/v1/stream"
    with pytest.raises(InvalidStatus), connect(f"{url}?crate=true"):
        pass
    with counted.stream("GET", f"/v1/events?session={name}") as events, connect(f"{url}?create=true") as stream:
        lines = events.iter_lines()
        next(lines)
        for value in range(3):
            stream.send(orjson.dumps({"session": name, "value": value}))
            stream.recv()
        for _ in range(1 + 3):  # it was created, too
            next(line for line in lines if line.startswith("data:"))
        scrape = of(counted)
        assert scrape.value("open_streams", kind="events") == scrape.value("open_streams", kind="observations") == 1
    assert scrape.value("requests_total", route="/v1/stream", status="101") == 1
    assert scrape.value("requests_total", route="/v1/stream", status="422") == 1
    ways = [("observations", "received"), ("observations", "sent")]
    assert [scrape.value("stream_messages_total", kind=kind, direction=way) for kind, way in ways] == [3, 3]
    wait_until(lambda: of(counted).value("stream_messages_total", kind="events", direction="sent") >= 4)
    wait_until(lambda: of(counted).sum("open_streams") == 0)
