"""PATCH of what needs folding again: another model, and another length of history."""

from typing import Any

import httpx2
import pytest

from models.artifacts.artifact import SHIPPED
from models.artifacts.runtime import Running
from service.sessions.registry import Registry
from service.wire import schemas
from tests.service.calls import correct, history, post, problem, rewind
from tests.service.conftest import Service, serving
from tests.service.days import day, observation, series, value
from tests.service.offline import offline, quantiles_of, record_of


def patch(api: httpx2.Client, name: str, query: str = "", **settings: Any) -> httpx2.Response:  # noqa: ANN401 - any JSON
    return api.patch(f"/v1/sessions/{name}{query}", json=settings)


def values(first: int, last: int) -> list[float | None]:
    return [value(number) for number in range(first, last + 1)]


@pytest.fixture
def daily(api: httpx2.Client, name: str) -> str:
    api.put(f"/v1/sessions/{name}", json={"model": "tiny@1", "freq": "D", "observations": series(1, 100)})
    return name


@pytest.fixture
def full(api: httpx2.Client, name: str) -> str:
    body = {"model": "tiny@1", "freq": "D", "history": "full", "observations": series(1, 200)}
    api.put(f"/v1/sessions/{name}", json=body)
    return name


async def test_another_model_folds_all_of_a_full_history(api: httpx2.Client, service: Service, full: str) -> None:
    before = history(api, full)
    stood = api.get(f"/v1/sessions/{full}").json()
    answer = patch(api, full, model="tiny@2")
    session = answer.json()
    assert (session["model"], session["step"], session["warnings"]) == ("tiny@2", 200, [])
    assert session["etag"] != stood["etag"]
    assert answer.headers["etag"] == f'"{session["etag"]}"'
    record = await record_of(service, full)
    state, issued = offline(service.registry.default, record, values(1, 200))
    assert record.state.tobytes() == state.tobytes()
    assert history(api, full) == before
    assert quantiles_of(api.get(f"/v1/sessions/{full}/forecast").json()["forecasts"][0]) == issued[200]
    assert correct(api, full, day(3), 1.0).json()["model"] == "tiny@2"
    assert api.post(f"/v1/sessions/{full}:verify").json()["ok"]


def test_a_session_that_retains_nothing_keeps_its_model_and_what_it_learned(api: httpx2.Client, name: str) -> None:
    body = {"model": "tiny@1", "freq": "D", "history": 0, "observations": series(1, 31)}
    stood = api.put(f"/v1/sessions/{name}", json=body).json()
    for query in ("?validate_only=true", ""):
        refused = problem(patch(api, name, query, model="tiny@2", history="full"), 409, "not-retained")
        assert refused["errors"][0]["pointer"] == "/model"
        assert f"POST /v1/sessions/{name}:reset first" in refused["detail"]
    assert api.get(f"/v1/sessions/{name}").json() == stood
    api.post(f"/v1/sessions/{name}:reset")
    assert patch(api, name, model="tiny@2").json()["model"] == "tiny@2"


async def test_another_model_folds_the_tail_that_is_retained_and_says_so(
    api: httpx2.Client, service: Service, daily: str
) -> None:
    session = patch(api, daily, model="tiny").json()
    assert session["model"] == "tiny@2"
    assert [warning["type"] for warning in session["warnings"]] == ["short-rebuild"]
    record = await record_of(service, daily)
    tail = offline(service.registry.default, record, values(37, 100), first=37)[0]
    assert record.state.tobytes() == tail.tobytes()
    assert session["retained_from"] == day(65)
    assert history(api, daily)[0]["timestamp"] == day(37)
    assert correct(api, daily, day(65), 5.0).status_code == 200
    assert rewind(api, daily, {"step": 70}).status_code == 200
    post(api, daily, series(71, 180))
    session = api.get(f"/v1/sessions/{daily}").json()
    assert "short-rebuild" in [warning["type"] for warning in session["warnings"]]
    record = await record_of(service, daily)
    tail = offline(service.registry.default, record, [*values(37, 64), 5.0, *values(66, 180)], first=37)[0]
    assert record.state.tobytes() == tail.tobytes()
    assert api.post(f"/v1/sessions/{daily}:reset").json()["warnings"] == []


def test_a_whole_history_that_is_retained_is_no_short_rebuild(api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"model": "tiny@1", "freq": "D", "observations": series(1, 60)})
    assert patch(api, name, model="tiny@2").json()["warnings"] == []


def test_answers_of_the_model_before_are_not_given_under_the_new_name(api: httpx2.Client, daily: str) -> None:
    key = {"Idempotency-Key": "k"}
    post(api, daily, observation(101), **key)
    patch(api, daily, model="tiny@2")
    again = post(api, daily, observation(101), **key)
    assert (again.status_code, again.json()["model"]) == (200, "tiny@2")
    assert again.headers["idempotency-replayed"] == "true"
    assert api.get(f"/v1/sessions/{daily}").json()["step"] == 101


