"""What one process counts: requests, observations, calls of the store, waves. Written at once, read at each scrape."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from http import HTTPStatus

import numpy as np
from numpy.typing import NDArray

from service.monitoring.cells import Cells

REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60)
STORE_S = (
    *(0.0001, 0.00025, 0.0005, 0.00075, 0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
WAVE_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)

OTHER = "other"
"""The route of requests that none takes, and of those that were refused before it was known what they ask for."""
STATUSES = tuple(int(status) for status in HTTPStatus)
OPERATIONS = ("read", "read_whole", "read_history", "commit", "status")
"""Of the store."""
OUTCOMES = ("applied", "replayed", "corrected", "imputed", "refused")
"""Of observations."""
FINDINGS = {"state-regressed": "state_regressions", "record-damaged": "damaged_records"}
"""Problems that are counted by themselves, by their slugs."""
EVENTS, OBSERVATIONS = "events", "observations"
"""What streams carry: what happens, down; observations up, and what becomes of them down."""
SENT, RECEIVED = "sent", "received"
MESSAGES = ((EVENTS, SENT), (OBSERVATIONS, RECEIVED), (OBSERVATIONS, SENT))
SINGLE = ("listening", "queue_depth", "conflicts", *FINDINGS.values())


class Layout:
    """Which column of the cells holds what; the same in every process that has the same routes."""

    def __init__(self, routes: Sequence[str]) -> None:
        self.routes = tuple(dict.fromkeys((*routes, OTHER)))
        self._next = 0
        self.requests = {
            route: dict(zip(STATUSES, self._take(len(STATUSES)), strict=True)) for route in self.routes
        }
        self.request_s = {route: self._histogram(REQUEST_S) for route in self.routes}
        self.store_s = {operation: self._histogram(STORE_S) for operation in OPERATIONS}
        self.wave_sizes = self._histogram(WAVE_SIZES)
        self.observations = dict(zip(OUTCOMES, self._take(len(OUTCOMES)), strict=True))
        self.open_streams = dict(zip((EVENTS, OBSERVATIONS), self._take(2), strict=True))
        self.messages = dict(zip(MESSAGES, self._take(len(MESSAGES)), strict=True))
        self.single = dict(zip(SINGLE, self._take(len(SINGLE)), strict=True))

    @property
    def columns(self) -> int:
        return self._next

    def _take(self, count: int) -> range:
        self._next += count
        return range(self._next - count, self._next)

    def _histogram(self, bounds: Sequence[float]) -> int:
        """A column for each bound, one for what is beyond the last, one for the sum; returns the first."""
        return self._take(len(bounds) + 2).start


class Meters:
    """Counts for one process, beside others that count into the same cells.

    Args:
        cells: of all processes; None = there is only this one.
        number: of this process.
    """

    def __init__(self, layout: Layout, cells: Cells | None = None, number: int = 0) -> None:
        self.layout = layout
        self._cells = cells or Cells(1, layout.columns)
        self._own = self._cells.row(number)
        self._routes = {route: (layout.requests[route], layout.request_s[route]) for route in layout.routes}
        self._outcomes = layout.observations
        self.set_listening(True)
        self.set_queue_depth(0)
        for column in layout.open_streams.values():
            self._own[column] = 0

    def totals(self) -> NDArray[np.float64]:
        """(columns,) of the layout, over all processes."""
        return self._cells.totals()

    def answered(self, route: str, status: int, took: float) -> None:
        """A request was answered after so many seconds."""
        own = self._own
        statuses, first = self._routes[route]
        own[statuses[status]] += 1
        own[first + bisect_left(REQUEST_S, took)] += 1
        own[first + BEYOND_REQUEST_S] += took

    def turned_away(self, route: str, status: int) -> None:
        """A request was refused at once."""
        self._own[self.layout.requests[route][status]] += 1

    def store_called(self, operation: str, took: float) -> None:
        """A call of the store came back after so many seconds."""
        own, first = self._own, self.layout.store_s[operation]
        own[first + bisect_left(STORE_S, took)] += 1
        own[first + len(STORE_S) + 1] += took

    def wave(self, size: int) -> None:
        """A wave of so many sessions begins."""
        own, first = self._own, self.layout.wave_sizes
        own[first + bisect_left(WAVE_SIZES, size)] += 1
        own[first + len(WAVE_SIZES) + 1] += size

    def observed(self, outcome: str, count: int) -> None:
        """So many observations had this outcome."""
        if count:
            self._own[self._outcomes[outcome]] += count

    def refused(self, slug: str) -> None:
        """Somebody was told of this problem."""
        name = FINDINGS.get(slug)
        if name is not None:
            self._own[self.layout.single[name]] += 1

    def conflicted(self, count: int) -> None:
        """So many commits found that somebody else had changed the session."""
        if count:
            self._own[self.layout.single["conflicts"]] += count

    def opened(self, kind: str) -> None:
        """A stream of that kind was opened."""
        self._own[self.layout.open_streams[kind]] += 1

    def closed(self, kind: str) -> None:
        """One was closed."""
        self._own[self.layout.open_streams[kind]] -= 1

    def messages(self, kind: str, direction: str, count: int) -> None:
        """So many messages of a stream were sent or received."""
        self._own[self.layout.messages[kind, direction]] += count

    def set_listening(self, listening: bool) -> None:
        """Whether this process takes new connections, or may begin to."""
        self._own[self.layout.single["listening"]] = listening

    @property
    def listening(self) -> int:
        """Processes that take new connections, as far as they told."""
        return int(self.totals()[self.layout.single["listening"]])

    def set_queue_depth(self, depth: int) -> None:
        """So many requests wait here."""
        self._own[self.layout.single["queue_depth"]] = depth


BEYOND_REQUEST_S = len(REQUEST_S) + 1
