"""All that is told of what happens: counted, logged where it is worth a line, traced where that is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import perf_counter
from typing import TYPE_CHECKING

from service.monitoring.logs import RequestLog
from service.monitoring.meters import OTHER, Meters
from service.monitoring.tracing import EntryT, Tracing, Wave
from service.storage.answers import Answer
from service.wire.direct import Exchange
from service.wire.exchange import Headers
from service.wire.problems import Overloaded, ServiceError

if TYPE_CHECKING:
    from opentelemetry.trace import Span

HOT = "/v1/sessions/{session}/observations"
"""The route that connections answer themselves; what is refused unread for want of room is counted as its own."""
FEEDING = ("/observations/{key}", "/infer")
"""Ends of the other routes that are fed observations."""


class Monitor:
    """Of one process. To the store it is its `Watch`."""

    def __init__(self, meters: Meters, slow_s: float, tracing: Tracing | None = None) -> None:
        """Args: slow_s: a request that takes longer is told of."""
        self.meters = meters
        self.tracing = tracing
        self._slow_s = slow_s
        self._log = RequestLog()

    def begun(self, exchange: Exchange, names: Headers) -> Headers:
        """A request of the hot route is taken up; the headers that name it on its answer."""
        exchange.names = names
        if self.tracing is not None:
            exchange.span, exchange.names = self.traced("POST", dict(exchange.given), names)
            exchange.span.set_attribute("hiddenstate.session", exchange.target.session)
        return exchange.names

    def traced(self, method: str, given: dict[bytes, bytes], names: Headers) -> tuple[Span, Headers]:
        """The span of a request, and its names with that of the span."""
        assert self.tracing is not None, "asked for only where there are traces"
        span = self.tracing.begun(method, given, names[0][1].decode("latin-1"))
        return span, [names[0], (b"traceparent", self.tracing.traceparent(span))]

    def answered(self, exchange: Exchange, status: int) -> None:
        """A request of the hot route was answered."""
        took = perf_counter() - exchange.begun
        self.meters.answered(HOT, status, took)
        if took > self._slow_s:
            self._log.slow("POST", HOT, status, exchange.names, took)
        if exchange.span is not None:
            assert self.tracing is not None, "who made the span"
            self.tracing.answered(exchange.span, "POST", HOT, status)

    def refused(self, method: str, route: str, problem: ServiceError, names: Headers, begun: float) -> None:
        """A request was, or is about to be, answered by a problem."""
        self.meters.refused(problem.slug)
        if route == HOT or (method != "GET" and route.endswith(FEEDING)):
            self.meters.observed("refused", 1)
        self._log.refused(method, route, problem, names, perf_counter() - begun)

    def finished(
        self, method: str, route: str | None, status: int, names: Headers, took: float, span: Span | None
    ) -> None:
        """The framework has answered a request after so many seconds. `route` None = there is none."""
        route = route if route in self.meters.layout.requests else OTHER
        self.meters.answered(route, status, took)
        if took > self._slow_s:
            self._log.slow(method, route, status, names, took)
        if span is not None:
            assert self.tracing is not None, "who made the span"
            self.tracing.answered(span, method, route, status)

    @contextmanager
    def streaming(self, kind: str) -> Iterator[None]:
        """A stream of that kind is open."""
        self.meters.opened(kind)
        try:
            yield
        finally:
            self.meters.closed(kind)

    def messages(self, kind: str, direction: str, count: int) -> None:
        """So many messages of a stream were sent or received."""
        self.meters.messages(kind, direction, count)

    def turned_away(self) -> None:
        """There was no room for a request of the hot route, so it was not even read."""
        self.meters.turned_away(HOT, Overloaded.status)
        self.meters.observed("refused", 1)
        self._log.turned_away()

    def unread(self, problem: ServiceError, names: Headers) -> None:
        """A connection was refused before there was a whole request."""
        self.meters.turned_away(OTHER, problem.status)
        self._log.refused("", OTHER, problem, names, None)

    def on_behalf_of(self, origin: Span | None) -> AbstractContextManager[None]:
        """What is done in the block, one request has asked for."""
        return nullcontext() if self.tracing is None else self.tracing.within(origin)

    def advanced(self, answers: Sequence[Answer]) -> None:
        """Requests were answered that were not answered before."""
        observed = self.meters.observed
        observed("applied", sum([answer.applied for answer in answers]))
        observed("imputed", sum([answer.imputed for answer in answers]))
        observed("replayed", sum([answer.replayed for answer in answers]))
        observed("corrected", sum([answer.corrected for answer in answers]))

    def replied(self, answer: Answer, sent: int, *, replayed: bool) -> None:
        """A request of so many observations was answered, perhaps as it had been before."""
        if replayed:
            self.meters.observed("replayed", sent)
        else:
            self.advanced([answer])

    def folded(self, applied: int, imputed: int) -> None:
        """Rows of batches, or of a session's history, were folded, and so many missing ones besides."""
        self.meters.observed("applied", applied)
        self.meters.observed("imputed", imputed)

    def recalled(self, count: int) -> None:
        """So many rows of batches were answered as they had been before."""
        self.meters.observed("replayed", count)

    def refused_rows(self, problems: Sequence[ServiceError]) -> None:
        """Rows of a batch were refused."""
        self.meters.observed("refused", len(problems))
        for problem in problems:
            self.meters.refused(problem.slug)

    def waves(self, wave: Wave[EntryT]) -> Wave[EntryT]:
        """The same, each of them counted and traced."""
        inner = wave if self.tracing is None else self.tracing.waves(wave)

        async def counted(entries: Sequence[EntryT]) -> Sequence[EntryT]:
            self.meters.wave(len(entries))
            return await inner(entries)

        return counted

    def called(self, operation: str, begun: float) -> None:
        """A call of the store has come back."""
        self.meters.store_called(operation, perf_counter() - begun)
        if self.tracing is not None:
            self.tracing.record(f"store {operation}", begun)

    def conflicted(self, count: int) -> None:
        """So many changes of one call found that their session had been changed."""
        self.meters.conflicted(count)

    def stepped(self, begun: float) -> None:
        """A model has stepped the sessions of a wave."""
        if self.tracing is not None:
            self.tracing.record("step", begun)

    def tick(self, waiting: int) -> None:
        """Some time has passed; `waiting`: requests that no wave has taken yet."""
        self.meters.set_queue_depth(waiting)
        self._log.tick()

    def close(self) -> None:
        """Tell what was not told yet. It may take a while."""
        self._log.tell()
        if self.tracing is not None:
            self.tracing.close()