def test_what_is_only_validated_changes_nothing(api: httpx2.Client, daily: str) -> None:
    stood = api.get(f"/v1/sessions/{daily}").json()
    shown = patch(api, daily, "?validate_only=true", model="tiny@2", history=10, minimum=3).json()
    assert (shown["model"], shown["history"], shown["minimum"]) == ("tiny@2", 10, 3)
    assert shown["etag"] == stood["etag"]
    assert shown["scores"]["recent"]["steps"] > 0
    problem(patch(api, daily, "?validate_only=true", minimum=3, maximum=2), 422, "invalid-request")
    problem(patch(api, daily, "?validate_only=maybe", minimum=3), 422, "invalid-request")
    assert api.get(f"/v1/sessions/{daily}").json() == stood
    patch(api, daily, model="tiny@2", history=10, minimum=3)
    committed = api.get(f"/v1/sessions/{daily}").json()
    told = {name: member for name, member in shown.items() if name not in ("etag", "updated_at", "expires_at")}
    assert {name: committed[name] for name in told} == told


def test_an_unknown_model_is_not_found(api: httpx2.Client, daily: str) -> None:
    problem(patch(api, daily, model="nobody"), 404, "not-found")
    problem(patch(api, daily, model="tiny@9"), 404, "not-found")


def test_the_model_that_it_has_changes_nothing_of_the_state(api: httpx2.Client, daily: str) -> None:
    before = api.get(f"/v1/sessions/{daily}/forecast").json()["forecasts"]
    assert "short-rebuild" not in str(patch(api, daily, model="tiny@1").json()["warnings"])
    assert api.get(f"/v1/sessions/{daily}/forecast").json()["forecasts"] == before


@pytest.mark.parametrize("length", [0, 1, 5, 33, 50, 65, 100, 1000, "full"])
@pytest.mark.parametrize("start", ["daily", "full"])
async def test_another_length_of_history_keeps_the_state_and_what_can_be_corrected(
    api: httpx2.Client, service: Service, request: pytest.FixtureRequest, start: str, length: int | str
) -> None:
    name = request.getfixturevalue(start)
    steps = api.get(f"/v1/sessions/{name}").json()["step"]
    before = history(api, name)
    session = patch(api, name, history=length).json()
    assert session["history"] == length
    retained = history(api, name)
    wanted = steps if length == "full" else int(length)
    reach = 200 if start == "full" else 36  # of 100 steps, 64 are retained, and the oldest state is that after step 64
    assert retained == before[len(before) - min(wanted, reach) :]
    sent = values(1, steps)
    for number in range(steps + 1, steps + 140):
        oldest = api.get(f"/v1/sessions/{name}").json()["retained_from"]
        if number % 9 == 0 and oldest is not None:
            step = next(one["step"] for one in history(api, name) if one["timestamp"] == oldest)
            assert correct(api, name, oldest, float(number)).status_code == 200
            sent[step - 1] = float(number)
        assert post(api, name, observation(number)).status_code == 200
        sent.append(value(number))
    record = await record_of(service, name)
    assert record.state.tobytes() == offline(service.registry.exactly("tiny@1"), record, sent)[0].tobytes()
    assert [one["value"] for one in history(api, name)] == sent[len(sent) - len(history(api, name)) :]
    assert api.post(f"/v1/sessions/{name}:verify").json()["ok"]


async def test_a_full_history_that_began_late_reaches_back_to_its_beginning(
    api: httpx2.Client, service: Service, daily: str
) -> None:
    patch(api, daily, history="full")
    post(api, daily, series(101, 400))
    session = api.get(f"/v1/sessions/{daily}").json()
    assert session["retained_from"] == day(65)
    assert correct(api, daily, day(65), 5.0).status_code == 200
    problem(correct(api, daily, day(64), 5.0), 409, "not-retained")
    record = await record_of(service, daily)
    sent = [*values(1, 64), 5.0, *values(66, 400)]
    assert record.state.tobytes() == offline(service.registry.exactly("tiny@1"), record, sent)[0].tobytes()
    assert rewind(api, daily, {"step": 65}).status_code == 200
    session = patch(api, daily, model="tiny@2").json()
    assert "short-rebuild" in str(session["warnings"])
    post(api, daily, series(66, 300))
    correct(api, daily, day(66), 7.0)
    verified = api.post(f"/v1/sessions/{daily}:verify").json()
    assert (verified["observations"], verified["ok"]) == (236, True)


