"""The Open Inference Protocol over HTTP: a sequence is a session, and its requests are folded exactly once."""

import gzip
import json
import zlib
from math import isnan, nan
from pathlib import Path

import httpx2
import pytest

from tests.service.calls import history, post
from tests.service.conftest import Service
from tests.service.inference.sequences import (
    LENGTH,
    PATH,
    START_WORDS,
    asked,
    infer,
    outputs,
    packed,
    refused,
)
from tests.service.processes import process


def native(api: httpx2.Client, name: str, body: object) -> dict[str, list[float]]:
    """What the API of the service itself answers, as outputs."""
    answer = api.post(f"/v1/sessions/{name}/observations?create=true", json=body)
    forecast = answer.json()["forecast"]
    return {"forecast": [forecast["value"]], "quantiles": list(forecast["quantiles"].values())}


def test_a_sequence_is_a_session_with_the_same_forecasts(api: httpx2.Client, name: str) -> None:
    for step, value in enumerate([3.0, 5.5, 4.25]):
        answer = outputs(infer(api, asked(name, value, sequence_start=step == 0)))
        assert answer == native(api, f"{name}-native", {"value": value})
    assert [record["value"] for record in history(api, name)] == [3.0, 5.5, 4.25]
    assert post(api, name, {"value": 6.0}).json()["step"] == 4


def test_several_observations_in_one_request_are_folded_in_their_order(api: httpx2.Client, name: str) -> None:
    answer = infer(api, asked(name, 1.0, None, 3.0, sequence_start=True))
    assert outputs(answer) == native(api, f"{name}-native", [{"value": value} for value in (1.0, None, 3.0)])
    assert answer.json()["parameters"] == {"sequence_id": name, "step": 3}
    assert api.get(f"/v1/sessions/{name}").json()["step"] == 3
    long = [float(value % 7) for value in range(200)]
    assert outputs(infer(api, asked(name, *long))) == native(
        api, f"{name}-native", [{"value": value} for value in long]
    )


def test_a_number_and_its_digits_are_one_sequence(api: httpx2.Client, name: str) -> None:
    number = int.from_bytes(name.encode()[-7:]) | 2**63
    infer(api, asked(number, 1.0, sequence_start=True))
    assert infer(api, asked(str(number), 2.0)).json()["parameters"] == {"sequence_id": str(number), "step": 2}
    assert api.get(f"/v1/sessions/{number}").json()["step"] == 2


def test_what_is_no_number_is_missing(api: httpx2.Client, name: str) -> None:
    body, headers = packed(name, 1.0, nan, 3.0, sequence_start=True)
    answer = outputs(api.post(PATH, content=body, headers=headers))
    bare = b'{"inputs":[{"name":"value","shape":[1,3],"datatype":"FP64","data":[1.0,NaN,3.0]}],"parameters":%b}'
    parameters = json.dumps({"sequence_id": f"{name}-json", "sequence_start": True}).encode()
    assert outputs(api.post(PATH, content=bare % parameters)) == answer
    assert [record["value"] for record in history(api, name)] == [1.0, None, 3.0]


def test_before_a_first_value_there_is_no_forecast(api: httpx2.Client, name: str) -> None:
    assert outputs(infer(api, asked(name, None, sequence_start=True)))["forecast"] == [None]
    body, headers = packed(name, nan, binary_data_output=True)
    [forecast] = outputs(api.post(PATH, content=body, headers=headers))["forecast"]
    assert forecast is not None
    assert isnan(forecast)


def test_numbers_of_four_bytes_are_widened_wherever_they_stand(api: httpx2.Client, name: str) -> None:
    body, headers = packed(name, 0.1, kind="f", sequence_start=True)
    api.post(PATH, content=body, headers=headers)
    given = asked(name, 0.1)
    given["inputs"][0]["datatype"] = "FP32"
    infer(api, given)
    assert [record["value"] for record in history(api, name)] == [0.10000000149011612] * 2


