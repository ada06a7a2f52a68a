"""Rewinding: the session is what it was after the last observation that is kept."""

import httpx2
import pytest

from tests.service.calls import Json, correct, history, post, problem, rewind
from tests.service.conftest import Service
from tests.service.days import day, observation, series, value
from tests.service.offline import offline, quantiles_of, record_of

VALUES: list[float | None] = [value(number) for number in range(1, 101)]


@pytest.fixture
def daily(api: httpx2.Client, name: str) -> str:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 100)})
    return name


@pytest.mark.parametrize("last", [99, 96, 95, 70, 65, 64])
async def test_a_rewound_session_is_the_fold_of_what_is_kept(
    api: httpx2.Client, service: Service, daily: str, last: int
) -> None:
    before = history(api, daily)
    answer = rewind(api, daily, {"timestamp": day(last)})
    assert answer.status_code == 200, answer.text
    record = await record_of(service, daily)
    state, issued = offline(service.registry.default, record, VALUES[:last])
    assert record.state.tobytes() == state.tobytes()
    body = answer.json()
    assert (body["step"], body["applied"], body["observed"]["timestamp"]) == (last, 0, day(last))
    assert quantiles_of(body["forecast"]) == issued[last]
    assert history(api, daily) == before[: last - 36]
    session = api.get(f"/v1/sessions/{daily}").json()
    assert (session["last"], session["next"]) == (day(last), day(last + 1))
    assert api.post(f"/v1/sessions/{daily}:verify").json()["ok"]


async def test_what_was_cut_off_can_be_sent_again_and_is_applied(
    api: httpx2.Client, service: Service, daily: str
) -> None:
    rewind(api, daily, {"step": 70})
    body = post(api, daily, [observation(69), observation(70), *series(71, 180)]).json()
    assert (body["applied"], body["replayed"], body["step"]) == (110, 2, 180)
    record = await record_of(service, daily)
    sent = [value(number) for number in range(1, 181)]
    assert record.state.tobytes() == offline(service.registry.default, record, sent)[0].tobytes()
    assert correct(api, daily, day(160), 1.0).status_code == 200


@pytest.mark.parametrize("last", [70, 96, 100])
def test_after_a_rewind_what_the_session_says_can_be_corrected_can_be(
    api: httpx2.Client, daily: str, last: int
) -> None:
    rewind(api, daily, {"step": last})
    for number in range(last + 1, last + 80):
        oldest = api.get(f"/v1/sessions/{daily}").json()["retained_from"]
        assert correct(api, daily, oldest, float(number)).status_code == 200
        post(api, daily, observation(number))


def test_rewinding_to_the_last_observation_changes_nothing(api: httpx2.Client, daily: str) -> None:
    stood = api.get(f"/v1/sessions/{daily}").json()
    answer = rewind(api, daily, {"timestamp": day(100)})
    body = answer.json()
    assert (answer.status_code, body["etag"], body["step"], body["applied"]) == (200, stood["etag"], 100, 0)
    assert body["forecast"] == api.get(f"/v1/sessions/{daily}/forecast").json()["forecasts"][0]
    assert api.get(f"/v1/sessions/{daily}").json() == stood


def test_a_rewind_sent_again_gets_the_same_bytes(api: httpx2.Client, daily: str) -> None:
    first = rewind(api, daily, {"step": 90})
    again = rewind(api, daily, {"step": 90})
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    key = {"Idempotency-Key": "k"}
    keyed = rewind(api, daily, {"step": 85}, **key)
    post(api, daily, observation(86))
    assert rewind(api, daily, {"step": 85}, **key).content == keyed.content
    assert api.get(f"/v1/sessions/{daily}").json()["step"] == 86


def test_a_rewind_compares_the_etag(api: httpx2.Client, daily: str) -> None:
    etag = api.get(f"/v1/sessions/{daily}").headers["etag"]
    post(api, daily, observation(101))
    problem(rewind(api, daily, {"step": 90}, **{"If-Match": etag}), 412, "precondition-failed")
    api.patch(f"/v1/sessions/{daily}", json={"require_if_match": True})
    problem(rewind(api, daily, {"step": 90}), 428, "precondition-required")


def test_what_no_kept_state_reaches_is_refused(api: httpx2.Client, daily: str) -> None:
    body = problem(rewind(api, daily, {"timestamp": day(63)}), 409, "not-retained")
    assert body["retained_from"] == day(64)
    assert rewind(api, daily, {"timestamp": body["retained_from"]}).status_code == 200


def test_what_was_never_observed_is_not_found(api: httpx2.Client, daily: str, name: str) -> None:
    problem(rewind(api, daily, {"step": 101}), 404, "observation-not-found")
    problem(rewind(api, daily, {"timestamp": day(101)}), 404, "observation-not-found")
    problem(rewind(api, f"{name}-other", {"step": 1}), 404, "session-not-found")


@pytest.mark.parametrize("last", [{"step": 0}, {"timestamp": day(0)}])
def test_before_the_first_observation_a_reset_is_meant(api: httpx2.Client, daily: str, last: Json) -> None:
    body = problem(rewind(api, daily, last), 422, "invalid-request")
    assert ":reset" in body["detail"]
    assert body["errors"][0]["pointer"] == "/" + next(iter(last))


@pytest.mark.parametrize(
    "last", [{}, {"step": 1, "timestamp": day(1)}, {"step": "1"}, {"timestamp": 1}, {"to": day(1)}, {"step": -1}]
)
def test_the_last_to_keep_is_named_once(api: httpx2.Client, daily: str, last: Json) -> None:
    problem(rewind(api, daily, last), 422, "invalid-request")


def test_a_session_without_history_goes_nowhere_back(api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"history": 0})
    for number in range(3):
        post(api, name, {"value": number})
    assert rewind(api, name, {"step": 3}).json()["step"] == 3
    assert problem(rewind(api, name, {"step": 2}), 409, "not-retained")["retained_from"] is None
    assert problem(correct(api, name, 3, 7.0), 409, "not-retained")["retained_from"] is None
