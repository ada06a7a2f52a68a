"""A session that is moved goes on as the one that stays: the same bits, corrections, proofs."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from tests.service.calls import correct, history, post, problem, rewind
from tests.service.conftest import Service, serving
from tests.service.days import day, observation, series
from tests.service.states.documents import exported, put

LIVES: dict[str, dict[str, Any]] = {
    "a tail": {"freq": "D"},
    "all of it": {"freq": "D", "history": "full"},
    "nothing": {"freq": "D", "history": 0},
    "counted steps": {"freq": None},
    "a zone and bounds": {
        **{"freq": "D", "timezone": "Europe/Berlin", "minimum": 0, "maximum": 900.5, "gaps": "reject"},
        **{"max_gap": 3, "ttl_s": None, "require_if_match": False, "history": 31},
    },
}


@pytest.fixture(params=list(LIVES.values()), ids=list(LIVES))
def life(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


@pytest.fixture(scope="module")
def other_rings(service: Service) -> Iterator[httpx2.Client]:
    """A service over the same store that keeps full histories in other rings."""
    running = serving(service.registry, service.store_url, history=9)
    with running as other, httpx2.Client(base_url=other.url, timeout=60) as client:
        yield client


def begin(api: httpx2.Client, name: str, life: dict[str, Any], steps: int = 150) -> None:
    """A session with a missing value, single steps and corrections behind it."""
    dated = life["freq"] is not None
    days = [observation(number, value=None if number == 40 else 100 + number % 7) for number in range(1, steps + 1)]
    sent = days if dated else [{"value": one["value"]} for one in days]
    assert api.put(f"/v1/sessions/{name}", json={**life, "observations": sent[:-5]}).status_code == 201
    for one in sent[-5:]:
        assert post(api, name, one).status_code == 200
    if life.get("history") != 0:
        assert correct(api, name, day(steps - 3) if dated else steps - 3, 77.5).status_code == 200


def shown(api: httpx2.Client, name: str) -> list[Any]:
    """What a reader sees of a session but its life."""
    session = api.get(f"/v1/sessions/{name}").json()
    for life in ("session", "etag", "created_at", "updated_at", "expires_at"):
        del session[life]
    fan = api.get(f"/v1/sessions/{name}/forecast?horizon=28").json()["forecasts"]
    return [session, fan, history(api, name)]


def test_a_moved_session_is_the_same_but_for_its_life(api: httpx2.Client, name: str, life: dict[str, Any]) -> None:
    begin(api, name, life)
    moved = put(api, f"{name}.b", exported(api, name))
    assert (moved.status_code, moved.headers["location"]) == (201, f"/v1/sessions/{name}.b")
    assert shown(api, f"{name}.b") == shown(api, name)
    lives = [api.get(f"/v1/sessions/{one}").json()["etag"].partition("-")[0] for one in (name, f"{name}.b")]
    assert lives[0] != lives[1]


def test_a_moved_session_goes_on_to_the_bit(api: httpx2.Client, name: str, life: dict[str, Any]) -> None:
    begin(api, name, life)
    put(api, f"{name}.b", exported(api, name))
    dated = life["freq"] is not None
    for number in range(151, 230):
        one = observation(number) if dated else {"value": float(number)}
        answers = [post(api, session, one).json() for session in (name, f"{name}.b")]
        assert answers[0]["forecast"] == answers[1]["forecast"]
    assert exported(api, f"{name}.b")["data"] == exported(api, name)["data"]
    assert api.post(f"/v1/sessions/{name}.b:verify").json()["ok"]


@pytest.mark.parametrize("life", [LIVES["a tail"], LIVES["all of it"]], ids=["a tail", "all of it"], indirect=True)
def test_what_was_retained_can_be_corrected_and_gone_back_to(
    api: httpx2.Client, name: str, life: dict[str, Any]
) -> None:
    begin(api, name, life)
    put(api, f"{name}.b", exported(api, name))
    oldest = api.get(f"/v1/sessions/{name}").json()["retained_from"]
    changes: list[Callable[[str], httpx2.Response]] = [
        lambda session: correct(api, session, oldest, 12.5),
        lambda session: rewind(api, session, {"timestamp": day(140)}),
        lambda session: correct(api, session, day(139), None),
    ]
    for change in changes:
        assert [change(session).status_code for session in (name, f"{name}.b")] == [200, 200]
        assert shown(api, f"{name}.b") == shown(api, name)


def test_a_full_history_moves_between_services_with_other_rings(
    api: httpx2.Client, other_rings: httpx2.Client, name: str
) -> None:
    begin(api, name, LIVES["all of it"])
    assert put(other_rings, f"{name}.b", exported(api, name)).status_code == 201
    assert put(api, f"{name}.c", exported(other_rings, f"{name}.b")).status_code == 201
    for session, client in ((f"{name}.b", other_rings), (f"{name}.c", api)):
        for one in series(151, 200):
            post(client, session, one)
        assert correct(client, session, day(2), 1.5).status_code == 200
        assert client.post(f"/v1/sessions/{session}:verify").json()["ok"]
        assert len(history(client, session)) == 200


def test_a_history_that_begins_late_moves_with_the_state_before_it(api: httpx2.Client, name: str) -> None:
    begin(api, name, LIVES["a tail"])
    api.patch(f"/v1/sessions/{name}", json={"history": "full"})
    begins = history(api, name)[0]["timestamp"]
    assert begins != day(1)
    put(api, f"{name}.b", exported(api, name))
    assert correct(api, f"{name}.b", begins, 3.25).status_code == 200
    assert correct(api, name, begins, 3.25).status_code == 200
    assert shown(api, f"{name}.b") == shown(api, name)
    assert api.post(f"/v1/sessions/{name}.b:verify").json()["ok"]


@pytest.mark.parametrize("freq", ["D", None])
def test_an_empty_session_moves(api: httpx2.Client, name: str, freq: str | None) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": freq})
    assert put(api, f"{name}.b", exported(api, name)).status_code == 201
    assert post(api, f"{name}.b", observation(1) if freq else {"value": 1}).status_code == 200


def test_the_same_state_again_changes_nothing_also_after_more(api: httpx2.Client, name: str) -> None:
    begin(api, name, LIVES["a tail"])
    state = exported(api, name)
    first = put(api, f"{name}.b", state)
    assert put(api, f"{name}.b", state).status_code == 200
    after = post(api, f"{name}.b", observation(151)).headers["etag"]
    again = put(api, f"{name}.b", state)
    assert (again.status_code, again.headers["etag"]) == (200, after)
    assert first.headers["etag"] != after


def test_over_another_session_a_state_is_put_with_if_match_only(api: httpx2.Client, name: str) -> None:
    begin(api, name, LIVES["all of it"])
    state = exported(api, name)
    stands = api.put(f"/v1/sessions/{name}.b", json={"freq": "D", "history": "full", "observations": series(1, 90)})
    refused = problem(put(api, f"{name}.b", state), 409, "session-exists")
    assert refused["differences"] == ["state"]
    problem(put(api, f"{name}.b", state, **{"If-Match": '"0000000000000000-1"'}), 412, "precondition-failed")
    problem(put(api, f"{name}.none", state, **{"If-Match": stands.headers["etag"]}), 412, "precondition-failed")
    assert put(api, f"{name}.b", state, **{"If-Match": stands.headers["etag"]}).status_code == 200
    assert put(api, f"{name}.b", state, **{"If-Match": stands.headers["etag"]}).status_code == 200
    assert shown(api, f"{name}.b") == shown(api, name)


def test_a_state_is_read_again_only_where_it_changed(api: httpx2.Client, name: str) -> None:
    begin(api, name, LIVES["a tail"])
    etag = api.get(f"/v1/sessions/{name}/state").headers["etag"]
    assert api.get(f"/v1/sessions/{name}/state", headers={"If-None-Match": etag}).status_code == 304


def test_a_state_names_the_runtime_that_folded_it(api: httpx2.Client, name: str) -> None:
    begin(api, name, LIVES["counted steps"], 10)
    assert exported(api, name)["runtime"] == api.get("/v1/status").json()["store"]["runtime"]


def test_a_state_larger_than_the_service_reads_is_refused_and_the_setting_named(
    api: httpx2.Client, service: Service, name: str
) -> None:
    begin(api, name, LIVES["counted steps"], 10)
    state = exported(api, name)
    running = serving(service.registry, service.store_url, state_limit_bytes=1024)
    with running as other, httpx2.Client(base_url=other.url, timeout=60) as client:
        refused = problem(put(client, f"{name}.b", state), 413, "too-large")
    assert refused["limit"] == 1024
    assert "HIDDENSTATE_STATE_LIMIT_BYTES" in refused["detail"]
