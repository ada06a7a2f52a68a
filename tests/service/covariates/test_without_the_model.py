"""Sessions with covariates whose model is not here any more: read, listed, exported, given to another model."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import pytest

from service.sessions.registry import Registry
from tests.service.calls import history, post, problem, wait_until
from tests.service.conftest import Service, serving
from tests.service.covariates.shops import Json, days_of


@pytest.fixture(scope="module")
def without(service: Service, models_dir: Path) -> Iterator[httpx2.Client]:
    """A service over the same store that lost shop@1: it has visits@1, and tiny, which takes no covariates."""
    visits = service.registry.named("visits@1")
    assert visits is not None
    registry = Registry([*Registry.load([models_dir], "tiny").models, visits], "tiny")
    running = serving(registry, service.store_url)
    with running as other, httpx2.Client(base_url=other.url, timeout=60) as client:
        yield client


@pytest.fixture(params=[64, "full"])
def kept(request: pytest.FixtureRequest) -> int | str:
    found: int | str = request.param
    return found


def begin(api: httpx2.Client, name: str, days: list[Json], kept: int | str) -> None:
    settings = {"model": "shop", "freq": "D", "static": {"area_km2": 2.5}, "history": kept}
    assert api.put(f"/v1/sessions/{name}", json={**settings, "observations": days}).status_code == 201


def test_a_session_with_covariates_is_read_and_listed_without_its_model(
    api: httpx2.Client, without: httpx2.Client, name: str, rng: np.random.Generator, kept: int | str
) -> None:
    begin(api, name, days_of(rng, 150), kept)
    whole, shown = api.get(f"/v1/sessions/{name}").json(), without.get(f"/v1/sessions/{name}").json()
    assert [warning["type"] for warning in shown["warnings"]] == ["model-unavailable"]
    unknown = {"warmed_up": None, "scores": {"all": None, "recent": None}, "warnings": shown["warnings"]}
    assert shown == whole | unknown
    assert history(without, name) == history(api, name)
    wait_until(lambda: without.get("/v1/sessions", params={"prefix": name}).json()["sessions"] == [shown])
    problem(without.get(f"/v1/sessions/{name}/forecast"), 409, "model-unavailable")


def test_a_session_with_covariates_moves_out_of_a_service_without_its_model(
    api: httpx2.Client, without: httpx2.Client, name: str, rng: np.random.Generator, kept: int | str
) -> None:
    days = days_of(rng, 151)
    begin(api, name, days[:150], kept)
    state, own = (client.get(f"/v1/sessions/{name}/state").json() for client in (without, api))
    neutral = {"arrays": [], "checksum": ""}  # what arrays a state is made of, only its model knows
    assert state | neutral == own | neutral
    assert api.put(f"/v1/sessions/{name}.b/state", json=state).status_code == 201
    both = [post(api, session, days[150]).json()["forecast"] for session in (name, f"{name}.b")]
    assert both[0] == both[1]


@pytest.mark.parametrize(("model", "taken"), [("tiny@2", ()), ("visits@1", ("rain", "holiday"))])
def test_another_model_folds_the_session_on_with_the_covariates_that_both_take(
    api: httpx2.Client,
    without: httpx2.Client,
    name: str,
    rng: np.random.Generator,
    kept: int | str,
    model: str,
    taken: tuple[str, ...],
) -> None:
    days = days_of(rng, 150)
    begin(api, name, days, kept)
    given = [one["covariates"] for one in history(api, name)]
    changed = without.patch(f"/v1/sessions/{name}", json={"model": model})
    assert (changed.status_code, changed.json()["model"]) == (200, model), changed.text
    shared = [{covariate: one.get(covariate) for covariate in taken} for one in given]
    assert [one["covariates"] for one in history(without, name)] == shared
    assert without.post(f"/v1/sessions/{name}:verify").json()["ok"]
    assert post(without, name, {"timestamp": "2025-05-31", "value": 1}).status_code == 200


def test_a_record_that_does_not_tell_its_covariates_is_read_and_not_exported(
    api: httpx2.Client, without: httpx2.Client, name: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.sessions.creation.tell", lambda *_: None)  # as records were written before
    begin(api, name, days_of(rng, 70), 64)
    assert without.get(f"/v1/sessions/{name}").json()["step"] == 70
    assert [one["covariates"] for one in history(without, name)] == [{}] * 64
    problem(without.get(f"/v1/sessions/{name}/state"), 409, "model-unavailable")
    assert without.patch(f"/v1/sessions/{name}", json={"model": "tiny"}).status_code == 200
