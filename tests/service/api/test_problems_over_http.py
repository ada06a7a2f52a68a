"""Refusals over HTTP: whatever is wrong with a request, the answer is a problem that says what."""

import gzip
import json
import socket

import httpx2
import pytest

from service.wire.problem_pages import PAGES
from tests.service.calls import problem
from tests.service.conftest import Service, serving
from tests.service.days import series

JSON = {"Content-Type": "application/json"}


def test_an_unknown_address_is_not_found(api: httpx2.Client) -> None:
    problem(api.get("/v1/nothing"), 404, "not-found")
    problem(api.get("/v1/models/nobody"), 404, "not-found")
    problem(api.post("/v1/sessions/a/observations/2026-01-01/b"), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/sessions/a", "DELETE, GET, HEAD, PATCH, PUT"),
        ("PUT", "/v1/sessions/a/observations", "GET, HEAD, POST"),
        ("DELETE", "/v1/models", "GET, HEAD"),
        ("HEAD", "/v1/sessions/a:verify", "POST"),
        ("GET", "/v1/sessions/a:reset", "POST"),
        ("PUT", "/v1/sessions/a:verify", "POST"),
        ("OPTIONS", "/v1/sessions/a:rewind", "POST"),
    ],
)
def test_another_method_is_refused_with_those_allowed(
    api: httpx2.Client, method: str, path: str, allowed: str
) -> None:
    answer = api.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    if method != "HEAD":
        problem(answer, 405, "method-not-allowed")


@pytest.mark.parametrize(
    "path",
    ["/health/live", "/health/ready", "/v1/models", "/v1/sessions?prefix={name}", "/v1/sessions/{name}",
     "/v1/sessions/nobody", "/v1/sessions/{name}/observations", "/v1/sessions/{name}/forecast", "/problems/off-grid"],
)  # fmt: skip
def test_head_answers_what_get_does_without_the_body(api: httpx2.Client, name: str, path: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 3)})
    shown, answer = (api.request(method, path.replace("{name}", name)) for method in ("GET", "HEAD"))
    assert answer.status_code == shown.status_code
    assert answer.content == b""
    for header in ("content-type", "content-length", "etag", "cache-control"):
        assert answer.headers.get(header) == shown.headers.get(header)
    assert api.get("/health/live").status_code == 200  # on the same connection


@pytest.mark.parametrize(
    "path",
    ["/health/live", "/health/ready", "/metrics", "/v1/status", "/v1/models", "/v1/models/tiny", "/v1/models/nobody",
     "/v1/sessions", "/v1/sessions/nobody", "/v1/sessions?x=1", "/v2", "/v2/models/tiny", "/v2/models/tiny/ready",
     "/problems/off-grid", "/nowhere", "/v1/events?x=1", "/model_params"],
)  # fmt: skip
def test_every_answer_to_a_get_is_its_clients_alone_and_asked_for_again(api: httpx2.Client, path: str) -> None:
    assert api.get(path).headers.get_list("cache-control") == ["private, no-cache"]


def test_an_answer_to_a_write_says_nothing_of_caches(api: httpx2.Client, name: str) -> None:
    assert "cache-control" not in api.put(f"/v1/sessions/{name}", json={}).headers


def test_head_revalidates(api: httpx2.Client, name: str) -> None:
    etag = api.put(f"/v1/sessions/{name}", json={}).headers["etag"]
    assert api.head(f"/v1/sessions/{name}", headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize("verb", ["reset", "verify"])
def test_calls_that_take_no_body_refuse_what_they_would_ignore(api: httpx2.Client, name: str, verb: str) -> None:
    path = f"/v1/sessions/{name}:{verb}"
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 3)})
    refused = problem(api.post(path, json={"step": 2}), 422, "invalid-request")
    assert refused["errors"] == [{"pointer": "/step", "detail": "unknown key"}]
    problem(api.post(path, json=[1]), 422, "invalid-request")
    problem(api.post(path, content=b"{", headers=JSON), 400, "malformed-request")
    problem(api.post(path, content=b"step=2"), 415, "unsupported-media-type")
    assert api.get(f"/v1/sessions/{name}").json()["step"] == 3
    assert api.post(path, json={}).status_code == 200


@pytest.mark.parametrize("path", ["/v1/sessions/a%20b", "/v1/sessions/a%20b/observations", "/v1/sessions/a%20b:reset"])
def test_a_refused_id_is_answered_with_the_nearest(api: httpx2.Client, path: str) -> None:
    method = "GET" if path.endswith("b") else "POST"
    answer = api.request(method, path, json={"value": 1})
    assert "a-b" in problem(answer, 422, "invalid-request")["detail"]


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        (b"", 400, "malformed-request"),
        (b"{", 400, "malformed-request"),
        (b'{"valu": 1}', 422, "invalid-request"),
        (b'{"value": "1"}', 422, "invalid-request"),
        (b'{"value": NaN}', 422, "invalid-request"),
        (b'{"value": 1, "value": 2}', 422, "invalid-request"),
        (b"[]", 422, "invalid-request"),
        (b"[" * 100 + b"]" * 100, 422, "invalid-request"),
        (b'[{"value": 1}, {"value": true}]', 422, "invalid-request"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    api: httpx2.Client, name: str, body: bytes, status: int, slug: str
) -> None:
    problem(api.post(f"/v1/sessions/{name}/observations?create=true", content=body, headers=JSON), status, slug)
    problem(api.get(f"/v1/sessions/{name}"), 404, "session-not-found")


