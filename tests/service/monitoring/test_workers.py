"""Metrics of several workers: each tells the totals of all, and a killed one takes nothing of them with it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.deployments import wait_for
from tests.service.monitoring.scrapes import scraped
from tests.service.processes import ServiceProcess, children, process

HOT = "/v1/sessions/{session}/observations"
SCRAPES = 12
"""So many connections that each of two workers gets some of them."""


@pytest.fixture(scope="module")
def two(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with process(models_dir, tmp_path_factory.mktemp("two"), workers="2") as service:
        wait_for(lambda: len(workers(service)) == 2, "two workers")
        yield service


def workers(service: ServiceProcess) -> list[int]:
    return [pid for pid in children(service.process.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def fed(service: ServiceProcess, session: str, count: int) -> None:
    """That many observations, each over a connection of its own."""
    for _ in range(count):
        url = f"{service.url}/v1/sessions/{session}/observations?create=true"
        answer = httpx2.post(url, json={"value": 1}, timeout=60)
        assert answer.status_code in (200, 201), answer.text


def told(service: ServiceProcess) -> set[tuple[float, ...]]:
    """What the workers say: observations applied, refused, requests of the hot route answered, by 200 and by 422."""
    found = set()
    for _ in range(SCRAPES):
        scrape = scraped(service.url)
        statuses = [scrape.value("requests_total", route=HOT, status=status) for status in ("200", "422")]
        found.add((scrape.outcomes()["applied"], scrape.outcomes()["refused"], *statuses))
    return found


def test_every_worker_tells_the_totals_of_all_also_those_that_were_killed(two: ServiceProcess) -> None:
    fed(two, "a", 21)
    for _ in range(9):
        assert httpx2.post(f"{two.url}/v1/sessions/a/observations", json={"valu": 1}).status_code == 422
    assert told(two) == {(21, 9, 20, 9)}
    one, other = workers(two)
    os.kill(one, signal.SIGKILL)
    assert told(two) == {(21, 9, 20, 9)}
    os.kill(other, signal.SIGKILL)  # so that only those answer that take their places
    fed(two, "a", 19)
    assert told(two) == {(40, 9, 39, 9)}
    assert not {one, other} & set(workers(two))
