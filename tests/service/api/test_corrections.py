"""Corrections: the state is that of the corrected series folded from the start, and what was issued stays."""

import asyncio
from typing import Any

import httpx2
import pytest

from tests.service.calls import correct, history, post, problem
from tests.service.conftest import Service
from tests.service.days import day, observation, series, value
from tests.service.offline import offline, quantiles_of, record_of

GRIDS: dict[str, dict[str, Any]] = {
    "daily": {"freq": "D"},
    "hourly in a zone with summer time": {"freq": "h", "timezone": "Europe/Berlin"},
    "month ends": {"freq": "ME"},
    "counted": {"freq": None},
}
FIRST = {"D": "2026-01-01", "h": "2026-03-28T20:00:00+01:00", "ME": "2024-01-31"}


@pytest.fixture
def daily(api: httpx2.Client, name: str) -> str:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 40)})
    return name


@pytest.mark.parametrize("settings", GRIDS.values(), ids=GRIDS)
async def test_the_state_after_a_correction_is_that_of_the_corrected_series(
    api: httpx2.Client, service: Service, name: str, settings: dict[str, Any]
) -> None:
    api.put(f"/v1/sessions/{name}", json=settings)
    timestamp = FIRST.get(settings["freq"])
    sent: list[float | None] = [value(number) for number in range(1, 101)]
    for number, sample in enumerate(sent):
        body = {"value": sample} if timestamp is None else {"value": sample, "timestamp": timestamp}
        assert post(api, name, body).status_code == 200
        if timestamp is not None and number < 99:
            timestamp = api.get(f"/v1/sessions/{name}").json()["next"]
    before = history(api, name)
    for step, corrected in ((70, 250.5), (99, None), (66, 1.0), (100, 93.25)):
        key = before[step - 37]["timestamp"] or step
        assert correct(api, name, key, corrected).status_code == 200
        sent[step - 1] = corrected
    record = await record_of(service, name)
    state, issued = offline(service.registry.default, record, sent)
    assert record.state.tobytes() == state.tobytes()
    forecast = api.get(f"/v1/sessions/{name}/forecast").json()["forecasts"][0]
    assert quantiles_of(forecast) == issued[100]
    after = history(api, name)
    assert [one["value"] for one in after] == sent[36:]
    assert [one["forecast"] for one in after] == [one["forecast"] for one in before]
    assert [quantiles_of(one["revised"]) for one in after[30:]] == issued[66:100]
    assert all(one["revised"] is None for one in after[:30])
    assert api.post(f"/v1/sessions/{name}:verify").json()["ok"]


def test_the_answer_is_an_advance_that_shows_the_corrected_observation(api: httpx2.Client, daily: str) -> None:
    stood = api.get(f"/v1/sessions/{daily}").json()
    answer = correct(api, daily, day(38), 7.5)
    body = answer.json()
    counts = {name: body[name] for name in ("step", "applied", "replayed", "corrected", "imputed")}
    assert counts == {"step": 40, "applied": 0, "replayed": 0, "corrected": 1, "imputed": 0}
    assert (body["observed"]["timestamp"], body["observed"]["value"]) == (day(38), 7.5)
    assert body["observed"]["original"] == value(38)
    assert body["forecast"]["timestamp"] == day(41)
    assert answer.headers["etag"] == f'"{body["etag"]}"' != f'"{stood["etag"]}"'


def test_the_original_is_the_value_before_the_first_correction(api: httpx2.Client, daily: str) -> None:
    correct(api, daily, day(38), 7.5)
    assert correct(api, daily, day(38), 8.5).json()["observed"]["original"] == value(38)


def test_scores_are_those_of_the_corrected_series(api: httpx2.Client, daily: str, name: str) -> None:
    correct(api, daily, day(36), 300.0)
    other = f"{name}-other"
    sent = [*series(1, 35), observation(36, value=300.0), *series(37, 40)]
    api.put(f"/v1/sessions/{other}", json={"freq": "D", "observations": sent})
    scores = [api.get(f"/v1/sessions/{each}").json()["scores"] for each in (daily, other)]
    assert scores[0] == scores[1]


def test_a_gap_can_be_filled_in_and_is_imputed_no_more(api: httpx2.Client, daily: str) -> None:
    post(api, daily, observation(43))
    assert [one["imputed"] for one in history(api, daily)[-3:]] == [True, True, False]
    filled = correct(api, daily, day(41), value(41)).json()["observed"]
    assert (filled["imputed"], filled["value"], filled["original"]) == (False, value(41), None)
    assert correct(api, daily, day(42), None).json()["observed"]["imputed"] is False
    assert post(api, daily, observation(42, value=None)).headers["idempotency-replayed"] == "true"


def test_a_missing_observation_can_be_filled_in(api: httpx2.Client, daily: str) -> None:
    post(api, daily, observation(41, value=None))
    assert correct(api, daily, 41, value(41)).json()["observed"]["value"] == value(41)
    assert post(api, daily, observation(41)).status_code == 200


