"""What is wrong with a request of the protocol is said in its own words, and nothing that is sent makes a 500."""

import json
import struct
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.calls import Json
from tests.service.inference.sequences import LENGTH, PATH, asked, infer, packed, refused

NO_500 = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("length", ["-1", "+5", "5.0", "x", "", "9" * 30, "1000000", "\u00b2", "0", "3"])
def test_a_length_of_the_json_that_cannot_be_is_refused(api: httpx2.Client, name: str, length: str) -> None:
    body, _ = packed(name, 1.0, sequence_start=True)
    refused(
        api.post(PATH, content=body, headers=[(LENGTH.encode(), length.encode("latin-1"))]), 400, "malformed-request"
    )


def test_a_length_that_is_given_twice_is_refused(api: httpx2.Client, name: str) -> None:
    body, headers = packed(name, 1.0, sequence_start=True)
    refused(api.post(PATH, content=body, headers=[*headers.items(), *headers.items()]), 400, "malformed-request")


@pytest.mark.parametrize("behind", [b"", b"1234567", bytes(9), bytes(16)])
def test_each_byte_behind_the_json_is_accounted_for(api: httpx2.Client, name: str, behind: bytes) -> None:
    body, headers = packed(name, 1.0, sequence_start=True)
    answer = api.post(PATH, content=body[: int(headers[LENGTH])] + behind, headers=headers)
    refused(answer, 400, "malformed-request")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"shape": [1, 2]}, "/inputs/0/data"),
        ({"shape": [1, 0]}, "/inputs/0/shape/1"),
        ({"shape": [1]}, "/inputs/0/shape"),
        ({"shape": [2, 1]}, "/inputs/0/shape"),
        ({"shape": [1, 10**19]}, "/inputs/0/shape"),
        ({"datatype": "INT32"}, "/inputs/0/datatype"),
        ({"datatype": "BYTES"}, "/inputs/0/datatype"),
        ({"name": "timestamp", "datatype": "BYTES"}, "/inputs"),
        ({"name": "covariates"}, "/inputs/0/shape"),
        ({"name": "rain"}, "/inputs/0/name"),
        ({"shape": [1, 1, 1]}, "/inputs/0/shape"),
        ({"name": ""}, "/inputs/0/name"),
        ({"data": ["1"]}, "/inputs/0/data/0"),
        ({"data": [[True]]}, "/inputs/0/data/0/0"),
        ({"data": [1e999]}, "/inputs/0/data/0"),
        ({"data": [[1.0], [2.0]]}, "/inputs/0/data"),
        ({"data": None}, "/inputs/0"),
        ({"datatype": "FP32", "data": [1e39]}, "/inputs/0/data/0"),
        ({"parameters": {"binary_data_size": 8}, "data": None}, "/inputs/0/parameters/binary_data_size"),
        ({"parameters": {"binary_data_size": 0}, "data": None}, "/inputs/0/parameters/binary_data_size"),
        ({"parameters": {"shared_memory_region": "a"}}, "/inputs/0/parameters/shared_memory_region"),
    ],
)
def test_a_tensor_that_cannot_be_is_refused_where_it_is_wrong(
    api: httpx2.Client, name: str, changes: dict[str, Any], pointer: str
) -> None:
    body = asked(name, 1.0, sequence_start=True)
    body["inputs"][0] |= changes
    answer = infer(api, body)
    assert answer.status_code in (400, 422)
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert "error" in answer.json()
    assert api.get(f"/v1/sessions/{name}").status_code == 404


@pytest.mark.parametrize(
    ("sequence", "status"),
    [(0, 400), ("", 400), (-1, 400), (2**64, 400), (10**30, 400), (None, 422), (True, 422), (1.5, 422), ([1], 422),
     ("a b", 422), ("x" * 129, 422)],
)  # fmt: skip
def test_what_names_no_sequence_is_refused(api: httpx2.Client, sequence: object, status: int) -> None:
    answer = infer(api, asked(sequence, 1.0, sequence_start=True))
    assert answer.status_code == status
    assert answer.json()["errors"][0]["pointer"] == "/parameters/sequence_id"
    assert "error" in answer.json()


@pytest.mark.parametrize(
    "raw",
    [b"", struct.pack("<I", 10), struct.pack("<I", 4) + b"2026x", struct.pack("<I", 1) + b"\xff", b"\xff" * 8],
)
def test_text_behind_the_json_that_cannot_be_is_refused(api: httpx2.Client, name: str, raw: bytes) -> None:
    body = asked(name, 1.0, sequence_start=True)
    size = {"binary_data_size": len(raw)}
    body["inputs"].append({"name": "timestamp", "shape": [1, 1], "datatype": "BYTES", "parameters": size})
    head = json.dumps(body).encode()
    refused(api.post(PATH, content=head + raw, headers={LENGTH: str(len(head))}), 422, "invalid-request")


