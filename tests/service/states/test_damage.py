"""A state that was cut, changed or damaged is refused, and nothing is written."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from service.states import receiving
from tests.service.calls import problem
from tests.service.days import observation, series
from tests.service.states.documents import Json, exported, put, sealed


@pytest.fixture
def state(api: httpx2.Client, name: str) -> Json:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": [*series(1, 99), observation(100, value=121.0)]})
    return exported(api, name)


def changed(*path: Any, to: object) -> Callable[[Json], None]:  # noqa: ANN401 - names and indices
    def change(state: Json) -> None:
        inner: Any = state
        for part in path[:-1]:
            inner = inner[part]
        inner[path[-1]] = to

    return change


def without(*path: Any) -> Callable[[Json], None]:  # noqa: ANN401
    def change(state: Json) -> None:
        inner: Any = state
        for part in path[:-1]:
            inner = inner[part]
        del inner[path[-1]]

    return change


WRONG: dict[str, Callable[[Json], None]] = {
    "/format": changed("format", to=2),
    "/session/freq": changed("session", "freq", to="fortnight"),
    "/session/timezone": changed("session", "timezone", to="Mars/Olympus"),
    "/session/ttl_s": changed("session", "ttl_s", to=10),
    "/session/static/area": changed("session", "static", to={"area": 1.0}),
    "/first": changed("first", to="2026-99-99"),
    "/last": changed("last", to="2031-01-01"),
    "/arrays": without("arrays", 0),
    "/data": changed("data", to="AAAA"),
    "/kept/0/data": changed("kept", 0, "data", to="!"),
    "/kept/0/step": changed("kept", 0, "step", to=100),
    "/history/3/step": changed("history", 3, "step", to=41),
    "/history/5/timestamp": changed("history", 5, "timestamp", to="2026-01-01"),
    "/history/7/covariates": changed("history", 7, "covariates", to={"rain": 1.0}),
    "/history/8/forecast/quantiles": without("history", 8, "forecast", "quantiles", "0.1"),
}


@pytest.mark.parametrize("where", WRONG)
def test_the_first_member_that_does_not_fit_is_named(api: httpx2.Client, name: str, state: Json, where: str) -> None:
    WRONG[where](state)
    refused = problem(put(api, f"{name}.b", sealed(state)), 422, "state-invalid")
    assert refused["errors"][0]["pointer"] == where
    assert api.get(f"/v1/sessions/{name}.b").status_code == 404


TYPES: dict[str, tuple[Callable[[Json], None], str]] = {
    "/history/2/value": (changed("history", 2, "value", to="12"), "history.2.value: must be a number or null"),
    "/kept": (without("kept"), "kept: required"),
    "/data": (without("data"), "data: required"),
    "/session/session": (without("session", "session"), "session.session: required"),
    "/kept/0/data": (without("kept", 0, "data"), "kept.0.data: required"),
    "/session/colour": (changed("session", "colour", to="red"), "session.colour: unknown key"),
    "/session/history": (changed("session", "history", to="all"), 'session.history: must be an integer, or "full"'),
    "/session/static": (
        changed("session", "static", to={"a": "b"}),
        "session.static: each value must be a number or null",
    ),
    "/session": (changed("session", to=[]), "session: must be an object"),
    "/flags/0": (changed("flags", to=[1]), "flags.0: must be a string"),
    "/step": (changed("step", to=-1), "step: must be at least 0"),
    "/last": (changed("last", to=3), "last: must be a string or null"),
}


@pytest.mark.parametrize("where", TYPES)
def test_a_member_of_another_type_is_named(api: httpx2.Client, name: str, state: Json, where: str) -> None:
    change, detail = TYPES[where]
    change(state)
    refused = problem(put(api, f"{name}.b", state), 422, "state-invalid")
    assert (refused["errors"][0]["pointer"], refused["detail"]) == (where, detail)


def test_a_step_that_is_no_number_and_a_document_that_is_none_are_told_so(
    api: httpx2.Client, name: str, state: Json
) -> None:
    refused = problem(put(api, f"{name}.b", {**state, "step": "12"}), 422, "state-invalid")
    assert refused["errors"] == [{"pointer": "/step", "detail": "must be an integer"}]
    answer = api.put(f"/v1/sessions/{name}.b/state", json=[state])
    assert problem(answer, 422, "state-invalid")["detail"] == "the document: must be an object"


DAMAGED: dict[str, Callable[[Json], None]] = {
    "a value": changed("history", 9, "value", to=1e6),
    "a setting": changed("session", "minimum", to=3.0),
    "the state": lambda state: changed("data", to=state["data"][4:8] + state["data"][4:])(state),
    "the model": changed("model", to="tiny@9"),
    "the fingerprint": changed("fingerprint", to="sha256:00"),
    "the checksum": changed("checksum", to="sha256:00"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_what_was_changed_is_found_by_the_checksum(api: httpx2.Client, name: str, state: Json, what: str) -> None:
    DAMAGED[what](state)
    refused = problem(put(api, f"{name}.b", state), 422, "state-invalid")
    assert refused["errors"][0]["pointer"] in ("/checksum", "/data")
    assert api.get(f"/v1/sessions/{name}.b").status_code == 404


def test_a_state_that_is_cut_anywhere_is_refused(api: httpx2.Client, name: str, state: Json) -> None:
    text = api.get(f"/v1/sessions/{name}/state").content
    for cut in range(0, len(text), len(text) // 40):
        headers = {"Content-Type": "application/json"}
        answer = api.put(f"/v1/sessions/{name}.b/state", content=text[:cut], headers=headers)
        problem(answer, 400, "malformed-request")
    assert api.get(f"/v1/sessions/{name}.b").status_code == 404


def test_a_flipped_bit_anywhere_is_refused(api: httpx2.Client, name: str, state: Json) -> None:
    text = api.get(f"/v1/sessions/{name}/state").content
    headers = {"Content-Type": "application/json"}
    for at in range(7, len(text), len(text) // 60):
        flipped = text[:at] + bytes([text[at] ^ 4]) + text[at + 1 :]
        answer = api.put(f"/v1/sessions/{name}.b/state", content=flipped, headers=headers)
        assert answer.status_code in (400, 422), (at, answer.text)
    assert api.get(f"/v1/sessions/{name}.b").status_code == 404


def test_a_state_of_another_model_names_both_fingerprints(api: httpx2.Client, name: str, state: Json) -> None:
    fingerprint = f"sha256:{'0' * 64}"
    refused = problem(put(api, f"{name}.b", sealed({**state, "fingerprint": fingerprint})), 409, "model-mismatch")
    assert (refused["expected"], refused["found"]) == (fingerprint, state["fingerprint"])
    absent = problem(put(api, f"{name}.b", sealed({**state, "model": "tiny@9"})), 409, "model-unavailable")
    assert "install the model's folder here" in absent["detail"]
    assert "PATCH" not in absent["detail"], "there is no session yet"


def test_a_document_that_was_indented_or_had_its_numbers_rewritten_is_the_same(
    api: httpx2.Client, name: str, state: Json
) -> None:
    state["history"][-1]["value"] = 121
    assert put(api, f"{name}.b", state).status_code == 201


@pytest.mark.parametrize("where", ["/format", "/history/3/step", "/history/5/timestamp", "/arrays"])
def test_a_large_document_is_refused_in_the_same_words(
    api: httpx2.Client, name: str, state: Json, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRONG[where](state)
    small = put(api, f"{name}-b", state).json()
    monkeypatch.setattr(receiving, "LARGE_BYTES", 0)  # all are read as large ones are, by another process
    large = put(api, f"{name}-b", state).json()
    assert large == small | {"instance": large["instance"]}


def test_a_large_document_that_is_no_json_is_refused(api: httpx2.Client, name: str) -> None:
    cut = b'{"format": 1, "data": "' + bytes(receiving.LARGE_BYTES)
    answer = api.put(f"/v1/sessions/{name}/state", content=cut, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed-request")


def test_a_large_document_is_put_as_a_small_one_is(
    api: httpx2.Client, name: str, state: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert put(api, f"{name}-small", state).status_code == 201
    monkeypatch.setattr(receiving, "LARGE_BYTES", 0)
    assert put(api, f"{name}-large", state).status_code == 201
    small, large = exported(api, f"{name}-small"), exported(api, f"{name}-large")
    assert {**large, "session": None, "checksum": ""} == {**small, "session": None, "checksum": ""}
    assert api.post(f"/v1/sessions/{name}-large:verify").json()["ok"]
