import pytest

from bench.comparison import bars, figures, table
from bench.load import Load
from bench.rounds import Ratio, Results
from bench.targets import TITLES


def loads(
    results: Results, name: str, connections: int, *rates: float, p50_ms: float = 1.0, p99_ms: float = 2.0
) -> None:
    for rate in rates:
        results.add(name, connections, Load(rate, p50_ms, p99_ms, 0, 100.0, 10.0))


@pytest.fixture
def results() -> Results:
    """Two services whose machine was twice as fast in the second round."""
    results = Results()
    loads(results, "bare", 128, 1000, 2000, 1000, p50_ms=1.0)
    loads(results, "redis", 128, 500, 1000, 600, p99_ms=3.0)
    loads(results, "naive", 128, 50, 100, 50, p50_ms=20.0)
    return results


def test_a_ratio_is_taken_round_by_round(results: Results) -> None:
    assert results.rate_ratio("redis", "bare", 128) == Ratio(0.5, 0.5, 0.6)


def test_a_round_that_was_cut_short_counts_where_both_ran(results: Results) -> None:
    loads(results, "bare", 128, 1000)
    assert results.rate_ratio("redis", "bare", 128) == Ratio(0.5, 0.5, 0.6)


def test_only_figures_whose_services_ran_are_given(results: Results) -> None:
    found = {figure.name: (figure.measured, figure.reached) for figure in figures(results, 32, 128)}
    assert found == {
        "requests that failed": (0, "must"),
        "Redis, no AOF, over the bare handler, 128 connections": (0.5, "must"),
        "Redis, no AOF, over the naive service, 128 connections": (10.0, "no"),
        "p99 over the naive service's p50, 128 connections, Redis, no AOF": (0.15, "must"),
    }


def test_the_table_and_the_bars_hold_what_ran(results: Results) -> None:
    assert [line.split(" | ")[0] for line in table(results, 128)[2:]] == [
        f"| {TITLES[name]}" for name in ("bare", "redis", "naive")
    ]
    assert bars(results, [128]) == {
        "128 connections": {TITLES["bare"]: 1.0, TITLES["redis"]: 0.5, TITLES["naive"]: 0.05}
    }
