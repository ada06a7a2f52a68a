"""Bad input of every kind: the problem that says what, nothing stored, and no refused value in answers or logs."""

import json
import logging

import httpx2
import pytest

from tests.service.calls import problem, wait_until

JSON = {"Content-Type": "application/json"}
SECRETS = ("s3cr3t", "77123")
"""What no answer to a refused value and no log line may hold."""
BAD_BODIES: dict[str, tuple[bytes, int]] = {
    "NaN": (b'{"value": NaN}', 422),
    "Infinity": (b'{"value": -Infinity}', 422),
    "too large for a float": (b'{"value": 1e999}', 422),
    "huge integer": (b'{"value": 1' + b"0" * 5000 + b"}", 422),
    "huge step": (b'{"value": 1, "step": 1' + b"0" * 5000 + b"}", 422),
    "string": (b'{"value": "s3cr3t"}', 422),
    "boolean": (b'{"value": true}', 422),
    "object": (b'{"value": {"a": 77123}}', 422),
    "nothing": (b"{}", 422),
    "null": (b"null", 422),
    "a number": (b"12", 422),
    "key twice": (b'{"value": 1, "value": 1}', 422),
    "key twice, written differently": (b'{"value": 1, "v\\u0061lue": 2}', 422),
    "key twice, deep": (b'{"value": 1, "future": [{"a": 1, "a": 2}]}', 422),
    "unknown key": (b'{"value": 1, "valve": "s3cr3t"}', 422),
    "deep": (b'{"value": ' + b"[" * 40 + b"]" * 40 + b"}", 422),
    "empty list": (b"[]", 422),
    "list in list": (b'[[{"value": 1}]]', 422),
    "not UTF-8": (b'{"value": 1, "timestamp": "\xff"}', 400),
    "lone surrogate": (b'{"value": 1, "timestamp": "\\ud800"}', 400),
    "UTF-16": ('{"value": 1}'.encode("utf-16"), 400),
    "NUL": (b'{"value": 1}\x00', 400),
    "two values": (b'{"value": 1} {"value": 2}', 400),
    "comment": (b'{"value": 1 /* s3cr3t */}', 400),
    "single quotes": (b"{'value': 1}", 400),
    "trailing comma": (b'{"value": 1,}', 400),
    "timestamp as a number": (b'{"value": 1, "timestamp": 20260101}', 422),
    "timestamp of nonsense": (b'{"value": 1, "timestamp": "s3cr3t"}', 422),
    "no such day": (b'{"value": 1, "timestamp": "2026-02-30"}', 422),
    "negative step": (b'{"value": 1, "step": -1}', 422),
    "timestamp and step": (b'{"value": 1, "step": 1, "timestamp": "2026-01-01"}', 422),
    "covariates as a list": (b'{"value": 1, "covariates": [1]}', 422),
    "covariate that is not finite": (b'{"value": 1, "covariates": {"a": NaN}}', 422),
    "covariate that no model takes": (b'{"value": 1, "covariates": {"name": 77123}}', 422),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_bad_observation_is_a_named_problem_and_stores_nothing(
    api: httpx2.Client, name: str, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "service")
    body, status = BAD_BODIES[case]
    sent = [
        api.post(f"/v1/sessions/{name}/observations?create=true", content=body, headers=JSON),
        api.put(f"/v1/sessions/{name}", content=b'{"observations": [' + body + b"]}", headers=JSON),
    ]
    for answer in sent:
        problem(answer, status, "malformed-request" if status == 400 else "invalid-request")
        assert not any(secret in answer.text + caplog.text for secret in SECRETS)
    problem(api.get(f"/v1/sessions/{name}"), 404, "session-not-found")


@pytest.mark.parametrize("case", BAD_BODIES)
def test_one_bad_observation_of_a_list_refuses_all(api: httpx2.Client, name: str, case: str) -> None:
    api.put(f"/v1/sessions/{name}", json={})
    body, status = BAD_BODIES[case]
    answer = api.post(
        f"/v1/sessions/{name}/observations", content=b'[{"value": 5}, ' + body + b"]", headers=JSON
    )
    problem(answer, status, "malformed-request" if status == 400 else "invalid-request")
    assert api.get(f"/v1/sessions/{name}").json()["step"] == 0


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a":' * 200_000, b'"' * 200_000, b"\\" * 200_000])
def test_a_body_made_to_cost_much_is_refused(api: httpx2.Client, name: str, body: bytes) -> None:
    answer = api.post(f"/v1/sessions/{name}/observations?create=true", content=body, headers=JSON)
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize(
    ("headers", "status", "slug"),
    [
        ([("Content-Type", "text/json")], 415, "unsupported-media-type"),
        ([("Content-Type", "application/json; charset=latin-1")], 415, "unsupported-media-type"),
        ([("Content-Type", "application/jsonl")], 415, "unsupported-media-type"),
        ([*JSON.items(), ("Content-Encoding", "br")], 415, "unsupported-media-type"),
        ([*JSON.items(), ("Content-Encoding", "gzip")], 400, "malformed-request"),
        ([*JSON.items(), *JSON.items()], 400, "malformed-request"),
        ([*JSON.items(), ("Idempotency-Key", "s3cr3t"), ("Idempotency-Key", "b")], 400, "malformed-request"),
        ([*JSON.items(), ("Idempotency-Key", "s3cr3t" * 50)], 400, "malformed-request"),
        ([*JSON.items(), ("Idempotency-Key", "")], 400, "malformed-request"),
        ([*JSON.items(), ("If-Match", 's3cr3t" x')], 400, "malformed-request"),
        ([*JSON.items(), ("Accept", "text/s3cr3t")], 406, "not-acceptable"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path", "body"), [("POST", "/observations", b'{"value": 1}'), ("PATCH", "", b'{"max_gap": 1}')]
)
def test_a_bad_header_is_a_named_problem(
    api: httpx2.Client,
    name: str,
    headers: list[tuple[str, str]],
    status: int,
    slug: str,
    method: str,
    path: str,
    body: bytes,
) -> None:
    etag = api.put(f"/v1/sessions/{name}", json={}).headers["etag"]
    answer = api.request(method, f"/v1/sessions/{name}{path}", content=body, headers=headers)
    problem(answer, status, slug)
    assert "s3cr3t" not in answer.text
    assert api.get(f"/v1/sessions/{name}").headers["etag"] == etag


def test_if_match_given_in_two_headers_is_one_list(api: httpx2.Client, name: str) -> None:
    etag = api.put(f"/v1/sessions/{name}", json={}).headers["etag"]
    headers = [("If-Match", '"other"'), ("If-Match", etag)]
    assert api.patch(f"/v1/sessions/{name}", json={"max_gap": 3}, headers=headers).status_code == 200
    etag = api.get(f"/v1/sessions/{name}").headers["etag"]
    headers = [("If-Match", etag), ("If-Match", '"other"')]
    path = f"/v1/sessions/{name}/observations"
    assert api.post(path, json={"value": 1}, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "create=yes", "create=1", "create=true&create=true", "create=true&freq=M", "create=true&freq=s3cr3t",
        "freq=D", "create=true&model=S3cr3t!", "on_conflict=s3cr3t", "horizon=7", "create=true&freq=%00",
        "create=true&model=%ff",
    ],
)  # fmt: skip
def test_a_bad_parameter_is_a_named_problem(api: httpx2.Client, name: str, query: str) -> None:
    answer = api.post(f"/v1/sessions/{name}/observations?{query}", json={"value": 1})
    problem(answer, 422, "invalid-request")
    assert "s3cr3t" not in answer.text.lower()
    problem(api.get(f"/v1/sessions/{name}"), 404, "session-not-found")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/sessions?page_size=0", "/v1/sessions?page_size=x", "/v1/sessions?order_by=s3cr3t",
        "/v1/sessions?s3cr3t=1", "/v1/sessions?prefix=%00", "/v1/sessions/a/forecast?horizon=0",
        "/v1/sessions/a/forecast?horizon=1e3", "/v1/sessions/a/forecast?levels=s3cr3t",
        "/v1/sessions/a/observations?order_by=value", "/v1/sessions/a%00", "/v1/sessions/%F0%9F%8C%A7",
        "/v1/sessions/" + "a" * 129,
    ],
)  # fmt: skip
def test_a_bad_read_is_a_named_problem(api: httpx2.Client, path: str) -> None:
    assert "=s3cr3t" not in problem_text(api.get(path), 422, "invalid-request")


