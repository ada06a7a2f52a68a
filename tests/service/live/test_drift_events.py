"""Drift as it is told to one who listens: whoever adds up what he was told knows how each session shows itself."""

from collections.abc import Callable
from typing import Any

import httpx2
import numpy as np
import pytest

from service.sessions import drift
from tests.service.calls import Json, post, rewind
from tests.service.days import Observation, day, observation, value
from tests.service.live.listener import Listener, listening
from tests.service.states.documents import exported, put

USUAL, CALM = 70, 110
"""The last usual step, and the last of those by which the errors after it have settled."""


def observations(first: int, last: int) -> list[Observation]:
    """A series that climbs for eight steps after the usual ones, and then goes on as before from there."""
    return [
        observation(number, value=value(number) + 60.0 * min(max(number - USUAL, 0), 8))
        for number in range(first, last + 1)
    ]


DRIFTING = observations(1, USUAL + 15)


def create(api: httpx2.Client, name: str, given: list[Observation], **settings: object) -> Json:
    answer = api.put(f"/v1/sessions/{name}", json={"model": "daily@2", "freq": "D", "observations": given, **settings})
    assert answer.status_code == 201, answer.text
    body: Json = answer.json()
    return body


def created(api: httpx2.Client, listener: Listener, name: str, given: list[Observation], **settings: object) -> Json:
    """As `create`; the listener has heard of it, and will be told what follows."""
    made = create(api, name, given, **settings)
    listener.wait_for(1, "drift" if made["drift"]["detected"] else "session")
    listener.told.clear()
    return made


def told(listener: Listener) -> list[tuple[str, Any]]:
    """Session events by action and drift by since, as they came."""
    return [(one.kind, one.data.get("action", one.data.get("since"))) for one in listener.told]


def drift_of(api: httpx2.Client, name: str) -> Any:  # noqa: ANN401 - any JSON
    return api.get(f"/v1/sessions/{name}").json()["drift"]


def listening_to(api: httpx2.Client, name: str) -> Any:  # noqa: ANN401 - a context manager
    return listening(str(api.base_url), f"session={name}")


def test_a_session_that_is_created_in_drift_is_told_to_be(noticing: httpx2.Client, name: str) -> None:
    with listening_to(noticing, name) as listener:
        made = create(noticing, name, DRIFTING)
        [event] = listener.wait_for(1, "drift")
        assert event == {"session": name, **made["drift"], "step": made["step"], "etag": made["etag"]}
        assert event["detected"]
        assert told(listener) == [("session", "created"), ("drift", event["since"])]


def test_a_session_whose_history_ends_calmly_is_told_as_created_alone(noticing: httpx2.Client, name: str) -> None:
    with listening_to(noticing, name) as listener:
        assert not create(noticing, name, observations(1, 200))["drift"]["detected"]
        post(noticing, name, observations(201, 201)[0])
        listener.wait_for(1, "observation")
        assert listener.of("drift") == []


def test_a_session_that_is_imported_in_drift_is_told_to_be(noticing: httpx2.Client, name: str) -> None:
    create(noticing, f"{name}.a", DRIFTING)
    state = exported(noticing, f"{name}.a")
    with listening_to(noticing, name) as listener:
        moved = put(noticing, name, state).json()
        [event] = listener.wait_for(1, "drift")
        assert event == {"session": name, **moved["drift"], "step": moved["step"], "etag": moved["etag"]}
        assert told(listener)[0] == ("session", "imported")


def test_a_state_without_drift_in_the_place_of_one_in_drift_ends_it(noticing: httpx2.Client, name: str) -> None:
    create(noticing, f"{name}.a", observations(1, USUAL))
    state = exported(noticing, f"{name}.a")
    with listening_to(noticing, name) as listener:
        made = created(noticing, listener, name, DRIFTING)
        moved = put(noticing, name, state, **{"If-Match": made["etag"]}).json()
        ended = {"session": name, "detected": False, "since": None, "step": USUAL, "etag": moved["etag"]}
        assert listener.wait_for(1, "drift") == [ended]


def test_drift_since_another_time_is_told_anew(noticing: httpx2.Client, name: str) -> None:
    """As where another state takes the place of one that is in drift, too."""
    sooner = [observation(number, value=value(number) + 60.0 * max(number - 60, 0)) for number in range(1, 76)]
    create(noticing, f"{name}.a", sooner)
    state = exported(noticing, f"{name}.a")
    with listening_to(noticing, name) as listener:
        made = created(noticing, listener, name, DRIFTING)
        moved = put(noticing, name, state, **{"If-Match": made["etag"]}).json()
        [event] = listener.wait_for(1, "drift")
    assert made["drift"]["since"] != moved["drift"]["since"] == event["since"]


def reset(api: httpx2.Client, name: str) -> httpx2.Response:
    return api.post(f"/v1/sessions/{name}:reset")


def migrate(api: httpx2.Client, name: str) -> httpx2.Response:
    return api.patch(f"/v1/sessions/{name}", json={"model": "tiny@1"})


