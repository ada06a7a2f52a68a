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
