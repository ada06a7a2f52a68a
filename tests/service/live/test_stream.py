"""Observations up and outcomes down over one connection, under the rules of a batch."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from service.sessions.registry import Registry
from tests.service.calls import Json
from tests.service.conftest import Service, serving
from tests.service.days import series


@contextmanager
def open_stream(service: Service, query: str = "create=true", **headers: str) -> Iterator[ClientConnection]:
    url = service.url.replace("http://", "ws://")
    with connect(f"{url}/v1/stream?{query}", additional_headers=headers, compression=None, open_timeout=60) as stream:
        yield stream


def exchanged(stream: ClientConnection, rows: Sequence[Json]) -> list[Json]:
    """The outcome of each row, all of which were sent before the first is read."""
    for row in rows:
        stream.send(json.dumps(row))
    return [json.loads(stream.recv(timeout=60)) for _ in rows]


def test_each_line_has_the_outcome_of_a_batch_in_its_order(service: Service, api: httpx2.Client, name: str) -> None:
    rows = [{"session": f"{name}-{letter}", **one} for one in series(1, 20) for letter in "ab"]
    twins = [{**row, "session": f"{row['session']}2"} for row in rows]
    with open_stream(service, "create=true&freq=D") as stream:
        outcomes = exchanged(stream, rows[:5]) + exchanged(stream, rows[5:])
    batch = api.post("/v1/observations:batch?create=true&freq=D", json={"observations": twins}).json()["outcomes"]
    assert [outcome["row"] for outcome in outcomes] == list(range(40))
    for outcome, twin in zip(outcomes, batch, strict=True):
        assert outcome["status"] == twin["status"]
        assert outcome["advance"]["forecast"] == twin["advance"]["forecast"]
        assert outcome["advance"]["step"] == twin["advance"]["step"]


def test_what_is_refused_or_cannot_be_read_costs_no_other_line_anything(service: Service, name: str) -> None:
    with open_stream(service) as stream:
        stream.send('{"session": ')
        outcomes = [json.loads(stream.recv(timeout=60))]
        outcomes += exchanged(stream, [{"session": name, "value": "x"}, {"session": name, "value": 1}])
    assert [(outcome["row"], outcome["status"]) for outcome in outcomes] == [(0, 400), (1, 422), (2, 201)]


def test_a_message_of_several_lines_has_as_many_outcomes(service: Service, name: str) -> None:
    with open_stream(service) as stream:
        stream.send("\n".join(json.dumps({"unique_id": name, "y": value}) for value in range(3)).encode())
        outcomes = [json.loads(stream.recv(timeout=60)) for _ in range(3)]
    assert [(outcome["row"], outcome["step"]) for outcome in outcomes] == [(0, 1), (1, 2), (2, 3)]
    assert "yhat-lo-80" in outcomes[0]


@pytest.mark.parametrize("empty", ["", "\n", " \r\n", b""])
def test_an_empty_message_has_an_outcome_too(service: Service, name: str, empty: str | bytes) -> None:
    with open_stream(service) as stream:
        stream.send(empty)
        [after] = exchanged(stream, [{"session": name, "value": 1}])[:1]
        assert (after["row"], after["status"], after["problem"]) == (0, 400, "malformed-request")
        assert "the line is empty" in after["detail"]
        assert json.loads(stream.recv(timeout=60))["row"] == 1


def test_an_end_of_line_after_the_last_line_of_a_message_makes_no_line(service: Service, name: str) -> None:
    line = json.dumps({"session": name, "value": 1})
    with open_stream(service) as stream:
        stream.send(f"{line}\n{line}\n")
        stream.send("not JSON")
        outcomes = [json.loads(stream.recv(timeout=60)) for _ in range(3)]
    assert [(outcome["row"], outcome["status"]) for outcome in outcomes] == [(0, 201), (1, 200), (2, 400)]


def test_lines_sent_again_under_the_same_key_are_replayed(service: Service, name: str) -> None:
    rows = [{"session": name, "value": value} for value in range(3)]
    with open_stream(service, **{"Idempotency-Key": name}) as stream:
        first = exchanged(stream, rows)
    with open_stream(service, **{"Idempotency-Key": name}) as stream:
        again = exchanged(stream, rows)
    assert [outcome["replayed"] for outcome in again] == [True] * 3
    assert [outcome["advance"] for outcome in again] == [outcome["advance"] for outcome in first]


@pytest.mark.parametrize(("query", "headers"), [("&return=minimal", {}), ("", {"Prefer": "return=minimal"})])
def test_outcomes_may_be_short(service: Service, name: str, query: str, headers: dict[str, str]) -> None:
    with open_stream(service, f"create=true{query}", **headers) as stream:
        [outcome] = exchanged(stream, [{"session": name, "value": 1}])
    assert outcome == {"row": 0, "status": 201, "replayed": False, "step": 1, "problem": None, "detail": None}


@pytest.mark.parametrize(
    ("query", "headers", "status", "slug"),
    [
        ("crate=true", {}, 422, "invalid-request"),
        ("return=nothing", {}, 422, "invalid-request"),
        ("create=true&model=none", {}, 404, "not-found"),
        ("", {"Idempotency-Key": ""}, 400, "malformed-request"),
        ("", {"Origin": "https://elsewhere.example"}, 403, "forbidden"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_before_it_is_opened(
    service: Service, query: str, headers: dict[str, str], status: int, slug: str
) -> None:
    with pytest.raises(InvalidStatus) as refused, open_stream(service, query, **headers):
        pass
    response = refused.value.response
    body = json.loads(response.body or b"")
    assert (response.status_code, body["status"], body["type"]) == (status, status, f"/problems/{slug}")
    assert response.headers["content-type"] == "application/problem+json"
    assert body["instance"] == response.headers["x-request-id"]


def test_a_page_of_the_service_may_open_it(service: Service, name: str) -> None:
    with open_stream(service, Origin=service.url) as stream:
        assert exchanged(stream, [{"session": name, "value": 1}])[0]["status"] == 201


def test_other_addresses_open_no_connection(service: Service) -> None:
    with pytest.raises(InvalidStatus), connect(service.url.replace("http://", "ws://") + "/v1/status"):
        pass


def test_a_message_that_is_too_long_closes_the_connection(service: Service) -> None:
    with open_stream(service) as stream:
        stream.send("x" * (2**20 + 1))
        with pytest.raises(ConnectionClosed):
            stream.recv(timeout=60)
        assert stream.close_code == 1009


def test_text_that_is_not_utf_8_closes_the_connection_and_is_no_error(
    service: Service, api: httpx2.Client, name: str, errors_logged: list[str]
) -> None:
    with open_stream(service) as stream:
        stream.send(json.dumps({"session": name, "value": 1}))
        assert json.loads(stream.recv(timeout=60))["status"] == 201
        stream.send(b'{"session": "\xff"}', text=True)
        with pytest.raises(ConnectionClosed):
            stream.recv(timeout=60)
        assert stream.close_code == 1007
    assert api.get(f"/v1/sessions/{name}").json()["step"] == 1
    assert errors_logged == []


def test_a_request_without_an_upgrade_is_told_what_the_address_is_for(api: httpx2.Client) -> None:
    answer = api.get("/v1/stream")
    assert (answer.status_code, answer.json()["type"]) == (426, "/problems/upgrade-required")
    assert answer.headers["upgrade"] == "websocket"


def test_a_stop_answers_what_was_sent_and_says_so(registry: Registry, service: Service, name: str) -> None:
    with ExitStack() as running:
        own = running.enter_context(serving(registry, service.store_url))
        with open_stream(own) as stream:
            rows = [{"session": name, "value": value} for value in range(20)]
            outcomes = exchanged(stream, rows)
            running.close()
            last = json.loads(stream.recv(timeout=60))
            with pytest.raises(ConnectionClosed):
                stream.recv(timeout=60)
    assert [outcome["status"] for outcome in outcomes] == [201] + [200] * 19
    assert (last["row"], last["status"], last["problem"]["type"]) == (None, 503, "/problems/not-ready")
    assert stream.close_code == 1012


def test_a_client_that_leaves_disturbs_nobody(service: Service, api: httpx2.Client, name: str) -> None:
    with open_stream(service) as stream:
        for value in range(200):
            stream.send(json.dumps({"session": name, "value": value}))
        stream.socket.close()
    assert api.get("/health/ready").status_code == 200