def test_a_correction_to_what_is_stored_changes_nothing(api: httpx2.Client, daily: str) -> None:
    stood = api.get(f"/v1/sessions/{daily}").json()
    answer = correct(api, daily, day(38), value(38), **{"If-Match": '"0000000000000000-1"'})
    assert (answer.status_code, answer.headers["idempotency-replayed"]) == (200, "true")
    body = answer.json()
    assert (body["replayed"], body["corrected"], body["etag"]) == (1, 0, stood["etag"])
    assert body["observed"]["timestamp"] == day(38)
    assert body["forecast"] == api.get(f"/v1/sessions/{daily}/forecast").json()["forecasts"][0]
    assert api.get(f"/v1/sessions/{daily}").json() == stood


def test_a_correction_sent_again_gets_the_same_bytes(api: httpx2.Client, daily: str) -> None:
    first = correct(api, daily, day(38), 7.5)
    post(api, daily, observation(41))
    again = correct(api, daily, day(38), 7.5)
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert api.get(f"/v1/sessions/{daily}").json()["step"] == 41


def test_a_key_makes_a_correction_once_whatever_came_since(api: httpx2.Client, daily: str) -> None:
    key = {"Idempotency-Key": "k"}
    first = correct(api, daily, day(38), 7.5, **key)
    correct(api, daily, day(38), 9.5)
    assert correct(api, daily, day(38), 7.5, **key).content == first.content
    assert history(api, daily)[-3]["value"] == 9.5
    problem(correct(api, daily, day(38), 1.0, **key), 422, "idempotency-key-reused")
    problem(post(api, daily, observation(41), **key), 422, "idempotency-key-reused")


def test_an_answer_to_an_observation_stays_as_it_was_given(api: httpx2.Client, daily: str) -> None:
    first = post(api, daily, observation(41))
    post(api, daily, observation(42))
    correct(api, daily, day(39), 7.5)
    assert post(api, daily, observation(41)).content == first.content
    for number in range(43, 55):
        post(api, daily, observation(number))
    assert post(api, daily, observation(41)).content == first.content


def test_a_correction_compares_the_etag(api: httpx2.Client, daily: str) -> None:
    etag = api.get(f"/v1/sessions/{daily}").headers["etag"]
    assert correct(api, daily, day(38), 7.5, **{"If-Match": etag}).status_code == 200
    problem(correct(api, daily, day(38), 8.5, **{"If-Match": etag}), 412, "precondition-failed")
    api.patch(f"/v1/sessions/{daily}", json={"require_if_match": True})
    problem(correct(api, daily, day(38), 8.5), 428, "precondition-required")


@pytest.mark.parametrize("key", [day(41), day(0), "41", "0", "99999999999999999999999"])
def test_what_was_never_observed_is_not_found(api: httpx2.Client, daily: str, key: str) -> None:
    problem(correct(api, daily, key, 1.0), 404, "observation-not-found")


def test_what_is_too_old_names_the_oldest_that_is_not(api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "history": 10, "observations": series(1, 40)})
    oldest = api.get(f"/v1/sessions/{name}").json()["retained_from"]
    body = problem(correct(api, name, day(20), 1.0), 409, "not-retained")
    assert body["retained_from"] == oldest == day(36)
    assert correct(api, name, oldest, 1.0).status_code == 200
    problem(correct(api, name, day(35), 1.0), 409, "not-retained")


@pytest.mark.parametrize(
    ("key", "body", "slug"),
    [
        ("yesterday", {"value": 1}, "invalid-request"),
        ("2026-02-01T12:00:00", {"value": 1}, "off-grid"),
        (day(38), {}, "invalid-request"),
        (day(38), {"value": "1"}, "invalid-request"),
        (day(38), {"value": 1, "timestamp": day(38)}, "invalid-request"),
        (day(38), {"covariates": {"promo": 1}}, "invalid-request"),
    ],
)
def test_a_correction_that_cannot_be_read_is_refused(
    api: httpx2.Client, daily: str, key: str, body: dict[str, Any], slug: str
) -> None:
    stood = api.get(f"/v1/sessions/{daily}").json()
    problem(api.patch(f"/v1/sessions/{daily}/observations/{key}", json=body), 422, slug)
    assert api.get(f"/v1/sessions/{daily}").json() == stood


def test_a_correction_needs_a_session(api: httpx2.Client, name: str) -> None:
    problem(correct(api, name, day(1), 1.0), 404, "session-not-found")
    api.put(f"/v1/sessions/{name}", json={})
    problem(correct(api, name, day(1), 1.0), 404, "observation-not-found")
    problem(correct(api, name, 1, 1.0), 404, "observation-not-found")


async def test_observations_that_race_a_correction_lose_nothing(service: Service, second: Service, name: str) -> None:
    async with httpx2.AsyncClient(timeout=60) as client:
        url, other = (f"{each.url}/v1/sessions/{name}" for each in (service, second))
        await client.put(url, json={"freq": "D", "observations": series(1, 40)})
        sent: list[float | None] = [value(number) for number in range(1, 71)]
        for number in range(41, 71):
            sent[number - 6] = 500.0 + number

            async def until_done(method: str, address: str, body: Any) -> None:  # noqa: ANN401 - JSON
                while (answer := await client.request(method, address, json=body)).status_code != 200:
                    assert answer.json()["retryable"], answer.text

            await asyncio.gather(
                until_done("POST", f"{url}/observations", observation(number)),
                until_done("PATCH", f"{other}/observations/{day(number - 5)}", {"value": sent[number - 6]}),
            )
    record = await record_of(service, name)
    assert record.state.tobytes() == offline(service.registry.default, record, sent)[0].tobytes()
