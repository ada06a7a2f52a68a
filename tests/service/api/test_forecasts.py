"""Forecasts over HTTP: horizons, levels, and that the same series gives the same bits however it was sent."""

from collections.abc import Iterator

import httpx2
import numpy as np
import pytest

from models.artifacts import artifact
from models.artifacts.artifact import SHIPPED
from service.sessions.registry import LoadedModel, Registry
from service.wire import schemas
from tests.service.calls import post, problem
from tests.service.conftest import Service, serving
from tests.service.days import day, observation, series


def forecasts(api: httpx2.Client, name: str, query: str = "") -> list[dict[str, object]]:
    answer = api.get(f"/v1/sessions/{name}/forecast{query}")
    schemas.Forecasts.model_validate(answer.json())
    found: list[dict[str, object]] = answer.json()["forecasts"]
    return found


@pytest.fixture
def daily(api: httpx2.Client, name: str) -> str:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 50)})
    return name


def test_a_fan_begins_with_the_forecast_that_was_issued(api: httpx2.Client, daily: str) -> None:
    fan = forecasts(api, daily, "?horizon=14")
    assert fan[0] == forecasts(api, daily)[0]
    assert [one["timestamp"] for one in fan] == [day(number) for number in range(51, 65)]


def test_a_long_fan_continues_the_direct_one(api: httpx2.Client, daily: str) -> None:
    fan = forecasts(api, daily, "?horizon=140")
    assert fan[:14] == forecasts(api, daily, "?horizon=14")
    assert len(fan) == 140
    assert fan[-1]["timestamp"] == day(190)


def test_the_medians_of_a_long_fan_are_those_that_follow_where_its_medians_are_observed(
    api: httpx2.Client, daily: str
) -> None:
    fan = forecasts(api, daily, "?horizon=40")
    for begin in (0, 14):
        stands_in = enumerate(fan[begin : begin + 14], 51 + begin)
        post(api, daily, [observation(number, value=one["value"]) for number, one in stands_in])
        followed = forecasts(api, daily, "?horizon=12")
        assert [one["value"] for one in followed] == [one["value"] for one in fan[begin + 14 : begin + 26]]


@pytest.mark.parametrize("ends", [("0.1", "0.9"), ("0.025", "0.975")])
def test_no_interval_of_a_long_fan_is_narrower_than_the_direct_one_at_its_place_in_the_season(
    api: httpx2.Client, daily: str, ends: tuple[str, str]
) -> None:
    width = np.array([widths(one, *ends) for one in forecasts(api, daily, "?horizon=140")])
    weeks = width.reshape(20, 7)
    assert (np.diff(weeks[1:], axis=0) >= -1e-9 * weeks[1]).all()
    assert (weeks[2] >= (1 - 1e-9) * weeks[1]).all()


def widths(forecast: dict[str, object], lowest: str, highest: str) -> float:
    quantiles = forecast["quantiles"]
    assert isinstance(quantiles, dict)
    assert sorted(quantiles.values()) == list(quantiles.values())
    return float(quantiles[highest] - quantiles[lowest])


@pytest.fixture(scope="module")
def trained(service: Service) -> Iterator[httpx2.Client]:
    """A service with the shipped daily model."""
    folder = SHIPPED / "daily" / "2"
    registry = Registry([*service.registry.models, LoadedModel(artifact.load(folder), folder)], "tiny")
    with serving(registry, service.store_url) as running, httpx2.Client(base_url=running.url, timeout=60.0) as client:
        yield client


WALKS, WEEKS = "random walks", "weeks of noise"


@pytest.mark.parametrize("kind", [WALKS, WEEKS])
def test_intervals_of_a_long_fan_hold_what_comes_about_as_often_as_they_say(
    trained: httpx2.Client, name: str, kind: str
) -> None:
    rng = np.random.default_rng(7)
    noise = rng.standard_normal((60, 342))
    values = noise.cumsum(axis=1) if kind == WALKS else noise + 5.0 * (np.arange(342) % 7 > 4)
    held = []
    for number, row in enumerate(values.tolist()):
        body = {"model": "daily@2", "observations": [{"value": one} for one in row[:300]]}
        assert trained.put(f"/v1/sessions/{name}-{number}", json=body).status_code == 201
        fan = forecasts(trained, f"{name}-{number}", "?horizon=42")
        held.append([_holds(one["quantiles"], came) for one, came in zip(fan, row[300:], strict=True)])
    covered = np.mean(held, axis=0)  # (42, 2), at 80 and 95 %
    for steps in (slice(14, 21), slice(21, 28), slice(28, 42)):
        assert 0.68 <= covered[steps, 0].mean() <= 0.92, steps
        assert covered[steps, 1].mean() >= 0.87, steps