@pytest.mark.parametrize(
    ("method", "path", "body", "detail"),
    [
        ("GET", "/v1/sessions?page_size=x", None, "must be a whole number"),
        ("GET", "/v1/sessions?prefix=%00", None, "must be what ids of sessions begin with"),
        ("GET", "/v1/events?" + "session=a&" * 1500, None, "must have at most 1000 items"),
        ("GET", "/model_params", None, "required"),
        ("PATCH", "/v1/sessions/a?validate_only=x", {}, "must be true or false"),
        ("POST", "/v1/sessions:purge", {"prefix": "/"}, "must be what ids of sessions begin with"),
        ("POST", "/v1/timeseries/forecast", {"inputs": [], "options": {"horizon": 1}}, "must have 1 or more items"),
        ("POST", "/v2/models/tiny/infer", {"inputs": []}, "must have 1 or more items"),
    ],
)
def test_what_is_refused_is_told_in_words_of_the_api(
    api: httpx2.Client, method: str, path: str, body: object, detail: str
) -> None:
    answer = api.request(method, path, json=body) if body is not None else api.request(method, path)
    [fault] = problem(answer, 422, "invalid-request")["errors"]
    assert fault["detail"].startswith(detail)


@pytest.mark.parametrize("verb", ["bogus", "forecasts", "reset:", ""])
def test_a_verb_that_there_is_not_is_not_found_and_told_which_there_are(
    api: httpx2.Client, name: str, verb: str
) -> None:
    api.put(f"/v1/sessions/{name}", json={})
    detail = problem(api.post(f"/v1/sessions/{name}:{verb}"), 404, "not-found")["detail"]
    assert all(known in detail for known in (":forecast", ":reset", ":rewind", ":verify"))