def test_timestamps_are_an_input_and_freq_a_parameter_of_the_start(api: httpx2.Client, name: str) -> None:
    def dated(day: str, value: float, **parameters: object) -> dict[str, object]:
        body = asked(name, value, **parameters)
        body["inputs"].append({"name": "timestamp", "shape": [1, 1], "datatype": "BYTES", "data": [[day]]})
        return body

    answer = infer(api, dated("2026-11-21T00:00", 1.0, sequence_start=True, freq="h"))
    assert answer.json()["parameters"] == {"sequence_id": name, "step": 1, "timestamp": "2026-11-21T01:00:00Z"}
    again = infer(api, dated("2026-11-21T00:00", 1.0))
    assert (again.headers["idempotency-replayed"], again.content) == ("true", answer.content)
    refused(infer(api, dated("2026-11-21T00:30", 1.0)), 422, "off-grid")
    refused(infer(api, dated("2026-11-20", 1.0)), 409, "out-of-order")
    lacking = refused(infer(api, asked(name, 1.0)), 422, "invalid-request")
    assert lacking["errors"][0]["pointer"] == "/inputs"
    late = asked(name, 1.0, 2.0)
    days = ["2026-11-21T01:00", "2026-11-21T02:30"]
    late["inputs"].append({"name": "timestamp", "shape": [1, 2], "datatype": "BYTES", "data": days})
    assert refused(infer(api, late), 422, "off-grid")["errors"][0]["pointer"] == "/inputs/1/data/1"
    refused(infer(api, dated("2026-11-21T01:00", 1.0, freq="h")), 422, "invalid-request")


def test_a_start_begins_anew(api: httpx2.Client, name: str) -> None:
    first = infer(api, asked(name, 1.0, sequence_start=True))
    etag = api.get(f"/v1/sessions/{name}").headers["etag"]
    infer(api, asked(name, 2.0))
    assert infer(api, asked(name, 1.0, sequence_start=True)).content == first.content
    session = api.get(f"/v1/sessions/{name}")
    assert session.json()["step"] == 1
    assert session.headers["etag"].partition("-")[0] != etag.partition("-")[0]


def test_a_start_keeps_the_settings_and_refuses_others(api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"minimum": 0, "model": "tiny@1", "history": 10})
    answer = infer(api, asked(name, -5.0, sequence_start=True))
    assert answer.json()["model_version"] == "1"
    assert min(value or 0.0 for value in outputs(answer)["quantiles"]) == 0.0
    assert api.get(f"/v1/sessions/{name}").json()["history"] == 10
    other = "/v2/models/tiny/versions/2/infer"
    refused(infer(api, asked(name, 1.0, sequence_start=True), other), 409, "session-exists")
    refused(infer(api, asked(name, 1.0), other), 422, "invalid-request")
    assert api.get(f"/v1/sessions/{name}").json()["step"] == 1


def test_an_end_is_answered_and_the_sequence_is_gone(api: httpx2.Client, name: str) -> None:
    infer(api, asked(name, 1.0, sequence_start=True))
    answer = outputs(infer(api, asked(name, 2.0, sequence_end=True)))
    assert answer == native(api, f"{name}-native", [{"value": 1.0}, {"value": 2.0}])
    assert api.get(f"/v1/sessions/{name}").status_code == 404
    whole = infer(api, asked(name, 1.0, 2.0, sequence_start=True, sequence_end=True))
    assert outputs(whole) == answer
    assert api.get(f"/v1/sessions/{name}").status_code == 404


