"""What an operator sees: health, readiness, status, and what happens while the store is away."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from service.sessions.registry import Registry
from service.storage.embedded import EmbeddedStore
from service.wire import model_schemas, status_schemas
from tests.service.calls import post, problem, wait_until
from tests.service.conftest import Service, serving
from tests.service.days import observation, series


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with EmbeddedStore(tmp_path) as store:
        yield store


@pytest.fixture
def own(store: EmbeddedStore, registry: Registry) -> Iterator[httpx2.Client]:
    """A service over a store that the test may kill."""
    with serving(registry, store.url, store_timeout_s=1.0) as running, httpx2.Client(base_url=running.url) as client:
        yield client


def test_a_running_service_is_live_and_ready(api: httpx2.Client) -> None:
    for path in ("/health/live", "/health/ready"):
        answer = api.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_status_says_what_the_store_promises(own: httpx2.Client) -> None:
    own.put("/v1/sessions/a", json={"freq": "D", "observations": series(1, 3)})
    wait_until(lambda: own.get("/v1/status").json()["sessions"]["count"] == 1)
    body = own.get("/v1/status").json()
    status_schemas.Status.model_validate(body)
    assert body["ready"]
    assert (body["store"]["engine"], body["store"]["deployment"]) == ("valkey", "embedded")
    assert (body["store"]["persistence"], body["store"]["durability"]) == ("aof always", "local")
    assert body["models"] == ["tiny@1", "tiny@2"]
    assert body["queue"] == {"depth": 0, "limit": 8192}


def test_models_are_listed_with_their_sessions(own: httpx2.Client) -> None:
    own.put("/v1/sessions/a", json={"freq": "D", "observations": series(1, 3)})
    wait_until(lambda: len(own.get("/v1/sessions").json()["sessions"]) == 1)
    listed = own.get("/v1/models").json()["models"]
    for model in listed:
        model_schemas.Model.model_validate(model)
    assert [(model["model"], model["latest"], model["sessions"]) for model in listed] == [
        ("tiny@1", False, 0),
        ("tiny@2", True, 1),
    ]
    assert own.get("/v1/models/tiny").json() == own.get("/v1/models/tiny@2").json() == listed[1]


def test_sessions_that_wait_for_more_than_a_period_are_overdue(own: httpx2.Client) -> None:
    own.put("/v1/sessions/late", json={"freq": "D", "observations": series(1, 3)})
    own.put("/v1/sessions/counted", json={"observations": [{"value": 1}]})
    wait_until(lambda: own.get("/v1/status").json()["sessions"]["count"] == 2)
    sessions = own.get("/v1/status").json()["sessions"]
    assert sessions["overdue"] == 1
    assert 5_000 < sessions["bytes_each"] < 50_000


def test_without_its_store_a_service_is_live_and_not_ready(own: httpx2.Client, store: EmbeddedStore) -> None:
    own.put("/v1/sessions/a", json={"freq": "D", "observations": series(1, 3)})
    assert store.pid is not None
    os.kill(store.pid, 9)
    assert own.get("/health/live").status_code == 200
    reasons = problem(own.get("/health/ready"), 503, "not-ready")["reasons"]
    assert "store" in reasons[0]
    for answer in (post(own, "a", observation(4)), own.get("/v1/sessions/a"), own.get("/v1/sessions")):
        assert answer.status_code in (503, 504)
        assert answer.json()["retryable"]
        assert answer.headers["retry-after"] == "1"
    store.start()
    wait_until(lambda: own.get("/health/ready").status_code == 200)
    assert post(own, "a", observation(4)).json()["step"] == 4


def test_a_damaged_record_is_answered_to_nobody_and_can_be_deleted(own: httpx2.Client, store: EmbeddedStore) -> None:
    import redis

    own.put("/v1/sessions/a", json={"freq": "D", "observations": series(1, 3)})
    with redis.Redis(unix_socket_path=store.url.removeprefix("unix://")) as client:
        client.setrange("hs:{default/a}", 700, b"\xff\xff\xff\xff")
    for answer in (own.get("/v1/sessions/a"), post(own, "a", observation(4)), own.get("/v1/sessions/a/observations")):
        problem(answer, 409, "record-damaged")
    assert own.delete("/v1/sessions/a").status_code == 204
    assert own.put("/v1/sessions/a", json={"freq": "D"}).status_code == 201


def test_a_session_whose_model_is_gone_is_read_and_not_forecast(service: Service, models_dir: Path, name: str) -> None:
    with httpx2.Client(base_url=service.url) as client:
        client.put(f"/v1/sessions/{name}", json={"freq": "D", "model": "tiny@2", "observations": series(1, 3)})
    only_first = Registry([service.registry.models[0]], "tiny")
    with serving(only_first, service.store_url) as other, httpx2.Client(base_url=other.url) as client:
        assert client.get(f"/v1/sessions/{name}").json()["step"] == 3
        problem(client.get(f"/v1/sessions/{name}/forecast"), 409, "model-unavailable")
        problem(post(client, name, observation(4)), 409, "model-unavailable")