def go_back(api: httpx2.Client, name: str) -> httpx2.Response:
    return rewind(api, name, {"step": USUAL})


@pytest.mark.parametrize(("change", "action"), [(reset, "reset"), (migrate, "migrated"), (go_back, "rewound")])
def test_what_takes_drift_away_ends_it(
    noticing: httpx2.Client, name: str, change: Callable[[httpx2.Client, str], httpx2.Response], action: str
) -> None:
    with listening_to(noticing, name) as listener:
        created(noticing, listener, name, DRIFTING, history="full")
        changed = change(noticing, name).json()
        ended = {"detected": False, "since": None, "step": changed["step"], "etag": changed["etag"]}
        assert listener.wait_for(1, "drift") == [{"session": name, **ended}]
        assert told(listener) == [("session", action), ("drift", None)]
        assert not drift_of(noticing, name)["detected"]


def test_a_model_that_notices_drift_tells_it_when_it_takes_over(noticing: httpx2.Client, name: str) -> None:
    with listening_to(noticing, name) as listener:
        created(noticing, listener, name, DRIFTING, model="tiny@1", history="full")
        migrated = noticing.patch(f"/v1/sessions/{name}", json={"model": "daily@2"}).json()
        [event] = listener.wait_for(1, "drift")
        assert {name: event[name] for name in ("detected", "since")} == migrated["drift"]
        assert (event["detected"], event["etag"]) == (True, migrated["etag"])


def test_settings_that_leave_the_state_as_it_is_tell_nothing_of_drift(noticing: httpx2.Client, name: str) -> None:
    with listening_to(noticing, name) as listener:
        created(noticing, listener, name, DRIFTING)
        assert noticing.patch(f"/v1/sessions/{name}", json={"minimum": 0, "history": 40}).status_code == 200
        assert noticing.patch(f"/v1/sessions/{name}", json={"model": "tiny@1"}, params={"validate_only": "true"}).json()
        assert drift_of(noticing, name)["detected"]
        assert rewind(noticing, name, {"step": len(DRIFTING) - 1}).status_code == 200
        listener.wait_for(1, "session")
        assert listener.of("drift") == []


def delete(api: httpx2.Client, name: str) -> None:
    assert api.delete(f"/v1/sessions/{name}").status_code == 204


def purge(api: httpx2.Client, name: str) -> None:
    assert api.post("/v1/sessions:purge", json={"prefix": name, "force": True}).json()["purge_count"] == 1


@pytest.mark.parametrize("forget", [delete, purge])
def test_drift_of_a_session_that_is_gone_has_ended(
    noticing: httpx2.Client, name: str, forget: Callable[[httpx2.Client, str], None]
) -> None:
    with listening_to(noticing, name) as listener:
        created(noticing, listener, name, DRIFTING)
        forget(noticing, name)
        gone = {"session": name, "detected": False, "since": None, "step": None, "etag": None}
        assert listener.wait_for(1, "drift") == [gone]
        create(noticing, name, observations(1, USUAL))
        forget(noticing, name)
        listener.wait_for(3, "session")
        assert told(listener) == [
            *(("session", "deleted"), ("drift", None)),
            *(("session", "created"), ("session", "deleted")),
        ]


def infer(api: httpx2.Client, name: str, given: list[float], **parameters: object) -> None:
    tensor = {"name": "value", "datatype": "FP64", "shape": [1, len(given)], "data": given}
    body = {"inputs": [tensor], "parameters": {"sequence_id": name, **parameters}}
    answer = api.post("/v2/models/daily/infer", json=body)
    assert answer.status_code == 200, answer.text


def test_a_sequence_that_begins_anew_or_ends_ends_its_drift(noticing: httpx2.Client, name: str) -> None:
    values = [one["value"] for one in DRIFTING]
    with listening_to(noticing, name) as listener:
        infer(noticing, name, values, sequence_start=True)
        infer(noticing, name, values[:5], sequence_start=True)
        first, second = listener.wait_for(2, "drift")
        assert (first["detected"], second["detected"], second["step"]) == (True, False, 0)
        infer(noticing, name, values, sequence_start=True)
        infer(noticing, name, values[:1], sequence_end=True)
        third, fourth = listener.wait_for(4, "drift")[2:]
        assert (third["since"], fourth["detected"], fourth["step"]) == (first["since"], False, None)


def post_singly(api: httpx2.Client, name: str, given: list[Observation]) -> None:
    for one in given:
        assert post(api, name, one).status_code == 200


def post_as_a_list(api: httpx2.Client, name: str, given: list[Observation]) -> None:
    assert post(api, name, given).status_code == 200


def post_as_short_lists(api: httpx2.Client, name: str, given: list[Observation]) -> None:
    for at in range(0, len(given), 40):
        post_as_a_list(api, name, given[at : at + 40])


