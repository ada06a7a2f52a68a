"""The client's events: each one once, whatever becomes of its connections."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice

import httpx2
import pytest

from hiddenstate import AsyncClient, Client, ServiceUnreachable
from hiddenstate.answers.events import Change, Event, Gap
from hiddenstate.answers.observations import Advance
from hiddenstate.errors import MalformedRequest
from hiddenstate.sending.listening import Listening
from service.live import subscriber
from service.sessions.registry import Registry
from tests.service.conftest import Service, serving

BLOCKS = """retry: 1000
id: a

event: session
data: {"session":"s","action":"created","step":1,"etag":"e-1","at":"2026-11-22T06:00:02Z"}

id: b
event: gap
data: {"missed_from":"2026-11-22T06:00:00Z","missed_to":"2026-11-22T06:00:03Z"}

:
id: c

event: something-new
data: {}

id: d
event: session
data: {"session":"s","action":"created",
data: "step":1,"etag":"e-1","at":"2026-11-22T06:00:02Z"}

id: e
event: session
data: {"session":"s","action":"deleted","step":null,"etag":null,"at":"2026-11-22T06:00:02Z"}

event: close
data: {}

"""


def test_lines_become_events_and_what_comes_twice_comes_once() -> None:
    listening = Listening(["s"], "", None)
    events = [event for line in BLOCKS.split("\n") for event in listening.take(line, "")]
    assert [event.id for event in events] == ["a", "b", "e"]
    assert [type(event.data) for event in events] == [Change, Gap, Change]


def test_of_one_commit_each_turn_of_drift_comes_and_comes_once() -> None:
    listening = Listening(["s"], "", None)
    begun = '{"session":"s","detected":true,"since":"7","step":7,"etag":"e-2"}'
    ended = '{"session":"s","detected":false,"since":null,"step":44,"etag":"e-2"}'
    gone = '{"session":"s","detected":false,"since":null,"step":null,"etag":null}'
    blocks = [["event: drift", f"data: {data}", ""] for data in (begun, ended, begun, ended, gone)]
    events = [event for block in blocks for line in block for event in listening.take(line, "")]
    assert [repr(event.data) for event in events] == ["<Drift s: since 7>", "<Drift s: ended>", "<Drift s: ended>"]


def test_what_is_no_event_is_said_to_be_none() -> None:
    listening = Listening([], "", None)
    lines = ["event: observation", 'data: {"session": "s"}', ""]
    with pytest.raises(ServiceUnreachable, match="tells no events"):
        [event for line in lines for event in listening.take(line, "http://there")]


def observed(events: Iterator[Event], count: int) -> list[int]:
    advances = (event.data for event in events if isinstance(event.data, Advance))
    return [advance.step for advance in islice(advances, count)]


@pytest.fixture
def feeding(service: Service, name: str) -> Iterator[None]:
    """Somebody observes a session without pause."""
    stop = threading.Event()

    def feed() -> None:
        with httpx2.Client(base_url=service.url, timeout=60) as client:
            while not stop.wait(0.02):
                client.post(f"/v1/sessions/{name}/observations?create=true", json={"value": 1.0})

    thread = threading.Thread(target=feed)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.mark.usefixtures("feeding")
def test_no_step_is_missed_though_the_connection_ends_all_the_time(
    service: Service, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(service.url) as client:
        events = client.events(name)
        [first] = observed(events, 1)
        monkeypatch.setattr(subscriber, "MOST_WAITING_BYTES", 2000)  # whoever is told three at once is cut off
        steps = [first, *observed(events, 40)]
        assert steps == list(range(first, first + 41))


@pytest.mark.usefixtures("feeding")
async def test_the_asynchronous_client_goes_on_where_another_left_off(service: Service, name: str) -> None:
    with Client(service.url) as client:
        events = client.events(name)
        last = next(event for event in events if isinstance(event.data, Advance))
        assert isinstance(last.data, Advance)
    steps: list[int] = []
    async with AsyncClient(service.url) as awaited:
        async for event in awaited.events(name, last_event_id=last.id):
            assert isinstance(event.data, Advance)
            steps.append(event.data.step)
            if len(steps) == 10:
                break
    assert steps == list(range(last.data.step + 1, last.data.step + 11))


def test_a_service_that_refuses_or_was_never_there_is_an_error(registry: Registry, service: Service) -> None:
    with Client(service.url) as client, pytest.raises(MalformedRequest):
        next(client.events(last_event_id="nonsense"))
    with ExitStack() as running:
        gone = running.enter_context(serving(registry, service.store_url))
    with Client(gone.url) as client, pytest.raises(ServiceUnreachable):
        next(client.events())