@pytest.mark.parametrize("path", ["/v1/sessions/a%2Fb", "/v1/sessions/a/b", "/v1/sessions/", "//v1/sessions", "/v1"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_path_that_leads_nowhere_is_not_found(api: httpx2.Client, path: str, method: str) -> None:
    problem(api.request(method, path), 404, "not-found")


@pytest.mark.parametrize("token", ["s3cr3t", "e30", "W10", "%00", "bnVsbA", "W1tb" * 1500])
def test_a_page_token_that_no_answer_gave_is_malformed(api: httpx2.Client, name: str, token: str) -> None:
    api.put(f"/v1/sessions/{name}", json={})
    for path in ("/v1/sessions", f"/v1/sessions/{name}/observations"):
        assert "s3cr3t" not in problem_text(api.get(f"{path}?page_token={token}"), 400, "malformed-request")


def test_a_page_token_goes_on_with_the_list_that_gave_it_and_with_no_other(api: httpx2.Client, name: str) -> None:
    for one in (name, f"{name}-2"):
        api.put(f"/v1/sessions/{one}", json={"observations": [{"value": 1}, {"value": 2}]})
    lists = [
        f"/v1/sessions?prefix={name}", f"/v1/sessions?prefix={name[:-1]}",
        f"/v1/sessions?prefix={name}&order_by=session desc", "/v1/sessions?order_by=mase",
        "/v1/sessions?order_by=updated_at desc", f"/v1/sessions/{name}/observations?order_by=step",
        f"/v1/sessions/{name}-2/observations?order_by=step", f"/v1/sessions/{name}/observations?order_by=step desc",
    ]  # fmt: skip
    tokens: list[str] = []

    def all_go_on() -> bool:  # lists lag a little
        tokens[:] = [api.get(f"{listed}&page_size=1").json()["next_page_token"] for listed in lists]
        return all(tokens)

    wait_until(all_go_on)
    for listed in lists:
        taken = [api.get(f"{listed}&page_size=1&page_token={token}").status_code for token in tokens]
        assert taken == [200 if other == listed else 400 for other in lists]


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "OPTIONS", "LINK"])
def test_an_unknown_method_is_not_allowed(api: httpx2.Client, method: str) -> None:
    answer = api.request(method, "/v1/sessions")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD"


