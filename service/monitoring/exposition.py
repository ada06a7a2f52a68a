"""What was counted, as Prometheus reads it. The names are a contract: dashboards and alerts are written to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from service.monitoring.meters import OUTCOMES, REQUEST_S, STORE_S, WAVE_SIZES, Layout, Meters

FAILURES = (500, 503, 504)
"""Told as zero of each route that was ever asked: the first of them would not be a rise otherwise."""
COUNTS = {
    "conflicts": "Commits that found the session changed since it was read; they are computed again.",
    "state_regressions": "Answers that the store has lost acknowledged writes of a session.",
    "damaged_records": "Answers that a session's record is damaged.",
}


@dataclass(frozen=True, slots=True)
class Readings:
    """What is not counted here but read from the store, the same whichever process is asked; None = not known now.

    Args:
        sessions: by state.
        coverage: by level, the share of recent observations inside their intervals.
        store_used: share of the store's memory, of the fullest server.
    """

    ready: bool
    sessions: Mapping[str, int] = field(default_factory=dict)
    coverage: Mapping[str, float] = field(default_factory=dict)
    drifting: int | None = None
    store_used: float | None = None


def exposed(meters: Meters, readings: Readings, accept: str) -> tuple[bytes, str]:
    """The answer to a scrape, and its media type: OpenMetrics where that is asked for."""
    encoder, media_type = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape(meters.layout, meters.totals(), readings))
    return encoder(registry), media_type


class _Scrape(Collector):
    def __init__(self, layout: Layout, totals: NDArray[np.float64], readings: Readings) -> None:
        self._layout = layout
        self._totals = totals
        self._readings = readings

    def collect(self) -> Iterator[Metric]:
        yield self._requests()
        yield self._histograms("request_seconds", REQUEST_S, "route", self._asked(), REQUEST_HELP)
        yield self._histograms("store_seconds", STORE_S, "op", self._layout.store_s, "Seconds of a call of the store.")
        yield self._observations()
        yield _gauge("queue_depth", "Requests that wait for a wave.", self._single("queue_depth"))
        yield self._wave_sizes()
        yield from self._streams()
        for name, text in COUNTS.items():
            yield CounterMetricFamily(f"hiddenstate_{name}", text, value=self._single(name))
        yield from self._read()

    def _requests(self) -> Metric:
        family = CounterMetricFamily(
            "hiddenstate_requests", "Requests that were answered.", labels=("route", "status")
        )
        asked = self._asked()
        for route, columns in self._layout.requests.items():
            for status, column in columns.items():
                count = self._totals[column]
                if count or (route in asked and status in FAILURES):
                    family.add_metric((route, str(status)), count)
        return family

    def _asked(self) -> dict[str, int]:
        """The first columns of the histograms of routes that were ever asked."""
        return {
            route: first
            for route, first in self._layout.request_s.items()
            if self._totals[list(self._layout.requests[route].values())].any()
        }

    def _observations(self) -> Metric:
        family = CounterMetricFamily(
            "hiddenstate_observations",
            "Observations by what became of them; a refused request and a refused row of a batch count once.",
            labels=("outcome",),
        )
        for outcome in OUTCOMES:
            family.add_metric((outcome,), self._totals[self._layout.observations[outcome]])
        return family

    def _histograms(
        self, name: str, bounds: Sequence[float], label: str, columns: Mapping[str, int], text: str
    ) -> Metric:
        family = HistogramMetricFamily(f"hiddenstate_{name}", text, labels=(label,))
        for value, first in columns.items():
            buckets, total = self._buckets(first, bounds)
            family.add_metric((value,), buckets, total)
        return family

    def _wave_sizes(self) -> Metric:
        buckets, total = self._buckets(self._layout.wave_sizes, WAVE_SIZES)
        return HistogramMetricFamily("hiddenstate_batch_size", "Sessions of a wave.", buckets=buckets, sum_value=total)

    def _streams(self) -> Iterator[Metric]:
        opened = {kind: float(self._totals[column]) for kind, column in self._layout.open_streams.items()}
        yield _gauges("open_streams", "Streams that are open, by what they carry.", "kind", opened)
        family = CounterMetricFamily(
            "hiddenstate_stream_messages", "Messages of streams, by what they carry.", labels=("kind", "direction")
        )
        for (kind, direction), column in self._layout.messages.items():
            family.add_metric((kind, direction), self._totals[column])
        yield family

    def _buckets(self, first: int, bounds: Sequence[float]) -> tuple[list[tuple[str, float]], float]:
        """Counts up to each bound, and the sum."""
        counts = np.cumsum(self._totals[first : first + len(bounds) + 1]).tolist()
        names = [*(str(float(bound)) for bound in bounds), "+Inf"]
        return list(zip(names, counts, strict=True)), float(self._totals[first + len(bounds) + 1])

    def _single(self, name: str) -> float:
        return float(self._totals[self._layout.single[name]])

    def _read(self) -> Iterator[Metric]:
        readings = self._readings
        yield _gauge("ready", "1 while requests should be sent here, else 0.", float(readings.ready))
        if readings.sessions:
            text = "Sessions; overdue = the next observation is more than one period late."
            yield _gauges("sessions", text, "state", readings.sessions)
        if readings.coverage:
            text = "Share of recent observations inside the interval of that level, over all sessions."
            yield _gauges("coverage", text, "level", readings.coverage)
        if readings.drifting is not None:
            text = "Sessions whose forecast errors have changed of late."
            yield _gauge("drifting_sessions", text, readings.drifting)
        if readings.store_used is not None:
            text = "Share of its memory that the store uses; of several servers the fullest."
            yield _gauge("store_used_ratio", text, readings.store_used)


REQUEST_HELP = "Seconds from a request's head to the end of its answer; of event streams to its beginning."


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"hiddenstate_{name}", text, value=value)


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"hiddenstate_{name}", text, labels=(label,))
    for value, number in values.items():
        family.add_metric((value,), number)
    return family