def test_a_longer_history_than_allowed_is_refused(api: httpx2.Client, daily: str) -> None:
    problem(patch(api, daily, history=10_001), 422, "invalid-request")
    problem(patch(api, daily, history="all"), 422, "invalid-request")


def test_the_gap_that_is_imputed_follows_the_history_unless_it_was_set(api: httpx2.Client, daily: str) -> None:
    assert patch(api, daily, history=100).json()["max_gap"] == 50
    assert patch(api, daily, max_gap=7).json()["max_gap"] == 7
    assert patch(api, daily, history=64).json()["max_gap"] == 7


def test_what_would_not_be_finite_is_not_committed(
    api: httpx2.Client, daily: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stood = api.get(f"/v1/sessions/{daily}").json()
    folded = Running.states

    def broken(self: Running) -> Any:  # noqa: ANN401 - as Running.states
        states = folded(self)
        states.view("f8")[:] = float("inf")
        return states

    monkeypatch.setattr(Running, "states", broken)
    problem(patch(api, daily, model="tiny@2"), 422, "result-not-finite")
    monkeypatch.undo()
    assert api.get(f"/v1/sessions/{daily}").json() == stood


@pytest.mark.parametrize("start", ["daily", "full"])
async def test_a_session_whose_model_is_gone_is_folded_again_by_one_that_is_here(
    service: Service, request: pytest.FixtureRequest, start: str
) -> None:
    """The new model's state has another size and other arrays, and the whole of a full history is read."""
    name = request.getfixturevalue(start)
    others = Registry.load([SHIPPED], "daily")
    running = serving(others, service.store_url, default_model="daily")
    with running as other, httpx2.Client(base_url=other.url, timeout=60) as api:
        problem(patch(api, name, minimum=0), 409, "model-unavailable")
        stale = {"If-Match": "0000000000000000-1"}
        problem(api.patch(f"/v1/sessions/{name}", json={"model": "daily"}, headers=stale), 412, "precondition-failed")
        shown = patch(api, name, "?validate_only=true", model="daily").json()
        session = patch(api, name, model="daily").json()
        assert shown["scores"] == session["scores"]
        first, steps = (1, 200) if start == "full" else (37, 100)
        assert (session["model"], session["step"]) == ("daily@2", steps)
        assert [one["type"] for one in session["warnings"]] == ([] if start == "full" else ["short-rebuild"])
        assert post(api, name, observation(steps + 1)).status_code == 200
        assert correct(api, name, steps - 5, 1.0).status_code == 200
        assert correct(api, name, steps - 5, value(steps - 5)).status_code == 200
        assert api.post(f"/v1/sessions/{name}:verify").json()["ok"]
        record = await record_of(other, name)
    folded = offline(others.default, record, values(first, steps + 1), first=first)[0]
    assert record.state.tobytes() == folded.tobytes()


@pytest.mark.parametrize("start", ["daily", "full"])
def test_a_session_whose_model_is_gone_is_still_read(
    service: Service, api: httpx2.Client, request: pytest.FixtureRequest, start: str
) -> None:
    name = request.getfixturevalue(start)
    others = Registry.load([SHIPPED], "daily")
    with serving(others, service.store_url, default_model="daily") as other:
        _is_read_without_its_model(api, name, other)


def test_a_state_longer_than_that_of_any_model_here_is_still_read(service: Service, name: str) -> None:
    both = Registry.load([SHIPPED, service.registry.default.folder.parents[1]], "daily")
    with (
        serving(both, service.store_url, default_model="daily") as other,
        httpx2.Client(base_url=other.url) as api,
    ):
        api.put(f"/v1/sessions/{name}", json={"model": "daily", "freq": "D", "observations": series(1, 70)})
        _is_read_without_its_model(api, name, service)


def _is_read_without_its_model(api: httpx2.Client, name: str, other: Service) -> None:
    path = f"/v1/sessions/{name}"
    whole, observations = api.get(path), history(api, name)
    with httpx2.Client(base_url=other.url) as stranded:
        shown = stranded.get(path)
        assert shown.headers["etag"] == whole.headers["etag"]
        assert [warning["type"] for warning in shown.json()["warnings"]] == ["model-unavailable"]
        unknown = {"warmed_up": None, "scores": {"all": None, "recent": None}, "warnings": shown.json()["warnings"]}
        assert shown.json() == whole.json() | unknown
        schemas.Session.model_validate(shown.json())
        assert history(stranded, name) == observations
        listed = stranded.get("/v1/sessions", params={"prefix": name}).json()["sessions"]
        assert listed in ([], [shown.json()])  # the list may lag
        problem(stranded.get(f"{path}/forecast"), 409, "model-unavailable")
        problem(post(stranded, name, observation(1000)), 409, "model-unavailable")
