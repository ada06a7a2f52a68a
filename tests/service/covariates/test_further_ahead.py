"""Forecasts further ahead than the model reaches, where covariates of the steps between are known in advance."""

import json
from typing import Any

import httpx2
import numpy as np
import pytest

from tests.service.calls import post, problem
from tests.service.covariates.shops import PROMOTED, Json, days_of

REACH = 5
"""Steps that shop@1 forecasts directly."""
NEXT = "2025-03-{:02}"
"""Days after the 59 of a session, numbered from 1."""


@pytest.fixture
def shop(api: httpx2.Client, name: str, rng: np.random.Generator) -> str:
    """A session of 59 days that knows of no promotion ahead."""
    return begun(api, name, rng, [])


def begun(api: httpx2.Client, name: str, rng: np.random.Generator, future: list[Json]) -> str:
    days = days_of(rng, 59)
    days[-1]["future"] = future
    answer = api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": days})
    assert answer.status_code == 201, answer.text
    return name


def promoted(*days: int) -> list[Json]:
    return [{"promo": one} for one in days]


def medians(api: httpx2.Client, name: str, horizon: int) -> list[float]:
    answer = api.get(f"/v1/sessions/{name}/forecast", params={"horizon": horizon})
    return [one["value"] for one in answer.json()["forecasts"]]


def what_if(api: httpx2.Client, name: str, future: list[Json], **asked: object) -> list[float]:
    answer = api.post(f"/v1/sessions/{name}:forecast", json={"future": future, **asked})
    assert answer.status_code == 200, answer.text
    return [one["value"] for one in answer.json()["forecasts"]]


def observe(api: httpx2.Client, name: str, values: list[float], known: list[Json], first: int = 1) -> None:
    """Post values day by day, from the first of these on, each with what is known of its own day and of later ones."""
    for day, value in enumerate(values, first):
        told: dict[str, Any] = {"covariates": known[day - 1], "future": known[day : day + REACH]}
        answer = post(api, name, {"timestamp": NEXT.format(day), "value": value, **told})
        assert answer.status_code == 200, answer.text


def test_a_long_what_if_is_what_follows_where_its_medians_are_observed_with_what_was_known(
    api: httpx2.Client, shop: str
) -> None:
    known = promoted(1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 0, 1)
    fan = what_if(api, shop, known)
    assert len(fan) == 13
    observe(api, shop, fan[:5], known)
    assert medians(api, shop, 5) == pytest.approx(fan[5:10], rel=1e-12)
    observe(api, shop, fan[5:10], known, first=6)
    assert medians(api, shop, 3) == pytest.approx(fan[10:], rel=1e-12)


def test_a_long_forecast_goes_on_with_what_the_last_observation_knew(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    known = promoted(1, 1, 0, 1, 1)
    fan = medians(api, begun(api, name, rng, known), 8)
    observe(api, name, fan[:5], known)
    assert medians(api, name, 3) == pytest.approx(fan[5:], rel=1e-12)


def test_promotions_known_in_advance_are_no_shift_of_the_level(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    with_them = medians(api, begun(api, f"{name}.with", rng, promoted(1, 1, 1, 1, 1)), 10)
    without = medians(api, begun(api, f"{name}.without", np.random.default_rng(12), promoted(0, 0, 0, 0, 0)), 10)
    apart = np.array(with_them) - np.array(without)
    assert apart[:5] == pytest.approx(PROMOTED, abs=6.0)
    assert abs(apart[5:].mean()) < 0.2 * PROMOTED


def test_promotions_further_ahead_than_the_model_reaches_are_forecast(api: httpx2.Client, shop: str) -> None:
    on, off = (what_if(api, shop, promoted(*[0] * 5, *[later] * 5)) for later in (1, 0))
    assert on[:5] == off[:5]
    assert np.array(on[5:]) - np.array(off[5:]) == pytest.approx(PROMOTED, abs=8.0)
    assert what_if(api, shop, promoted(*[0] * 10), horizon=7) == off[:7]


def test_a_long_future_frame_is_the_what_if_of_its_columns(api: httpx2.Client, shop: str) -> None:
    known = promoted(1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 0)
    rows = [
        f'{{"unique_id":"{shop}","ds":"{NEXT.format(day)}","promo":{one["promo"]}}}'
        for day, one in enumerate(known, 1)
    ]
    answer = framed(api, rows)
    assert [one["yhat"] for one in answer] == what_if(api, shop, known)


def test_a_fault_of_a_long_future_frame_names_its_column(api: httpx2.Client, shop: str) -> None:
    days = [f"2025-{month:02}-{day:02}" for month in (3, 4) for day in range(1, 29)]
    rows = [f'{{"unique_id":"{shop}","ds":"{day}","promo":1}}' for day in days]
    [refused] = framed(api, rows)
    assert refused["detail"] == "/ds: has more rows than 10 times the model's horizon of 5"
    [refused] = framed(api, [*rows[:7], f'{{"unique_id":"{shop}","ds":"{days[7]}","rain":1}}'])
    assert refused["detail"] == "/rain: the model shop@1 takes promo in advance"
    [fault] = problem(
        api.post(f"/v1/sessions/{shop}:forecast", json={"future": promoted(*[1] * 51)}), 422, "invalid-request"
    )["errors"]
    assert fault == {"pointer": "/future", "detail": "has more rows than 10 times the model's horizon of 5"}


def framed(api: httpx2.Client, rows: list[str]) -> list[Json]:
    kind = {"content-type": "application/jsonl"}
    answer = api.post("/v1/forecasts:batch", content="\n".join(rows), headers=kind)
    return [json.loads(line) for line in answer.text.splitlines()]
