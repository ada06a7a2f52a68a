"""What loads in interleaved rounds say: a table of all services, the figures that have targets, bars to draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.load import Load
from bench.report import Figure
from bench.rounds import Results
from bench.targets import TITLES

COLUMNS: tuple[Callable[[Load], float], ...] = (
    lambda load: load.p50_ms,
    lambda load: load.p99_ms,
    lambda load: load.service_us,
    lambda load: load.store_us,
)


def table(results: Results, connections: int) -> list[str]:
    """Markdown."""
    lines = [
        "| service | requests/s | over the bare handler | over the naive service | p50, ms | p99, ms | service, us "
        "| store, us |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, title in TITLES.items():
        if results.has(name, connections):
            rate = results.median(name, connections, lambda load: load.rate)
            p50, p99, service, store = (results.median(name, connections, of) for of in COLUMNS)
            bare, naive = (
                str(results.rate_ratio(name, to, connections)) if results.has(to, connections) else ""
                for to in ("bare", "naive")
            )
            lines.append(
                f"| {title} | {rate:,.0f} | {bare} | {naive} | {p50:.2f} | {p99:.2f} | {service:.0f} | {store:.0f} |"
            )
    return lines


def bars(results: Results, connections: Sequence[int]) -> dict[str, dict[str, float]]:
    """Requests per second over the bare handler's, by number of connections and service."""
    return {
        f"{count} connections": {
            title: results.rate_ratio(name, "bare", count).median
            for name, title in TITLES.items()
            if results.has(name, count) and results.has("bare", count)
        }
        for count in connections
    }


def figures(results: Results, few: int, many: int) -> list[Figure]:
    """Those that have what they are computed from."""
    rates = (
        ("Redis, no AOF, over the bare handler", "redis", "bare", few, 0.30, 0.45),
        ("Redis, no AOF, over the bare handler", "redis", "bare", many, 0.50, 0.68),
        ("embedded, AOF always, over the bare handler", "embedded", "bare", few, 0.20, 0.30),
        ("embedded, AOF always, over the bare handler", "embedded", "bare", many, 0.40, 0.55),
        ("Redis, no AOF, over the naive service", "redis", "naive", few, 7, 11),
        ("Redis, no AOF, over the naive service", "redis", "naive", many, 11, 16),
        ("2 workers over 1, Redis, no AOF", "redis-2", "redis", many, None, 1.7),
        ("2 workers over 1, embedded, AOF always", "embedded-2", "embedded", many, None, 1.7),
        ("Cluster of three over one server", "cluster", "redis", many, None, 1.7),
    )
    found = [Figure("requests that failed", results.errors, must=0, at_most=True)] if results.loads else []
    found += [
        Figure(f"{title}, {connections} connections", results.rate_ratio(name, to, connections).median, must, aim)
        for title, name, to, connections, must, aim in rates
        if results.has(name, connections) and results.has(to, connections)
    ]
    for title, name in (
        ("Redis, no AOF", "redis"),
        ("embedded, AOF always", "embedded"),
        ("embedded, while its AOF is rewritten", "rewriting"),
    ):
        if results.has(name, many) and results.has("naive", many):
            ratio = results.ratio((name, many), ("naive", many), lambda load, naive: load.p99_ms / naive.p50_ms)
            found.append(
                Figure(f"p99 over the naive service's p50, {many} connections, {title}", ratio.median, 0.25, 0.1, True)
            )
    return found