def test_what_is_said_twice_or_not_at_all_is_refused(api: httpx2.Client, name: str) -> None:
    body = asked(name, 1.0, sequence_start=True)
    value, output = body["inputs"][0], {"name": "forecast"}
    time = {"name": "timestamp", "shape": [1, 2], "datatype": "BYTES", "data": ["2026-11-21", "2026-11-22"]}
    changes: list[Json] = [{"inputs": []}, {"inputs": [value, value]}, {"inputs": [time]}, {"inputs": [value, time]}]
    changes += [{"outputs": [output, output]}, {"outputs": [{"name": "mean"}]}, {"id": "x" * 256}, {"x": 1}]
    for changed in changes:
        refused(infer(api, body | changed), 422, "invalid-request")
    refused(api.post(PATH, content=b""), 400, "malformed-request")
    refused(api.post(PATH, content=b"x", headers={"Content-Encoding": "br"}), 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "path",
    ["/v2/nothing", "/v2/repository/index", "/v2/models/tiny/config", "/v2/models/tiny/stats", "/v2/models/nobody",
     "/v2/models/tiny/versions/7", "/v2/models/nobody/ready", "/v2/models/tiny/versions/x/ready",
     "/v2/models/tiny@1/ready"],
)  # fmt: skip
def test_what_is_not_there_says_so_in_words_that_clients_read(api: httpx2.Client, path: str) -> None:
    refused(api.get(path), 404, "not-found")


def test_another_method_says_so_in_words_that_clients_read(api: httpx2.Client) -> None:
    refused(api.get(PATH), 405, "method-not-allowed")
    refused(infer(api, asked("a", 1.0), "/v2/models/nobody/infer"), 404, "not-found")


def test_no_error_elsewhere_has_the_protocols_member(api: httpx2.Client) -> None:
    assert "error" not in api.get("/v1/nothing").json()


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
SIZES = st.integers(-1, 40) | st.integers()
TENSORS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["value", "timestamp", "covariates"]),
        "shape": st.just([1, 1]) | st.just([1, 2]) | JSON,
        "datatype": st.sampled_from(["FP64", "FP32", "BYTES", "BOOL"]),
    },
    optional={
        "data": st.lists(st.floats() | st.just("2026-11-21"), max_size=3) | JSON,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": SIZES, "x": JSON}) | JSON,
    },
)
PARAMETERS = st.fixed_dictionaries(
    {"sequence_id": st.sampled_from(["fuzzed", 7]) | JSON},
    optional={
        "sequence_start": st.booleans() | JSON,
        "sequence_end": st.booleans() | JSON,
        "freq": st.sampled_from(["D", "h", "M", None]) | JSON,
        "binary_data_output": st.booleans() | JSON,
        "timeout": JSON,
    },
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS, max_size=3) | JSON, "parameters": PARAMETERS | JSON},
    optional={
        "id": st.text(max_size=3) | JSON,
        "outputs": st.lists(st.fixed_dictionaries({"name": st.sampled_from(["forecast", "x"])}), max_size=2) | JSON,
    },
)
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_categories=["Cc"]), max_size=24)


def _whole(answer: httpx2.Response) -> None:
    assert answer.status_code in (200, 400, 404, 409, 412, 413, 415, 422), answer.text
    if answer.status_code != 200:
        assert answer.json()["error"] == answer.json()["detail"]


@NO_500
@given(request=REQUESTS, behind=st.binary(max_size=40), more=st.integers(-3, 3))
def test_no_request_however_it_is_put_together_makes_a_500(
    api: httpx2.Client, request: object, behind: bytes, more: int
) -> None:
    head = json.dumps(request).encode()
    length = len(head) + (more if more in (-1, 1) else 0)
    _whole(api.post(PATH, content=head + behind, headers={LENGTH: str(length)}))
    _whole(api.post(PATH, content=head))


@NO_500
@given(
    body=st.binary(max_size=60),
    names=st.dictionaries(
        st.sampled_from([LENGTH, "Content-Type", "Content-Encoding", "Accept-Encoding", "Accept", "If-Match",
                         "Idempotency-Key"]),
        VALUES | st.sampled_from(["0", "5", "gzip", "deflate", "gzip, deflate", "identity"]),
    ),
)  # fmt: skip
def test_no_body_and_no_headers_make_a_500(api: httpx2.Client, body: bytes, names: dict[str, str]) -> None:
    good, _ = packed("fuzzed-headers", 1.0, sequence_start=True)
    headers = [(name.encode(), value.encode("latin-1")) for name, value in names.items()]
    for content in (body, good):
        _whole(api.post(PATH, content=content, headers=headers))