def test_a_fault_in_a_list_is_pointed_to(api: httpx2.Client, name: str) -> None:
    body = {"observations": [{"value": 1}, {"value": 2, "timestmp": "2026-01-01"}]}
    fault = problem(api.put(f"/v1/sessions/{name}", json=body), 422, "invalid-request")["errors"][0]
    assert fault["pointer"] == "/observations/1/timestmp"
    assert "timestamp" in fault["detail"]


def test_a_body_without_media_type_is_refused_and_told_of_curl(api: httpx2.Client, name: str) -> None:
    for method, path in (("PUT", f"/v1/sessions/{name}"), ("POST", f"/v1/sessions/{name}/observations")):
        answer = api.request(method, path, content=b"{}", headers={"Content-Type": "text/plain"})
        assert "curl --json" in problem(answer, 415, "unsupported-media-type")["detail"]


def test_a_client_that_takes_no_json_is_refused(api: httpx2.Client, name: str) -> None:
    path = f"/v1/sessions/{name}/observations?create=true"
    for unwanted in ("text/html", "application/json;q=0"):
        problem(api.post(path, json={"value": 1}, headers={"Accept": unwanted}), 406, "not-acceptable")
        problem(api.get("/v1/events", headers={"Accept": unwanted}), 406, "not-acceptable")
    problem(api.get("/v1/models", headers={"Accept": "text/html"}), 406, "not-acceptable")
    assert api.post(path, json={"value": 1}, headers={"Accept": "text/html, */*;q=0.1"}).status_code == 201


def test_a_gzip_body_is_read(api: httpx2.Client, name: str) -> None:
    body = gzip.compress(json.dumps({"freq": "D", "observations": series(1, 100)}).encode())
    answer = api.put(f"/v1/sessions/{name}", content=body, headers={**JSON, "Content-Encoding": "gzip"})
    assert answer.json()["step"] == 100


def test_a_bomb_of_gzip_is_refused(api: httpx2.Client, name: str) -> None:
    bomb = gzip.compress(b" " * 2**26)
    answer = api.put(f"/v1/sessions/{name}", content=bomb, headers={**JSON, "Content-Encoding": "gzip"})
    assert problem(answer, 413, "too-large")["limit"] == 8 * 2**20


@pytest.mark.parametrize("path", ["", "/observations"])
def test_a_body_over_the_limit_is_refused_before_it_is_read(api: httpx2.Client, name: str, path: str) -> None:
    method = "POST" if path else "PUT"
    answer = api.request(method, f"/v1/sessions/{name}{path}", content=b" " * (8 * 2**20 + 1), headers=JSON)
    problem(answer, 413, "too-large")


def test_a_body_that_does_not_arrive_is_timed_out(service: Service) -> None:
    with serving(service.registry, service.store_url, deadline_s=0.2) as quick:
        port = int(quick.url.rpartition(":")[2])
        for request in (b"POST /v1/sessions/a/observations", b"PUT /v1/sessions/a"):
            with socket.create_connection(("127.0.0.1", port)) as slow:
                slow.sendall(request + b" HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{")
                answer = b""
                while part := slow.recv(4096):
                    answer += part
                assert b"408" in answer.splitlines()[0]
                assert b"retry-after: 1" in answer.lower()


def test_a_request_has_the_id_it_was_given(api: httpx2.Client, name: str) -> None:
    given = {"X-Request-Id": "abc-1", "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
    answers = [
        api.get(f"/v1/sessions/{name}", headers=given),
        api.post(f"/v1/sessions/{name}/observations", json={"value": 1}, headers=given),
        api.get("/health/live", headers=given),
    ]
    for answer in answers:
        assert answer.headers["x-request-id"] == "abc-1"
        assert answer.headers["traceparent"] == given["traceparent"]
    assert answers[0].json()["instance"] == answers[1].json()["instance"] == "abc-1"
    assert api.get("/health/live", headers={"X-Request-Id": "a b"}).headers["x-request-id"] != "a b"


@pytest.mark.parametrize("slug", sorted(PAGES))
def test_every_problem_has_a_page(api: httpx2.Client, slug: str) -> None:
    page = api.get(f"/problems/{slug}")
    assert page.status_code == 200
    assert slug in page.text
