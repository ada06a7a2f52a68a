"""Missing values over HTTP: forecasts as uncertain as the time since the last known value, and scores against it."""


import httpx2
import numpy as np
import pytest

from tests.service.days import Observation, observation

USUAL, SILENT, AFTER = 42, 12, 6
WALK = np.round(100.0 + np.random.default_rng(4).standard_normal(USUAL + SILENT + AFTER + 1).cumsum(), 3)


def walked(first: int, last: int) -> list[Observation]:
    return [observation(number, value=float(WALK[number])) for number in range(first, last + 1)]


def width(forecast: dict[str, dict[str, float]]) -> float:
    return forecast["quantiles"]["0.9"] - forecast["quantiles"]["0.1"]


def test_intervals_of_a_random_walk_grow_while_nobody_knows_where_it_is(noticing: httpx2.Client, name: str) -> None:
    path = f"/v1/sessions/{name}"
    noticing.put(path, json={"freq": "D", "observations": walked(1, USUAL)})
    ahead = [width(one) for one in noticing.get(f"{path}/forecast?horizon=14").json()["forecasts"]]
    silent = [
        width(noticing.post(f"{path}/observations", json=observation(USUAL + k, value=None)).json()["forecast"])
        for k in range(1, SILENT + 1)
    ]
    assert silent[-1] > 0.8 * ahead[SILENT] > 1.4 * ahead[0]
    fan = noticing.get(f"{path}/forecast?horizon=14").json()["forecasts"]
    assert width(fan[0]) == silent[-1]
    assert width(fan[-1]) > silent[-1]
    known = noticing.post(f"{path}/observations", json=walked(USUAL + SILENT + 1, USUAL + SILENT + 1)).json()
    assert width(known["forecast"]) < 0.6 * silent[-1]
    assert noticing.post(f"{path}:verify").json()["ok"]


def test_mase_compares_with_the_last_known_value(noticing: httpx2.Client, name: str) -> None:
    path = f"/v1/sessions/{name}"
    observations = walked(1, USUAL + SILENT + AFTER)
    for missing in (20, 21, 30, 45, 46, 47):
        observations[missing]["value"] = None
    noticing.put(path, json={"freq": "D", "observations": observations})
    records = noticing.get(f"{path}/observations").json()["observations"]
    errors, naive, known = [], [], records[0]["value"]
    for record in records[1:]:
        if record["value"] is not None:
            errors.append(abs(record["value"] - record["forecast"]["value"]))
            naive.append(abs(record["value"] - known))
            known = record["value"]
    scores = noticing.get(path).json()["scores"]["all"]
    assert scores["steps"] == len(errors)
    assert scores["mase"] == pytest.approx(sum(errors) / sum(naive), rel=1e-9)
