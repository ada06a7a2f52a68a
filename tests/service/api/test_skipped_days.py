"""Sessions in a zone across a day that it never had, over HTTP: that day is no step, and no more than that."""

from collections.abc import Callable

import httpx2
import pytest

from tests.service.calls import Json, correct, history, post, problem, rewind
from tests.service.states.documents import exported, put

APIA, KWAJALEIN = ("Pacific/Apia", "2011-12-30"), ("Pacific/Kwajalein", "1993-08-21")
"""Zones, and the days that they never had."""
DAYS = {
    ("D", APIA): ["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"],
    ("2D", APIA): ["2011-12-26", "2011-12-28", "2012-01-01", "2012-01-03"],
    ("B", APIA): ["2011-12-28", "2011-12-29", "2012-01-02", "2012-01-03"],
    ("W-FRI", APIA): ["2011-12-16", "2011-12-23", "2012-01-06", "2012-01-13"],
    ("W", APIA): ["2011-12-16", "2011-12-23", "2012-01-06", "2012-01-13"],
    ("12h", APIA): [
        *("2011-12-29T00:00:00-10:00", "2011-12-29T12:00:00-10:00"),
        *("2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00"),
    ],
    ("D", KWAJALEIN): ["1993-08-19", "1993-08-20", "1993-08-22", "1993-08-23"],
}


@pytest.fixture(params=DAYS, ids=lambda of: f"{of[0]}-{of[1][0]}")
def of(request: pytest.FixtureRequest) -> tuple[str, tuple[str, str]]:
    found: tuple[str, tuple[str, str]] = request.param
    return found


def put_all(api: httpx2.Client, name: str, settings: Json, observations: list[Json]) -> None:
    made = api.put(f"/v1/sessions/{name}", json={**settings, "observations": observations})
    assert made.status_code == 201, made.text


def put_empty_and_post_singly(api: httpx2.Client, name: str, settings: Json, observations: list[Json]) -> None:
    put_all(api, name, settings, [])
    for one in observations:
        assert post(api, name, one).status_code == 200


def put_empty_and_post_a_batch(api: httpx2.Client, name: str, settings: Json, observations: list[Json]) -> None:
    put_all(api, name, settings, observations[:1])
    rows = [{"session": name, **one} for one in observations[1:]]
    body = api.post("/v1/observations:batch", json={"observations": rows}).json()
    assert body["counts"] == {"200": len(rows)}


@pytest.mark.parametrize("fed", [put_all, put_empty_and_post_singly, put_empty_and_post_a_batch])
def test_a_session_goes_on_across_a_day_that_its_zone_never_had(
    api: httpx2.Client,
    name: str,
    of: tuple[str, tuple[str, str]],
    fed: Callable[[httpx2.Client, str, Json, list[Json]], None],
) -> None:
    freq, (timezone, never) = of
    observations = [{"timestamp": day, "value": number} for number, day in enumerate(DAYS[of])]
    fed(api, name, {"freq": freq, "timezone": timezone}, observations)
    assert [(one["timestamp"], one["value"], one["imputed"]) for one in history(api, name)] == [
        (day, number, False) for number, day in enumerate(DAYS[of])
    ]
    assert api.post(f"/v1/sessions/{name}:verify").json()["ok"]
    assert correct(api, name, DAYS[of][1], 7.5).json()["corrected"] == 1
    assert put(api, f"{name}.moved", exported(api, name)).status_code == 201
    assert api.post(f"/v1/sessions/{name}.moved:verify").json()["ok"]
    assert [one["value"] for one in history(api, f"{name}.moved")] == [0, 7.5, 2, 3]
    again = api.post(f"/v1/sessions/{name}/observations", json=observations[2:])
    assert (again.json()["step"], again.headers["idempotency-replayed"]) == (4, "true")
    if freq != "12h":
        refusal = problem(post(api, name, {"timestamp": never, "value": 1}), 422, "invalid-request")
        assert "never had this day" in refusal["errors"][0]["detail"]


def test_next_and_forecasts_pass_over_a_day_that_there_never_was(
    api: httpx2.Client, name: str, of: tuple[str, tuple[str, str]]
) -> None:
    freq, (timezone, _) = of
    before = [{"timestamp": day, "value": number} for number, day in enumerate(DAYS[of][:2])]
    made = api.put(f"/v1/sessions/{name}", json={"freq": freq, "timezone": timezone, "observations": before})
    assert made.json()["next"] == DAYS[of][2]
    fan = api.get(f"/v1/sessions/{name}/forecast", params={"horizon": 20}).json()["forecasts"]
    times = [one["timestamp"] for one in fan]
    assert times[:2] == DAYS[of][2:]
    assert sorted(set(times)) == times


def test_a_gap_across_a_day_that_there_never_was_has_one_step_less(api: httpx2.Client, name: str) -> None:
    settings = {"freq": "D", "timezone": "Pacific/Apia", "observations": [{"timestamp": "2011-12-28", "value": 1}]}
    api.put(f"/v1/sessions/{name}", json=settings)
    answer = post(api, name, {"timestamp": "2012-01-02", "value": 2}).json()
    assert (answer["imputed"], answer["step"]) == (3, 5)
    assert [one["timestamp"] for one in history(api, name)][1:4] == ["2011-12-29", "2011-12-31", "2012-01-01"]
    assert rewind(api, name, {"timestamp": "2011-12-29"}).json()["forecast"]["timestamp"] == "2011-12-31"


def test_nothing_of_it_is_counted_as_damage(api: httpx2.Client, name: str) -> None:
    observations = [{"timestamp": day, "value": 1.0} for day in DAYS["D", APIA]]
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "timezone": "Pacific/Apia", "observations": observations})

    def damaged() -> list[str]:
        return [line for line in api.get("/metrics").text.splitlines() if "damaged_records_total" in line]

    before = damaged()
    history(api, name)
    api.post(f"/v1/sessions/{name}:verify")
    assert damaged() == before
