"""What a listener is told: what becomes of the sessions he asked for, as it was answered, and nothing else."""

import httpx2
import pytest

from tests.service.calls import correct, post, problem, rewind
from tests.service.conftest import Service
from tests.service.days import series
from tests.service.live.listener import listening


def test_an_observation_is_told_as_it_was_answered(service: Service, api: httpx2.Client, name: str) -> None:
    with listening(service.url, f"session={name}") as listener:
        answers = [api.post(f"/v1/sessions/{name}/observations?create=true", json=one).json() for one in series(1, 3)]
        assert listener.wait_for(3, "observation") == answers


def test_what_another_service_over_the_same_store_answers_is_told_too(
    service: Service, second: Service, api: httpx2.Client, name: str
) -> None:
    with listening(second.url, f"session={name}") as listener:
        answer = api.post(f"/v1/sessions/{name}/observations?create=true", json={"value": 1.0}).json()
        assert listener.wait_for(1, "observation") == [answer]


def test_every_other_change_is_told_with_where_the_session_stands(
    service: Service, api: httpx2.Client, name: str
) -> None:
    with listening(service.url, f"session={name}") as listener:
        path = f"/v1/sessions/{name}"
        answers = [
            api.put(path, json={"freq": "D", "model": "tiny@1", "observations": series(1, 10)}),
            correct(api, name, 9, 7.5),
            rewind(api, name, {"step": 8}),
            api.patch(path, json={"model": "tiny@2"}),
            api.post(f"{path}:reset"),
            api.delete(path),
        ]
        actions = ["created", "corrected", "rewound", "migrated", "reset", "deleted"]
        stands = [(one.json()["step"], one.json()["etag"]) for one in answers[:5]] + [(None, None)]
        told = listener.wait_for(6, "session", "observation", "gap")
        assert [(one["action"], (one["step"], one["etag"])) for one in told] == list(zip(actions, stands, strict=True))
        assert {one["session"] for one in told} == {name}


def test_an_import_and_a_purge_are_told(service: Service, api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 5)})
    state = api.get(f"/v1/sessions/{name}/state").json()
    with listening(service.url, f"session={name}.b") as listener:
        for _ in range(2):
            moved = api.put(f"/v1/sessions/{name}.b/state", json=state).json()
        api.post("/v1/sessions:purge", json={"prefix": f"{name}.b", "force": True})
        told = listener.wait_for(2, "session", "gap")
    assert [(one["action"], one["step"], one["etag"]) for one in told] == [
        ("imported", 5, moved["etag"]),
        ("deleted", None, None),
    ]


def test_settings_and_replays_and_refusals_are_not_told(service: Service, api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 5)})
    with listening(service.url, f"session={name}") as listener:
        assert api.patch(f"/v1/sessions/{name}", json={"minimum": 0}).status_code == 200
        assert post(api, name, series(5, 5)[0]).headers["idempotency-replayed"] == "true"
        assert post(api, name, series(2, 2)[0] | {"value": -1e9}).status_code == 409
        last = post(api, name, series(6, 6)[0]).json()
        assert listener.wait_for(1, "observation", "session", "gap") == [last]


def test_late_data_are_told_as_a_correction_and_new_ones_as_an_observation(
    service: Service, api: httpx2.Client, name: str
) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 5)})
    with listening(service.url, f"session={name}") as listener:
        changed = [series(4, 4)[0] | {"value": 0.25}, *series(6, 7)]
        answer = api.post(f"/v1/sessions/{name}/observations?on_conflict=correct", json=changed).json()
        observed, corrected = listener.wait_for(2, "observation", "session")
        assert (observed, corrected["action"], corrected["etag"]) == (answer, "corrected", answer["etag"])


def test_each_row_of_a_batch_is_told(service: Service, api: httpx2.Client, name: str) -> None:
    names = [f"{name}-{number}" for number in range(3)]
    rows = [{"session": session, **one} for session in names for one in series(1, 4)]
    with listening(service.url, f"prefix={name}-") as listener:
        outcomes = api.post("/v1/observations:batch?create=true", json={"observations": rows}).json()["outcomes"]
        told = listener.wait_for(12, "observation")
        in_order = sorted(told, key=lambda advance: (advance["session"], advance["step"]))
        assert in_order == [outcome["advance"] for outcome in outcomes]
        assert sorted((one["session"], one["action"]) for one in listener.of("session")) == [
            (session, "created") for session in names
        ]


def test_a_sequence_of_the_inference_protocol_is_told(service: Service, api: httpx2.Client, name: str) -> None:
    def infer(**parameters: object) -> None:
        tensor = {"name": "value", "datatype": "FP64", "shape": [1, 1], "data": [5.0]}
        body = {"inputs": [tensor], "parameters": {"sequence_id": name, **parameters}}
        assert api.post("/v2/models/tiny/infer", json=body).status_code == 200

    with listening(service.url, f"session={name}") as listener:
        infer(sequence_start=True)
        infer(sequence_start=True)
        infer(sequence_end=True)
        told = listener.wait_for(6, "observation", "session")
        assert [one.get("action", one["step"]) for one in told] == ["created", 1, "reset", 1, 2, "deleted"]


def test_only_what_was_asked_for_is_told(service: Service, api: httpx2.Client, name: str) -> None:
    a, b, other = (f"{name}-{letter}" for letter in "abc")
    with (
        listening(service.url, f"session={a}&session={b}") as two,
        listening(service.url, f"prefix={name}-a") as one,
        listening(service.url, "") as everything,
    ):
        for session in (a, other, b):
            api.post(f"/v1/sessions/{session}/observations?create=true", json={"value": 1.0})
        assert sorted(advance["session"] for advance in everything.wait_for(3, "observation")) == [a, b, other]
        assert sorted(advance["session"] for advance in two.wait_for(2, "observation")) == [a, b]
        assert [advance["session"] for advance in one.wait_for(1, "observation")] == [a]


def test_the_answer_is_kept_and_held_up_by_nobody(service: Service) -> None:
    with listening(service.url, "session=nobody") as listener:
        assert listener.headers["content-type"].startswith("text/event-stream")
        assert listener.headers["cache-control"] == "private, no-cache"
        assert listener.headers["x-accel-buffering"] == "no"
        assert "content-length" not in listener.headers


def test_a_head_request_has_an_end(api: httpx2.Client) -> None:
    answer = api.head("/v1/events")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("session=a&prefix=b", "prefix"),
        ("session=a%20b", "session"),
        ("prefix=a%2Fb", "prefix"),
        ("sesion=a", "sesion"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(api: httpx2.Client, query: str, parameter: str) -> None:
    body = problem(api.get(f"/v1/events?{query}"), 422, "invalid-request")
    assert body["errors"][0]["parameter"] == parameter


@pytest.mark.parametrize("last_id", ["x", "AAAA", "k" * 200, "9-9"])
def test_an_id_that_was_never_given_is_refused(api: httpx2.Client, last_id: str) -> None:
    body = problem(api.get("/v1/events", headers={"Last-Event-ID": last_id}), 400, "malformed-request")
    assert "Last-Event-ID" in body["detail"]
    problem(api.get("/v1/events", params={"last_event_id": last_id}), 400, "malformed-request")


def test_who_takes_no_event_stream_is_refused(api: httpx2.Client) -> None:
    body = problem(api.get("/v1/events", headers={"Accept": "application/json"}), 406, "not-acceptable")
    assert "text/event-stream" in body["detail"]
