"""Somebody who listens to a service's events, on a thread of his own."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.service.calls import wait_until


@dataclass
class Told:
    """One event; `data` is None where there is nothing but an id."""

    kind: str = "message"
    data: Any = None
    id: str | None = None


@dataclass
class Listener:
    """What was told so far, and the headers of the answer."""

    told: list[Told] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    last_id: str | None = None

    def of(self, *kinds: str) -> list[Any]:
        """The data of these kinds of events, in order."""
        return [one.data for one in list(self.told) if one.kind in kinds]

    def steps(self, session: str) -> list[int]:
        return [data["step"] for data in self.of("observation") if data["session"] == session]

    def wait_for(self, count: int, *kinds: str) -> list[Any]:
        """The first so many of these kinds."""
        wait_until(lambda: len(self.of(*kinds)) >= count)
        return self.of(*kinds)[:count]

    def take(self, lines: Iterator[str]) -> None:
        one = Told()
        for line in lines:
            name, _, value = line.partition(": ")
            if name == "id":
                one.id = self.last_id = value
            elif name == "event":
                one.kind = value
            elif name == "data":
                one.data = json.loads(value)
            elif not line and one.data is not None:
                self.told.append(one)
                one = Told()
        self.ended = True


@contextmanager
def listening(url: str, query: str, last_id: str | None = None) -> Iterator[Listener]:
    """Listens from when the block is entered until it is left."""
    listener = Listener()
    sent = {} if last_id is None else {"Last-Event-ID": last_id}
    with (
        httpx2.Client(base_url=url, timeout=60.0) as client,
        client.stream("GET", f"/v1/events?{query}", headers=sent) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        listener.headers = dict(answer.headers)
        thread = threading.Thread(target=_take, args=(listener, answer))
        thread.start()
        try:
            wait_until(lambda: listener.last_id is not None)
            yield listener
        finally:
            # Closed by its own thread only, which waits for something to be told.
            answer.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            thread.join()


def _take(listener: Listener, answer: httpx2.Response) -> None:
    try:
        listener.take(answer.iter_lines())
    except (httpx2.TransportError, httpx2.StreamError):
        listener.ended = True  # it was closed on this side
