"""Listeners come and go, read slowly, outlive the service, or are one too many."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx2
import pytest

from service.routes import events
from service.sessions.registry import Registry
from service.storage.embedded import EmbeddedStore
from tests.service.calls import problem, wait_until
from tests.service.conftest import Service, serving
from tests.service.live.listener import listening

BATCHES, ROWS = 12, 500
"""Of observations: more than what is held for a reader, here and by the system."""


@pytest.fixture(scope="module")
def store_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedStore(tmp_path_factory.mktemp("events")) as store:
        yield store.url


def observe(url: str, name: str, values: range) -> None:
    with httpx2.Client(base_url=url, timeout=60.0) as client:
        for value in values:
            assert client.post(f"/v1/sessions/{name}/observations?create=true", json={"value": value}).is_success


def test_who_comes_again_is_told_what_he_missed(service: Service, second: Service, name: str) -> None:
    with listening(service.url, f"session={name}") as listener:
        observe(service.url, name, range(2))
        listener.wait_for(2, "observation")
    observe(second.url, name, range(3))
    with listening(second.url, f"session={name}", listener.last_id) as again:
        again.wait_for(3, "observation")
        observe(service.url, name, range(1))
        again.wait_for(4, "observation")
        assert (again.steps(name), again.of("gap")) == ([3, 4, 5, 6], [])


def test_who_has_been_told_nothing_yet_can_come_again_too(service: Service, name: str) -> None:
    with listening(service.url, f"session={name}") as listener:
        pass
    observe(service.url, name, range(2))
    query = f"session={name}&last_event_id={listener.last_id}"
    with listening(service.url, query) as again:
        again.wait_for(2, "observation")
        assert again.steps(name) == [1, 2]


def test_a_stop_is_told_and_the_next_service_goes_on(registry: Registry, store_url: str, name: str) -> None:
    with ExitStack() as running:
        service = running.enter_context(serving(registry, store_url))
        with listening(service.url, f"session={name}") as listener:
            observe(service.url, name, range(2))
            listener.wait_for(2, "observation")
            running.close()
            wait_until(lambda: listener.ended)
    assert (listener.steps(name), listener.of("close")) == ([1, 2], [{}])
    with serving(registry, store_url) as after:
        observe(after.url, name, range(2))
        with listening(after.url, f"session={name}", listener.last_id) as again:
            again.wait_for(2, "observation")
            assert (again.steps(name), again.of("gap")) == ([3, 4], [])


def test_one_listener_too_many_is_refused(registry: Registry, store_url: str) -> None:
    with serving(registry, store_url, event_streams_limit=1) as service, httpx2.Client(base_url=service.url) as client:
        with listening(service.url, ""):
            answer = client.get("/v1/events")
            problem(answer, 503, "overloaded")
            assert answer.headers["retry-after"] == "1"
        wait_until(lambda: client.head("/v1/events").status_code == 200)


def test_a_slow_reader_is_cut_off_with_a_gap_and_nobody_else_is(service: Service, name: str) -> None:
    with listening(service.url, f"session={name}") as other, reading_nothing(service, name) as slow:
        for _ in range(BATCHES):
            observe_many(service.url, name)
        other.wait_for(BATCHES * ROWS, "observation")
        told = read_to_the_end(slow)
    assert (other.steps(name), other.of("gap")) == (list(range(1, BATCHES * ROWS + 1)), [])
    assert told.count(b"event: gap\n") == 1
    assert b"event: observation\n" not in told.partition(b"event: gap\n")[2]
    assert told.endswith(b"\r\n0\r\n\r\n")


def test_a_reader_that_takes_nothing_is_let_go(
    registry: Registry, store_url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "SLOW_S", 0.2)
    with (
        serving(registry, store_url, event_streams_limit=1) as service,
        httpx2.Client(base_url=service.url) as client,
        reading_nothing(service, name),
    ):
        assert client.head("/v1/events").status_code == 503
        for _ in range(BATCHES):
            observe_many(service.url, name)
            if client.head("/v1/events").status_code == 200:
                return
        wait_until(lambda: client.head("/v1/events").status_code == 200)


def observe_many(url: str, name: str) -> None:
    rows = [{"session": name, "value": value} for value in range(ROWS)]
    with httpx2.Client(base_url=url, timeout=60.0) as client:
        prefer = {"Prefer": "return=minimal"}
        answer = client.post("/v1/observations:batch?create=true", json={"observations": rows}, headers=prefer)
        assert set(answer.json()["counts"]) <= {"200", "201"}


@contextmanager
def reading_nothing(service: Service, name: str) -> Iterator[socket.socket]:
    """A connection whose events are not read, from a client that holds few of them."""
    port = int(service.url.rpartition(":")[2])
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.sendall(f"GET /v1/events?session={name} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        assert b"200 OK" in connection.recv(1024)
        yield connection


def read_to_the_end(connection: socket.socket) -> bytes:
    connection.settimeout(60)
    told = bytearray()
    while not told.endswith(b"\r\n0\r\n\r\n"):
        part = connection.recv(2**16)
        assert part, "it was cut off without an end"
        told += part
    return bytes(told)
