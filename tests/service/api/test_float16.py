"""A model whose hidden state is float16, served."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from models.artifacts import artifact
from service.sessions.registry import Registry
from tests.service.conftest import Service, serving
from tests.service.days import day, observation, series


@pytest.fixture(scope="module")
def half(models_dir: Path, service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A service over the same store that has the same weights with states in float32 and in float16."""
    root = tmp_path_factory.mktemp("converted")
    artifact.convert(models_dir / "tiny" / "1", root, name="half", version=1, state="float16")
    registry = Registry.load([models_dir, root], "tiny")
    with serving(registry, service.store_url) as running, httpx2.Client(base_url=running.url, timeout=60.0) as client:
        yield client


def test_a_float16_session_is_corrected_and_verified_like_any_other(half: httpx2.Client, name: str) -> None:
    path = f"/v1/sessions/{name}"
    created = {"model": "half", "freq": "D", "observations": series(1, 40)}
    assert half.put(path, json=created).status_code == 201
    assert half.post(f"{path}/observations", json=observation(41)).status_code == 200
    assert half.patch(f"{path}/observations/{day(30)}", json={"value": 1.0}).status_code == 200
    verified = half.post(f"{path}:verify").json()
    assert verified["ok"]
    assert verified["max_rel_difference"] <= verified["tolerance"] == 0.01
    assert half.delete(path).status_code == 204


def test_a_session_changes_over_to_the_model_in_float16(half: httpx2.Client, name: str) -> None:
    path = f"/v1/sessions/{name}"
    assert half.put(path, json={"freq": "D", "observations": series(1, 40)}).status_code == 201
    before = half.get(f"{path}/forecast").json()["forecasts"][0]["value"]
    assert half.patch(path, json={"model": "half"}).json()["model"] == "half@1"
    after = half.get(f"{path}/forecast").json()["forecasts"][0]["value"]
    assert after == pytest.approx(before, rel=1e-2)
    assert after != before
    assert half.delete(path).status_code == 204
