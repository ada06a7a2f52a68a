"""POST with on_conflict=correct: late and revised observations become corrections of the same commit."""

from typing import Any

import httpx2
import pytest

from models.artifacts.runtime import Model
from tests.service.calls import Json, history, post, problem
from tests.service.conftest import Service
from tests.service.days import day, observation, series, value
from tests.service.offline import offline, record_of


@pytest.fixture
def daily(api: httpx2.Client, name: str) -> str:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 40)})
    return name


def send(api: httpx2.Client, name: str, body: Any, **headers: str) -> httpx2.Response:  # noqa: ANN401 - any JSON
    return api.post(f"/v1/sessions/{name}/observations?on_conflict=correct", json=body, headers=headers)


def counts(answer: httpx2.Response) -> Json:
    body: Json = answer.json()
    return {name: body[name] for name in ("step", "applied", "replayed", "corrected", "imputed")}


async def test_a_week_with_revised_figures_is_one_commit(api: httpx2.Client, service: Service, daily: str) -> None:
    post(api, daily, observation(42))
    stood = api.get(f"/v1/sessions/{daily}").json()
    week = [observation(38, value=1.0), *series(39, 43)]
    answer = send(api, daily, week)
    assert counts(answer) == {"step": 43, "applied": 1, "replayed": 3, "corrected": 2, "imputed": 0}
    assert answer.json()["observed"]["timestamp"] == day(43)
    assert int(answer.json()["etag"].split("-")[1]) == int(stood["etag"].split("-")[1]) + 1
    record = await record_of(service, daily)
    sent = [value(number) if number != 38 else 1.0 for number in range(1, 44)]
    assert record.state.tobytes() == offline(service.registry.default, record, sent)[0].tobytes()
    assert not any(one["imputed"] for one in history(api, daily))


def test_a_week_sent_again_is_a_replay_with_the_same_bytes(api: httpx2.Client, daily: str) -> None:
    week = [observation(38, value=1.0), *series(39, 43)]
    first = send(api, daily, week)
    again = send(api, daily, week, **{"If-Match": '"0000000000000000-1"'})
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    assert api.get(f"/v1/sessions/{daily}").json()["etag"] == first.json()["etag"]


def test_a_single_correction_sent_again_is_a_replay_with_the_same_bytes(api: httpx2.Client, daily: str) -> None:
    first = send(api, daily, [*series(34, 35), observation(36, value=1.0), *series(37, 40)])
    assert counts(first) == {"step": 40, "applied": 0, "replayed": 6, "corrected": 1, "imputed": 0}
    assert first.json()["observed"]["timestamp"] == day(36)
    again = send(api, daily, [*series(34, 35), observation(36, value=1.0), *series(37, 40)])
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")


def test_a_replay_runs_no_model(api: httpx2.Client, daily: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Model, "_fold", None)
    assert send(api, daily, series(34, 40)).headers["idempotency-replayed"] == "true"


def test_the_last_value_is_corrected(api: httpx2.Client, daily: str) -> None:
    assert counts(send(api, daily, observation(40, value=1.0)))["corrected"] == 1
    assert history(api, daily)[-1]["original"] == value(40)


def test_a_gap_is_imputed_and_late_data_fills_it_in(api: httpx2.Client, daily: str) -> None:
    assert counts(send(api, daily, observation(44)))["imputed"] == 3
    assert counts(send(api, daily, observation(42))) == {
        "step": 44, "applied": 0, "replayed": 0, "corrected": 1, "imputed": 0,
    }  # fmt: skip
    assert [one["imputed"] for one in history(api, daily)[-4:]] == [True, False, True, False]


async def test_a_list_may_be_out_of_order(api: httpx2.Client, service: Service, daily: str) -> None:
    late = [observation(43), observation(41), observation(43, value=2.0), observation(42)]
    assert counts(send(api, daily, late)) == {"step": 43, "applied": 3, "replayed": 0, "corrected": 1, "imputed": 0}
    record = await record_of(service, daily)
    sent = [*(value(number) for number in range(1, 43)), 2.0]
    assert record.state.tobytes() == offline(service.registry.default, record, sent)[0].tobytes()


def test_a_list_with_one_too_old_is_refused_as_a_whole(api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "history": 10, "observations": series(1, 40)})
    stood = api.get(f"/v1/sessions/{name}").json()
    body = problem(send(api, name, [observation(39, value=1.0), observation(20)]), 409, "not-retained")
    assert (body["retained_from"], body["errors"][0]["pointer"]) == (stood["retained_from"], "/1")
    problem(send(api, name, [observation(39, value=1.0), observation(0)]), 409, "out-of-order")
    assert api.get(f"/v1/sessions/{name}").json() == stood


def test_without_it_another_value_is_still_refused(api: httpx2.Client, daily: str) -> None:
    problem(post(api, daily, observation(40, value=1.0)), 409, "observation-conflict")
    problem(post(api, daily, observation(38, value=1.0)), 409, "out-of-order")


def test_a_key_belongs_to_one_way_of_sending(api: httpx2.Client, daily: str) -> None:
    first = send(api, daily, observation(40, value=1.0), **{"Idempotency-Key": "k"})
    assert send(api, daily, observation(40, value=1.0), **{"Idempotency-Key": "k"}).content == first.content
    problem(post(api, daily, observation(40, value=1.0), **{"Idempotency-Key": "k"}), 422, "idempotency-key-reused")


def test_counted_sessions_correct_by_step(api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": None})
    post(api, name, [{"value": number} for number in range(1, 6)])
    answer = send(api, name, [{"value": 30, "step": 3}, {"value": 6}])
    assert (counts(answer)["corrected"], counts(answer)["applied"]) == (1, 1)
    assert [one["value"] for one in history(api, name)] == [1, 2, 30, 4, 5, 6]


def test_it_creates_a_session_where_it_may(api: httpx2.Client, name: str) -> None:
    url = f"/v1/sessions/{name}/observations?on_conflict=correct&create=true"
    assert api.post(url, json=series(1, 3)).status_code == 201
    assert api.post(url, json=[observation(2, value=1.0), observation(4)]).json()["corrected"] == 1