@pytest.mark.parametrize("freq", [None, "D"])
def test_an_end_that_is_sent_again_is_answered_as_before_by_any_replica(
    api: httpx2.Client, second: Service, name: str, freq: str | None
) -> None:
    def sent(value: float, day: str, **parameters: object) -> dict[str, object]:
        body = asked(name, value, **parameters)
        if freq is not None:
            body["inputs"].append({"name": "timestamp", "shape": [1, 1], "datatype": "BYTES", "data": [[day]]})
        return body

    infer(api, sent(1.0, "2026-11-21", sequence_start=True, **({"freq": freq} if freq else {})))
    end = sent(2.0, "2026-11-22", sequence_end=True) | {"id": "last"}
    answer = infer(api, end)
    with httpx2.Client(base_url=second.url, timeout=60.0) as other:
        again = infer(other, end)
    assert (again.status_code, again.content) == (200, answer.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert api.get(f"/v1/sessions/{name}").status_code == 404
    assert START_WORDS in refused(infer(api, end | {"id": "other"}), 400, "sequence-not-started")["error"]
    refused(infer(api, sent(3.0, "2026-11-22", sequence_end=True) | {"id": "last"}), 422, "idempotency-key-reused")
    infer(api, sent(5.0, "2026-11-21", sequence_start=True, **({"freq": freq} if freq else {})))
    assert infer(api, sent(2.0, "2026-11-22", sequence_end=True) | {"id": "last"}).content != answer.content


@pytest.mark.parametrize("ending", [False, True])
def test_continuing_what_was_never_started_is_refused_in_the_words_that_clients_know(
    api: httpx2.Client, name: str, ending: bool
) -> None:
    body = refused(infer(api, asked(name, 1.0, sequence_end=ending)), 400, "sequence-not-started")
    assert START_WORDS in body["error"]
    assert api.get(f"/v1/sessions/{name}").status_code == 404


def test_an_id_that_is_repeated_gets_the_same_answer_and_is_folded_once(api: httpx2.Client, name: str) -> None:
    start, then = asked(name, 1.0, sequence_start=True) | {"id": "a"}, asked(name, 2.0) | {"id": "b"}
    answers = [infer(api, start), infer(api, then), infer(api, then), infer(api, start)]
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, None, "true", "true"]
    assert (answers[2].content, answers[3].content) == (answers[1].content, answers[0].content)
    assert answers[1].json()["id"] == "b"
    assert api.get(f"/v1/sessions/{name}").json()["step"] == 2
    refused(infer(api, asked(name, 3.0) | {"id": "b"}), 422, "idempotency-key-reused")


def test_the_header_for_keys_does_what_the_id_does(api: httpx2.Client, name: str) -> None:
    infer(api, asked(name, 1.0, sequence_start=True))
    answers = [infer(api, asked(name, 2.0), Idempotency_Key="b") for _ in range(2)]
    assert answers[0].content == answers[1].content
    assert api.get(f"/v1/sessions/{name}").json()["step"] == 2


def test_a_condition_holds_for_a_start_and_for_what_follows(api: httpx2.Client, name: str) -> None:
    infer(api, asked(name, 1.0, sequence_start=True))
    old = api.get(f"/v1/sessions/{name}").headers["etag"]
    infer(api, asked(name, 2.0), If_Match=old)
    for parameters in ({"sequence_start": True}, {"sequence_end": True}, {}):
        refused(infer(api, asked(name, 3.0, **parameters), If_Match=old), 412, "precondition-failed")
    assert api.get(f"/v1/sessions/{name}").json()["step"] == 2
    assert infer(api, asked(name, 3.0, sequence_start=True), If_Match="*").status_code == 200


def test_any_replica_continues_a_sequence(api: httpx2.Client, second: Service, name: str) -> None:
    with httpx2.Client(base_url=second.url, timeout=60.0) as other:
        for step in range(8):
            through = (api, other)[step % 2]
            answer = outputs(infer(through, asked(name, float(step), sequence_start=step == 0)))
            assert answer == native(api, f"{name}-native", {"value": float(step)})
        infer(other, asked(name, 1.0, sequence_end=True))
    assert START_WORDS in infer(api, asked(name, 1.0)).json()["error"]


def test_a_sequence_outlives_the_service_and_its_store(models_dir: Path, tmp_path: Path) -> None:
    with process(models_dir, tmp_path) as running, httpx2.Client(base_url=running.url, timeout=60.0) as api:
        infer(api, asked(42, 1.0, sequence_start=True) | {"id": "a"})
        first = infer(api, asked(42, 2.0) | {"id": "b"})
        running.kill()
    with process(models_dir, tmp_path) as running, httpx2.Client(base_url=running.url, timeout=60.0) as api:
        assert infer(api, asked(42, 2.0) | {"id": "b"}).content == first.content
        assert infer(api, asked(42, 3.0)).json()["parameters"]["step"] == 3


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_bodies_are_read_and_written_compressed(api: httpx2.Client, name: str, coding: str) -> None:
    body, headers = packed(name, 1.0, sequence_start=True, binary_data_output=True)
    compressed = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
    named = {**headers, "Content-Encoding": coding, "Accept-Encoding": f"br, {coding};q=0.5"}
    answer = api.post(PATH, content=compressed, headers=named)
    assert answer.headers["content-encoding"] == coding
    plain = api.post(PATH, content=body, headers={**headers, "Accept-Encoding": f"{coding};q=0"})
    assert "content-encoding" not in plain.headers
    assert (answer.content, answer.headers[LENGTH]) == (plain.content, plain.headers[LENGTH])
