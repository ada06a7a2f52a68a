"""The time rules over HTTP, for every frequency, across summer time, month ends and a leap day."""

from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from models.dates.grid import grid
from tests.service.calls import correct, history, post, problem, rewind

FIRST = {
    "s": "2026-03-29T01:59:57",
    "min": "2026-03-29T01:57:00",
    "15min": "2026-03-29T01:30:00",
    "h": "2026-03-28T23:00:00",
    "2h": "2026-03-28T21:00:00",
    "D": "2026-03-27",
    "B": "2026-03-26",
    "W": "2026-03-18",
    "W-MON": "2026-03-16",
    "2W": "2026-02-20",
    "MS": "2024-01-01",
    "ME": "2024-01-31",
    "QS": "2023-10-01",
    "QE": "2023-12-31",
    "YS": "2022-01-01",
    "YE": "2022-12-31",
}
ZONE = "Europe/Berlin"


@pytest.fixture(params=FIRST)
def freq(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def times(api: httpx2.Client, name: str, freq: str) -> list[str]:
    """Ten timestamps of a new session's grid, as it writes them; the first four are observed."""
    api.put(f"/v1/sessions/{name}", json={"freq": freq, "timezone": ZONE})
    on = grid(freq, ZONE)
    first = on.parse(FIRST[freq])
    on = on.anchored(first)
    written = [on.format(on.advance(first, steps)) for steps in range(10)]
    for number, time in enumerate(written[:4]):
        assert post(api, name, {"timestamp": time, "value": number}).json()["observed"]["timestamp"] == time
        assert api.get(f"/v1/sessions/{name}").json()["next"] == written[number + 1]
    return written


def test_the_last_one_again_is_a_replay_and_another_value_is_refused(
    api: httpx2.Client, name: str, times: list[str]
) -> None:
    assert post(api, name, {"timestamp": times[3], "value": 3}).headers["idempotency-replayed"] == "true"
    assert post(api, name, {"timestamp": times[1], "value": 1}).headers["idempotency-replayed"] == "true"
    problem(post(api, name, {"timestamp": times[3], "value": 4}), 409, "observation-conflict")
    problem(post(api, name, {"timestamp": times[1], "value": 4}), 409, "out-of-order")


def test_a_gap_is_imputed_step_by_step(api: httpx2.Client, name: str, times: list[str]) -> None:
    assert post(api, name, {"timestamp": times[6], "value": 6}).json()["imputed"] == 2
    assert [(one["timestamp"], one["imputed"]) for one in history(api, name)] == [
        *((time, False) for time in times[:4]),
        *((time, True) for time in times[4:6]),
        (times[6], False),
    ]
    problem(post(api, name, {"timestamp": times[5], "value": None}), 409, "out-of-order")
    assert correct(api, name, times[5], 5.0).json()["observed"]["step"] == 6
    assert rewind(api, name, {"timestamp": times[2]}).json()["forecast"]["timestamp"] == times[3]


def test_a_list_may_hold_what_is_known_a_gap_and_a_missing_value(
    api: httpx2.Client, name: str, times: list[str]
) -> None:
    sent = [{"timestamp": times[number], "value": None if number == 5 else number} for number in (2, 3, 5, 7)]
    body = post(api, name, sent).json()
    assert (body["applied"], body["replayed"], body["imputed"], body["step"]) == (2, 2, 2, 8)


def test_what_is_off_the_grid_is_refused(api: httpx2.Client, name: str, freq: str, times: list[str]) -> None:
    late = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=grid(freq, ZONE).parse(times[4]), seconds=0.5)
    body = problem(post(api, name, {"timestamp": late.isoformat(), "value": 1}), 422, "off-grid")
    assert body["nearest"] in times
    problem(correct(api, name, times[4], 1.0), 404, "observation-not-found")