def problem_text(answer: httpx2.Response, status: int, slug: str) -> str:
    problem(answer, status, slug)
    return answer.text


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/sessions/NAME", None), ("PUT", "/v1/sessions/NAME", {"max_gap": 3}),
        ("PATCH", "/v1/sessions/NAME", {"max_gap": 3}), ("DELETE", "/v1/sessions/NAME", None),
        ("POST", "/v1/sessions/NAME:reset", None), ("POST", "/v1/sessions/NAME:rewind", {"step": 1}),
        ("POST", "/v1/sessions/NAME:verify", None), ("POST", "/v1/sessions/NAME:forecast", {}),
        ("PATCH", "/v1/sessions/NAME/observations/1", {"value": 2}), ("GET", "/v1/sessions/NAME/observations", None),
        ("POST", "/v1/sessions/NAME/observations", {"value": 3}), ("GET", "/v1/sessions/NAME/forecast", None),
        ("GET", "/v1/sessions/NAME/state", None), ("PUT", "/v1/sessions/NAME/state", {}),
        ("POST", "/v1/sessions:purge", {"prefix": "NAME", "force": True}), ("GET", "/v1/sessions", None),
        ("POST", "/v1/observations:batch", {"observations": [{"session": "NAME", "value": 3}]}),
        ("POST", "/v1/forecasts:batch", {"sessions": ["NAME"]}), ("GET", "/v1/events", None),
        ("GET", "/v1/status", None), ("GET", "/v1/models", None), ("GET", "/v1/models/tiny", None),
        ("GET", "/health/ready", None), ("GET", "/metrics", None), ("GET", "/v2/models/tiny", None),
        ("GET", "/problems/internal", None), ("GET", "/model_params", None),
    ],
)  # fmt: skip
def test_an_unknown_parameter_is_refused_by_every_call_and_changes_nothing(
    api: httpx2.Client, name: str, method: str, path: str, body: object
) -> None:
    api.put(f"/v1/sessions/{name}", json={"max_gap": 5, "observations": [{"value": 1}, {"value": 2}]})
    before = api.get(f"/v1/sessions/{name}").content
    sent = None if body is None else json.dumps(body).replace("NAME", name)
    headers = {} if sent is None else JSON
    answer = api.request(method, f"{path.replace('NAME', name)}?freqq=D", content=sent, headers=headers)
    [fault] = problem(answer, 422, "invalid-request")["errors"]
    assert fault == {"parameter": "freqq", "detail": "unknown parameter"}
    assert api.get(f"/v1/sessions/{name}").content == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/sessions?page_size=1&page_size=2"), ("GET", "/v1/sessions/NAME/forecast?horizon=1&horizon=1"),
        ("PATCH", "/v1/sessions/NAME?validate_only=true&validate_only=false"),
        ("POST", "/v1/observations:batch?create=true&create=true"),
        ("POST", "/v1/sessions/NAME/observations?on_conflict=reject&create=true&create=true"),
        ("GET", "/v1/events?prefix=a&session=a&session=b&prefix=b"),
    ],
)  # fmt: skip
def test_a_parameter_given_twice_is_refused_by_its_name(
    api: httpx2.Client, name: str, method: str, path: str
) -> None:
    content, headers = (None, {}) if method == "GET" else (b'{"max_gap": 1}', JSON)
    answer = api.request(method, path.replace("NAME", name), content=content, headers=headers)
    [fault] = problem(answer, 422, "invalid-request")["errors"]
    assert fault == {"parameter": path.rpartition("&")[2].partition("=")[0], "detail": "given twice"}
