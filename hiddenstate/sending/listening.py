"""Listening to events: what to ask, what the lines mean that come, and how to go on after a connection has ended."""

import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlencode

import httpx2

from hiddenstate.answers.answer import Answer, NotAnAnswer
from hiddenstate.answers.events import Change, Drift, Event, Gap
from hiddenstate.answers.observations import Advance
from hiddenstate.errors import ServiceUnreachable
from hiddenstate.sending.exchange import ATTEMPTS, LONGEST_WAIT_S, Ask, Steps, Wait, backoff_s, failure

EVENT_STREAM = "text/event-stream"
KNOWN: Final = 10_000
"""Events that are known again; those that come twice come soon after one another."""
LONGEST_BACKOFF = 6
DATA: Final[dict[str, type[Advance | Change | Drift | Gap]]] = {
    "observation": Advance,
    "session": Change,
    "drift": Drift,
    "gap": Gap,
}


class Listening:
    """One who listens, over as many connections as it takes.

    Args:
        sessions: whose events; none = of all whose id begins with `prefix`.
        last_id: of the event to go on after; None = from now on.
    """

    def __init__(self, sessions: Sequence[str], prefix: str, last_id: str | None) -> None:
        wanted = [("session", session) for session in sessions] + ([("prefix", prefix)] if prefix else [])
        self._path = f"/v1/events?{urlencode(wanted)}"
        self._last_id = last_id or ""
        self._was_connected = False
        self._known: OrderedDict[tuple[str, ...], None] = OrderedDict()
        self._kind = self._data = ""

    def connected(self, url: str) -> Steps[httpx2.Response]:
        """The next connection. The first one is tried three times, one that follows it as often as it takes.

        Raises:
            ProblemError: the service refused.
            ServiceUnreachable: there is none.
        """
        self._kind = self._data = ""
        if self._was_connected:
            yield Wait(backoff_s(1))
        attempt = 0
        while True:
            attempt += 1
            answer = yield self._ask()
            if isinstance(answer, httpx2.Response) and answer.is_success:
                self._was_connected = True
                return answer
            error, wait_s = failure(answer, url, min(attempt, LONGEST_BACKOFF))
            if wait_s > LONGEST_WAIT_S or (attempt == ATTEMPTS and not self._was_connected):
                raise error
            yield Wait(wait_s)

    def take(self, line: str, url: str) -> Iterator[Event]:
        """The event that a line ends, unless it came before. Raises ServiceUnreachable: that is no event."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            self._last_id = value
        elif name == "event":
            self._kind = value
        elif name == "data":
            self._data += value
        elif not line:
            kind, data, self._kind, self._data = self._kind, self._data, "", ""
            if data and kind in DATA:
                try:
                    yield from self._new(Event(self._last_id, DATA[kind].of(json.loads(data))))
                except (ValueError, NotAnAnswer) as error:
                    raise ServiceUnreachable(url, f"what answers there tells no events ({error})") from None

    def _ask(self) -> Ask:
        headers = {"Accept": EVENT_STREAM, **({"Last-Event-ID": self._last_id} if self._last_id else {})}
        return Ask("GET", self._path, headers=headers, stream=True)

    def _new(self, event: Event) -> Iterator[Event]:
        key = _identity(event.data)
        if key is None or key not in self._known:
            yield event
        if key is not None:
            self._known[key] = None
            self._known.move_to_end(key)
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)


def _identity(data: Answer) -> tuple[str, ...] | None:
    """The same for the same commit, which has an etag of its own; None = it may be told again."""
    match data:
        case Advance():
            return "observation", data.session, data.etag
        case Drift(step=int(step), etag=str(etag)):  # one commit may have several
            return "drift", data.session, etag, str(step)
        case Change(etag=str(etag)):
            return data.action, data.session, etag
    return None
