"""The service over every kind of store: warmed up, continued, cut short, restarted, the bits are the same."""

from collections.abc import Iterator

import httpx2
import pytest

from service.sessions.registry import Registry
from tests.deployments import DEPLOYMENTS, Deployment, deployment
from tests.service.calls import post, wait_until
from tests.service.conftest import serving
from tests.service.days import series


@pytest.fixture(scope="module", params=DEPLOYMENTS)
def store(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    with deployment(request.param) as started:
        yield started


@pytest.fixture
def own(store: Deployment, registry: Registry) -> Iterator[httpx2.Client]:
    with serving(registry, store.url) as running, httpx2.Client(base_url=running.url, timeout=60) as client:
        yield client


def test_warmed_up_and_continued_equals_sent_at_once(own: httpx2.Client) -> None:
    everything = series(1, 120)
    own.put("/v1/sessions/whole", json={"freq": "D", "observations": everything})
    own.put("/v1/sessions/parts", json={"freq": "D", "observations": everything[:60]})
    for one in everything[60:]:
        assert post(own, "parts", one).status_code == 200
    fans = [own.get(f"/v1/sessions/{name}/forecast?horizon=14").json()["forecasts"] for name in ("whole", "parts")]
    assert fans[0] == fans[1]
    assert own.post("/v1/sessions/parts:verify").json()["identical"]


def test_what_was_acknowledged_outlives_the_store(own: httpx2.Client, store: Deployment) -> None:
    own.put("/v1/sessions/kept", json={"freq": "D", "observations": series(1, 30)})
    acknowledged = post(own, "kept", series(31, 35)).content
    store.restart()
    wait_until(lambda: own.get("/v1/sessions/kept").status_code == 200)
    assert post(own, "kept", series(31, 35)).content == acknowledged


def test_many_sessions_share_waves(own: httpx2.Client) -> None:
    names = [f"many-{number}" for number in range(40)]
    for name in names:
        own.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 5)})
    wait_until(lambda: own.get("/v1/sessions?prefix=many-").json()["total_size"] >= 40)
    assert [one["session"] for one in own.get("/v1/sessions?prefix=many-").json()["sessions"]] == sorted(names)


def test_a_session_with_its_full_history_moves(own: httpx2.Client) -> None:
    created = {"freq": "D", "history": "full", "observations": series(1, 150)}
    assert own.put("/v1/sessions/stays", json=created).status_code == 201
    state = own.get("/v1/sessions/stays/state").json()
    assert own.put("/v1/sessions/moved/state", json=state).status_code == 201
    assert own.get("/v1/sessions/moved/state").json()["history"] == state["history"]
    for session in ("stays", "moved"):
        assert own.patch(f"/v1/sessions/{session}/observations/2026-01-02", json={"value": 3.5}).status_code == 200
        assert own.post(f"/v1/sessions/{session}:verify").json()["ok"]
    fans = [own.get(f"/v1/sessions/{name}/forecast?horizon=14").json()["forecasts"] for name in ("stays", "moved")]
    assert fans[0] == fans[1]


def test_a_purge_deletes_what_begins_with_the_prefix_and_nothing_else(own: httpx2.Client) -> None:
    names = [f"leaver-{number}" for number in range(300)]
    rows = [{"session": name, "timestamp": "2026-01-01", "value": 1} for name in [*names, "stayer-1"]]
    own.post("/v1/observations:batch?create=true", json={"observations": rows})
    own.put("/v1/sessions/leaver-full", json={"freq": "D", "history": "full", "observations": series(1, 150)})
    asked = own.post("/v1/sessions:purge", json={"prefix": "leaver-"}).json()
    assert asked["purge_count"] == 301
    assert len(asked["purge_sample"]) == 100
    assert own.get("/v1/sessions/leaver-7").status_code == 200
    assert own.post("/v1/sessions:purge", json={"prefix": "leaver-", "force": True}).json()["purge_count"] == 301
    assert own.get("/v1/sessions/leaver-7").status_code == 404
    assert own.post("/v1/sessions:purge", json={"prefix": "leaver-", "force": True}).json()["purge_count"] == 0
    assert own.get("/v1/sessions/stayer-1").status_code == 200
    own.put("/v1/sessions/leaver-full", json={"freq": "D", "history": "full"})
    assert own.get("/v1/sessions/leaver-full/observations").json()["observations"] == []
