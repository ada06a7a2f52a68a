"""The client's own work: what it sends, when it sends again, and how it reports refusals."""

import socket

import pytest

from hiddenstate import Client, ProblemError, ServiceUnreachable
from tests.hiddenstate.scripted import Answer, scripted

RECORD: dict[str, object] = {
    "step": 1, "timestamp": None, "value": 1.0, "covariates": {}, "imputed": False, "forecast": None, "covered": None,
    "original": None, "revised": None,
}  # fmt: skip
ADVANCE = {
    "session": "a", "model": "daily@1", "step": 1, "etag": "life-1", "warmed_up": False, "applied": 1, "replayed": 0,
    "corrected": 0, "imputed": 0, "observed": RECORD, "forecast": None,
}  # fmt: skip
STATUS = {
    "version": "1.0.0", "ready": True, "reasons": [], "store": {}, "sessions": {}, "models": [], "queue": {},
    "limits": {},
}  # fmt: skip
BUSY = {"type": "/problems/overloaded", "title": "Overloaded", "status": 503, "retryable": True, "detail": "wait"}
NONE = {"type": "/problems/session-not-found", "title": "No such session", "status": 404, "detail": "d"}


def test_an_observation_carries_its_timestamp_and_an_idempotency_key() -> None:
    with scripted(Answer(body=ADVANCE)) as server, Client(server.url) as client:
        assert client.observe("store-42", 121.5, timestamp="2026-11-21", create=True).members == ADVANCE
    [request] = server.seen
    assert (request.method, request.path) == ("POST", "/v1/sessions/store-42/observations?create=true")
    assert request.body == {"value": 121.5, "timestamp": "2026-11-21"}
    assert request.headers["Idempotency-Key"]


def test_a_retryable_refusal_is_sent_again_with_the_same_key() -> None:
    busy = Answer(503, BUSY, {"Retry-After": "0"})
    with scripted(busy, busy, Answer(body=ADVANCE)) as server, Client(server.url) as client:
        assert client.observe("a", 1.0).members == ADVANCE
    assert len({request.headers["Idempotency-Key"] for request in server.seen}) == 1
    assert len(server.seen) == 3


def test_a_lost_answer_is_asked_for_again_with_the_same_key() -> None:
    with scripted(Answer(hang_up=True), Answer(body=ADVANCE)) as server, Client(server.url) as client:
        assert client.observe("a", 1.0).members == ADVANCE
    assert server.seen[0].headers["Idempotency-Key"] == server.seen[1].headers["Idempotency-Key"]


def test_two_observations_never_share_a_key() -> None:
    with scripted(Answer(body=ADVANCE), Answer(body=ADVANCE)) as server, Client(server.url) as client:
        client.observe("a", 1.0)
        client.observe("a", 1.0)
    assert server.seen[0].headers["Idempotency-Key"] != server.seen[1].headers["Idempotency-Key"]


def test_three_attempts_are_the_last() -> None:
    busy = Answer(503, BUSY, {"Retry-After": "0"})
    with scripted(busy, busy, busy) as server, Client(server.url) as client, pytest.raises(ProblemError) as refusal:
        client.status()
    assert refusal.value.slug == "overloaded"
    assert len(server.seen) == 3


def test_a_refusal_that_is_not_retryable_is_raised_at_once() -> None:
    with scripted(Answer(404, NONE)) as server, Client(server.url) as client, pytest.raises(ProblemError) as refusal:
        client.forecast("a")
    assert (refusal.value.slug, refusal.value.status, refusal.value.detail) == ("session-not-found", 404, "d")
    assert len(server.seen) == 1


def test_a_wait_longer_than_half_a_minute_is_left_to_the_caller() -> None:
    busy = Answer(503, BUSY, {"Retry-After": "31"})
    with scripted(busy) as server, Client(server.url) as client, pytest.raises(ProblemError):
        client.status()
    assert len(server.seen) == 1


def test_nobody_listening_is_told_with_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Client(url) as client, pytest.raises(ServiceUnreachable, match=url):
            client.status()


def test_an_answer_of_some_other_server_is_no_answer() -> None:
    with scripted(Answer(body=b"<html>")) as server, Client(server.url) as client, pytest.raises(ServiceUnreachable):
        client.status()


def test_a_refusal_without_a_problem_document_keeps_its_text() -> None:
    proxy = Answer(403, b"<html>not from here</html>\nmore")
    with scripted(proxy) as server, Client(server.url) as client, pytest.raises(ProblemError) as refusal:
        client.status()
    assert (refusal.value.status, refusal.value.detail) == (403, "<html>not from here</html>")


def test_a_gateway_that_has_no_service_behind_it_is_tried_again() -> None:
    gateway = Answer(502, b"bad gateway")
    with scripted(gateway, Answer(body=STATUS)) as server, Client(server.url) as client:
        assert client.status().ready


def test_lists_are_followed_page_by_page() -> None:
    first = {"session": "a", "observations": [RECORD], "next_page_token": "t"}
    second = {"session": "a", "observations": [RECORD | {"step": 2}], "next_page_token": ""}
    with scripted(Answer(body=first), Answer(body=second)) as server, Client(server.url) as client:
        assert [record.step for record in client.history("a").observations] == [1, 2]
    assert [request.path for request in server.seen] == [
        "/v1/sessions/a/observations?order_by=step",
        "/v1/sessions/a/observations?order_by=step&page_token=t",
    ]


def test_a_time_with_a_slash_stays_one_part_of_the_path() -> None:
    with scripted(Answer(body=ADVANCE)) as server, Client(server.url) as client:
        client.correct("a", "11/21", 1.0)
    assert server.seen[0].path == "/v1/sessions/a/observations/11%2F21"


def test_a_key_is_sent_as_a_bearer_token() -> None:
    with scripted(Answer(body=STATUS)) as server, Client(server.url, api_key="secret") as client:
        client.status()
    assert server.seen[0].headers["Authorization"] == "Bearer secret"


def test_an_address_without_a_scheme_is_refused_when_the_client_is_made() -> None:
    with pytest.raises(ValueError, match="must start with http"):
        Client("localhost:8000")
