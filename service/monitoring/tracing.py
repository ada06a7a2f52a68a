"""Traces by OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT says whom to send them to. Else nothing of it is loaded.

A request is a span in its client's trace (W3C `traceparent`). A wave serves many requests, so it is a trace of its own,
linked to each of them, with its reads, steps and commits; what one request does by itself stands below its own span.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
MOST_LINKS = 1024
"""Of a wave, which has fewer requests."""


class Traced(Protocol):
    """Something that is done for a request: `origin` is the request's span, None where there is none."""

    origin: Any


EntryT = TypeVar("EntryT", bound=Traced)
Wave = Callable[[Sequence[EntryT]], Awaitable[Sequence[EntryT]]]


def require_tracers() -> None:
    """Raises ModuleNotFoundError: the environment asks for traces, and the extra `tracing` is not installed."""
    if _is_asked_for():
        import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: F401 - whether it is there


def _is_asked_for() -> bool:
    return any(os.environ.get(name) for name in ENDPOINTS) and os.environ.get("OTEL_SDK_DISABLED") != "true"


def tracing_of_environment(version: str) -> Tracing | None:
    """What the environment asks for; None = nothing.

    Raises:
        ModuleNotFoundError: it asks for traces, and the extra `tracing` is not installed.
    """
    if not _is_asked_for():
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return Tracing(BatchSpanProcessor(OTLPSpanExporter()), version)


class Tracing:
    """Makes spans and hands them to a processor, which sends them from a thread of its own."""

    def __init__(self, processor: SpanProcessor, version: str) -> None:
        from opentelemetry import context, trace
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        named = Resource.create({"service.name": "hiddenstate", "service.version": version})
        resource = named.merge(OTELResourceDetector().detect())
        providers = [
            TracerProvider(sampler, resource, shutdown_on_exit=False, span_limits=SpanLimits(max_links=MOST_LINKS))
            for sampler in (None, ALWAYS_ON)
        ]
        for provider in providers:
            provider.add_span_processor(processor)
        # Whether a wave is traced is decided by its requests, and for these by the client or the environment's sampler.
        self._tracer, self._wave_tracer = (provider.get_tracer("hiddenstate", version) for provider in providers)
        self._processor = processor
        self._propagator = TraceContextTextMapPropagator()
        self._trace = trace
        self._context = context

    def begun(self, method: str, given: Mapping[bytes, bytes], request_id: str) -> Span:
        """The span of a request, in the trace that its headers name."""
        names = (name for name in ("traceparent", "tracestate") if name.encode() in given)
        parent = self._propagator.extract({name: given[name.encode()].decode("latin-1") for name in names})
        named = {"http.request.method": method, "hiddenstate.request_id": request_id}
        return self._tracer.start_span(method, parent, self._trace.SpanKind.SERVER, named)

    def traceparent(self, span: Span) -> bytes:
        """How a span is named to others."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, self._trace.set_span_in_context(span))
        return carrier["traceparent"].encode()

    def answered(self, span: Span, method: str, route: str, status: int) -> None:
        """A request is over."""
        span.update_name(f"{method} {route}")
        span.set_attributes({"http.route": route, "http.response.status_code": status})
        if status >= 500:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end()

    def left(self, span: Span) -> None:
        """A request is over, and nobody is there to take its answer."""
        span.set_status(self._trace.StatusCode.ERROR, "the client left")
        span.end()

    @contextmanager
    def within(self, span: Span | None) -> Iterator[None]:
        """What is done in the block belongs to that span; None = to none."""
        context = self._context.Context() if span is None else self._trace.set_span_in_context(span)
        token = self._context.attach(context)
        try:
            yield
        finally:
            self._context.detach(token)

    def current(self) -> Span | None:
        """The span that what is done now belongs to."""
        span = self._trace.get_current_span()
        return span if span.get_span_context().is_valid else None

    def record(self, name: str, begun: float) -> None:
        """Something was done from that time of `perf_counter` until now, for the current span; else nobody asked."""
        if self.current() is None:
            return
        ended = time_ns()
        started = ended - round(1e9 * (perf_counter() - begun))
        self._tracer.start_span(name, start_time=started).end(ended)

    def waves(self, wave: Wave[EntryT]) -> Wave[EntryT]:
        """The same, each wave in a span that is linked to the requests it serves, if any of these is traced."""

        async def traced(entries: Sequence[EntryT]) -> Sequence[EntryT]:
            served = [entry.origin.get_span_context() for entry in entries if entry.origin is not None]
            links = [self._trace.Link(context) for context in served if context.trace_flags.sampled]
            if not links:
                return await wave(entries)
            root, named = self._context.Context(), {"hiddenstate.sessions": len(entries)}
            with self._wave_tracer.start_as_current_span("wave", root, attributes=named, links=links):
                return await wave(entries)

        return traced

    def close(self) -> None:
        """Send what was not sent yet."""
        self._processor.shutdown()