def post_as_a_batch(api: httpx2.Client, name: str, given: list[Observation]) -> None:
    rows = [{"session": name, **one} for one in given]
    assert api.post("/v1/observations:batch", json={"observations": rows}).json()["counts"] == {"200": len(rows)}


def create_as_a_list(api: httpx2.Client, name: str, given: list[Observation]) -> None:
    body = observations(1, USUAL) + given
    path = f"/v1/sessions/{name}/observations?create=true&freq=D&model=daily@2"
    assert api.post(path, json=body).status_code == 201


def create_as_a_batch(api: httpx2.Client, name: str, given: list[Observation]) -> None:
    rows = [{"session": name, **one} for one in observations(1, USUAL) + given]
    path = "/v1/observations:batch?create=true&freq=D&model=daily@2"
    assert api.post(path, json={"observations": rows}).json()["counts"] == {"200": len(rows) - 1, "201": 1}


@pytest.mark.parametrize(
    "feed",
    [post_singly, post_as_a_list, post_as_short_lists, post_as_a_batch, create_as_a_list, create_as_a_batch],
)
def test_each_observation_at_which_drift_begins_or_ends_is_told_however_many_come_at_once(
    noticing: httpx2.Client, name: str, feed: Callable[[httpx2.Client, str, list[Observation]], None]
) -> None:
    given = observations(USUAL + 1, CALM + 90)
    if not feed.__name__.startswith("create"):
        create(noticing, name, observations(1, USUAL))
    with listening_to(noticing, name) as listener:
        feed(noticing, name, given)
        begun, ended = listener.wait_for(2, "drift")
    assert (begun["detected"], begun["since"]) == (True, day(begun["step"]))
    assert USUAL < begun["step"] < USUAL + 10
    assert (ended["detected"], ended["since"]) == (False, None)
    create(noticing, f"{name}.to-the-end", observations(1, ended["step"] - 1))
    assert drift_of(noticing, f"{name}.to-the-end") == {"detected": True, "since": begun["since"]}
    create(noticing, f"{name}.after-it", observations(1, ended["step"]))
    assert not drift_of(noticing, f"{name}.after-it")["detected"]
    assert len(listener.of("drift")) == 2


def test_of_many_sessions_in_a_batch_each_is_told_its_own_turns(noticing: httpx2.Client, name: str) -> None:
    last = USUAL + 15
    calm, climbing = [observation(n) for n in range(USUAL + 1, last + 1)], observations(USUAL + 1, last)
    given = {f"{name}.{k}": climbing if k % 2 else calm for k in range(4)}
    for session in given:
        create(noticing, session, observations(1, USUAL))
    rows = [{"session": session, **own[k]} for k in range(len(calm)) for session, own in given.items()]
    with listening(str(noticing.base_url), f"prefix={name}.") as listener:
        answers = noticing.post("/v1/observations:batch", json={"observations": rows}).json()["outcomes"]
        heard = listener.wait_for(2, "drift")
    assert sorted(one["session"] for one in heard) == [f"{name}.1", f"{name}.3"]
    stood = {session: noticing.get(f"/v1/sessions/{session}").json() for session in given}
    assert all(stood[one["session"]]["drift"] == {"detected": True, "since": one["since"]} for one in heard)
    assert all(day(one["step"]) == one["since"] for one in heard)
    etags = {(one["advance"]["session"], one["advance"]["step"]): one["advance"]["etag"] for one in answers}
    assert [one["etag"] for one in heard] == [etags[one["session"], one["step"]] for one in heard]
    assert [shown["drift"]["detected"] for shown in stood.values()] == [False, True, False, True]


def test_a_correction_that_takes_drift_away_and_new_observations_that_bring_it_are_both_told(
    noticing: httpx2.Client, name: str
) -> None:
    usual = [observation(number) for number in range(USUAL + 1, USUAL + 16)]
    again = [observation(number, value=value(number) + 60.0 * (number - USUAL - 15)) for number in range(86, 100)]
    with listening_to(noticing, name) as listener:
        created(noticing, listener, name, DRIFTING, history="full")
        path = f"/v1/sessions/{name}/observations?on_conflict=correct"
        answer = noticing.post(path, json=usual + again).json()
        ended, begun = listener.wait_for(2, "drift")
    assert (ended["detected"], ended["step"], ended["etag"]) == (False, len(DRIFTING), answer["etag"])
    assert (begun["detected"], begun["etag"]) == (True, answer["etag"])
    assert begun["since"] == drift_of(noticing, name)["since"] == day(begun["step"])


def test_turns_are_found_between_one_state_and_the_next() -> None:
    none, first, third, fifth = (0.0, 0.0), (32.0, 1.0), (30.0, 3.0), (28.0, 5.0)
    alarms = np.array([[none, none, none], [none, first, none], [third, none, none], [third, third, fifth]])
    steps = np.array([[6, 7, 8], [6, 7, 8], [6, 7, 8], [6, 6, 8]])
    assert drift.turns(alarms, steps) == [(1, 7, 7), (1, 8, None), (2, 7, None)]