def _holds(quantiles: object, came: float) -> tuple[bool, bool]:
    assert isinstance(quantiles, dict)
    return quantiles["0.1"] <= came <= quantiles["0.9"], quantiles["0.025"] <= came <= quantiles["0.975"]


@pytest.mark.parametrize("query", ["horizon=141", "horizon=0", "horizon=x", "levels=81", "levels=", "horizn=3"])
def test_what_the_model_does_not_have_is_refused(api: httpx2.Client, daily: str, query: str) -> None:
    body = problem(api.get(f"/v1/sessions/{daily}/forecast?{query}"), 422, "invalid-request")
    assert body["errors"][0]["parameter"] == query.partition("=")[0]


def test_levels_are_answered_as_exact_quantiles(api: httpx2.Client, daily: str) -> None:
    [one] = forecasts(api, daily, "?levels=90,50")
    assert isinstance(one["quantiles"], dict)
    assert list(one["quantiles"]) == ["0.05", "0.25", "0.5", "0.75", "0.95"]
    assert sorted(one["quantiles"].values()) == list(one["quantiles"].values())


def test_a_refused_level_names_those_there_are(api: httpx2.Client, daily: str) -> None:
    assert "50, 80, 90, 95" in api.get(f"/v1/sessions/{daily}/forecast?levels=99").json()["detail"]


@pytest.mark.parametrize("cut", [0, 1, 17, 100, 149])
def test_a_series_gives_the_same_bits_wherever_it_is_cut(api: httpx2.Client, name: str, cut: int) -> None:
    whole, parts = f"{name}.whole", f"{name}.parts"
    everything = series(1, 150)
    everything[40]["value"] = None
    del everything[60:70]
    api.put(f"/v1/sessions/{whole}", json={"freq": "D", "observations": everything})
    api.put(f"/v1/sessions/{parts}", json={"freq": "D", "observations": everything[:cut]})
    middle = cut + (len(everything) - cut) // 2
    for one in everything[cut:middle]:
        assert post(api, parts, one).status_code == 200
    if everything[middle:]:
        assert post(api, parts, everything[middle:]).status_code == 200
    assert forecasts(api, parts, "?horizon=28") == forecasts(api, whole, "?horizon=28")
    records = [api.get(f"/v1/sessions/{one}/observations").json()["observations"] for one in (whole, parts)]
    assert records[0] == records[1]


def test_verify_proves_the_state_step_by_step_and_unrolled(api: httpx2.Client, daily: str) -> None:
    post(api, daily, observation(53))
    for number in range(54, 80):
        post(api, daily, observation(number, value=None if number % 7 == 0 else number))
    answer = api.post(f"/v1/sessions/{daily}:verify").json()
    schemas.Verification.model_validate(answer)
    assert answer["observations"] == 79 - 32
    assert answer["identical"]
    assert answer["max_rel_difference"] <= answer["tolerance"]
    assert answer["ok"]


def what_if(api: httpx2.Client, name: str, **asked: object) -> httpx2.Response:
    return api.post(f"/v1/sessions/{name}:forecast", json=asked)


def test_what_if_without_assumptions_is_the_forecast_and_commits_nothing(api: httpx2.Client, daily: str) -> None:
    before = api.get(f"/v1/sessions/{daily}").json()
    answer = what_if(api, daily, horizon=20, levels=[80])
    assert answer.json() == api.get(f"/v1/sessions/{daily}/forecast?horizon=20&levels=80").json()
    assert "etag" not in answer.headers
    assert api.get(f"/v1/sessions/{daily}").json() == before


def test_the_rows_of_the_future_set_the_horizon(api: httpx2.Client, daily: str) -> None:
    assert len(what_if(api, daily, future=[{}, {}, {}]).json()["forecasts"]) == 3
    assert len(what_if(api, daily, future=[{}, {}, {}], horizon=2).json()["forecasts"]) == 2
    assert len(what_if(api, daily, future=[{}] * 140).json()["forecasts"]) == 140


def test_assumptions_that_the_model_does_not_know_are_refused_by_name(api: httpx2.Client, daily: str) -> None:
    body = problem(what_if(api, daily, future=[{}, {"rain": 3.1, "temp": 4}]), 422, "invalid-request")
    assert [fault["pointer"] for fault in body["errors"]] == ["/future/1/rain", "/future/1/temp"]
    body = problem(what_if(api, daily, future=[{}] * 141), 422, "invalid-request")
    assert body["errors"][0]["pointer"] == "/future"
    assert "10 times the model's horizon of 14" in body["detail"]


@pytest.mark.parametrize(("asked", "where"), [({"horizon": 141}, "/horizon"), ({"levels": [81]}, "/levels")])
def test_what_if_points_into_its_body(api: httpx2.Client, daily: str, asked: dict[str, object], where: str) -> None:
    body = problem(what_if(api, daily, **asked), 422, "invalid-request")
    assert body["errors"][0]["pointer"] == where
