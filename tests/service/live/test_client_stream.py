"""The client's stream: each row has one outcome and counts once, whatever becomes of its connections."""

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from itertools import count, islice

import pytest

from hiddenstate import AsyncClient, Client, ServiceUnreachable
from hiddenstate.answers.batches import BatchOutcome
from hiddenstate.errors import InvalidRequest, OutOfOrder, StreamInterrupted
from hiddenstate.sending import streaming
from hiddenstate.sending.shapes import BatchObservation
from service.sessions.registry import Registry
from tests.service.conftest import Service, serving
from tests.service.days import day
from tests.service.live.cutting import cutting

SESSIONS, STEPS = 10, 30
REPLY_BYTES = 30_000
"""After at most so many a connection is cut: some forty outcomes."""


def bare(name: str) -> list[BatchObservation]:
    """Values that nothing tells apart but the client's keys, of several sessions in turn."""
    return [
        {"session": f"{name}-{number}", "value": float(step)} for step in range(STEPS) for number in range(SESSIONS)
    ]


def held(url: str, name: str) -> list[list[float | None]]:
    with Client(url) as client:
        return [[one.value for one in client.records(f"{name}-{number}")] for number in range(SESSIONS)]


def check(outcomes: list[BatchOutcome], url: str, name: str) -> None:
    assert sorted(outcome.row for outcome in outcomes if outcome.row is not None) == list(range(SESSIONS * STEPS))
    assert [outcome for outcome in outcomes if outcome.problem is not None] == []
    assert held(url, name) == [[float(step) for step in range(STEPS)]] * SESSIONS


def test_each_row_counts_once_though_the_connection_is_cut_all_the_time(service: Service, name: str) -> None:
    with cutting(service.url, REPLY_BYTES) as network, Client(network.url) as client:
        outcomes = list(client.stream(bare(name), create=True))
    check(outcomes, service.url, name)
    assert network.cuts > 5


async def test_so_it_does_for_tasks(service: Service, name: str) -> None:
    async def rows() -> AsyncIterator[BatchObservation]:
        for row in bare(name):
            yield row

    with cutting(service.url, REPLY_BYTES) as network:
        async with AsyncClient(network.url) as client:
            outcomes = [outcome async for outcome in client.stream(rows(), create=True)]
    check(outcomes, service.url, name)
    assert network.cuts > 5


def test_an_outcome_comes_before_the_next_row_is_there(service: Service, name: str) -> None:
    seen: list[float] = []
    more = threading.Semaphore(1)

    def rows() -> Iterator[BatchObservation]:
        for number in count(1):
            assert more.acquire(timeout=60), "no outcome came of the row before"
            yield {"session": name, "timestamp": day(number), "value": float(number)}

    with Client(service.url) as client:
        for outcome in islice(client.stream(rows(), create=True, freq="D"), 5):
            assert outcome.advance is not None
            assert outcome.advance.forecast is not None
            seen.append(outcome.advance.step)
            more.release()
        assert client.observe(name, 6.0, timestamp=day(6)).step == 6
    assert seen == [1, 2, 3, 4, 5]


def test_refusals_are_outcomes_and_keep_no_other_row(service: Service, name: str) -> None:
    rows: list[BatchObservation] = [
        {"session": name, "timestamp": day(2), "value": 2.0},
        {"session": name, "timestamp": day(1), "value": 1.0},
        {"session": name, "timestamp": day(3), "value": 3.0},
    ]
    with Client(service.url) as client:
        outcomes = list(client.stream(rows, create=True, freq="D"))
    assert [type(outcome.problem) for outcome in outcomes] == [type(None), OutOfOrder, type(None)]


def test_the_same_rows_under_the_same_key_are_replayed(service: Service, name: str) -> None:
    rows: list[BatchObservation] = [{"session": name, "value": float(value)} for value in range(8)]
    with Client(service.url) as client:
        first, again = (list(client.stream(rows, create=True, idempotency_key=name)) for _ in range(2))
    assert [outcome.replayed for outcome in again] == [True] * 8
    assert [outcome.advance for outcome in again] == [outcome.advance for outcome in first]


def test_what_taking_the_rows_raises_comes_after_their_outcomes(service: Service, name: str) -> None:
    rows: list[BatchObservation] = [{"session": name, "value": 1.0}, {"session": name, "value": float("nan")}]
    with Client(service.url) as client:
        outcomes = client.stream(rows, create=True)
        assert next(outcomes).status == 201
        with pytest.raises(ValueError, match="JSON"):
            next(outcomes)


def test_a_stream_that_is_refused_or_finds_nobody_is_an_error(registry: Registry, service: Service, name: str) -> None:
    row: BatchObservation = {"session": name, "value": 1.0}
    with Client(service.url) as client, pytest.raises(InvalidRequest):
        next(client.stream([row], create=True, freq="fortnight"))
    with ExitStack() as running:
        gone = running.enter_context(serving(registry, service.store_url))
    with Client(gone.url) as client, pytest.raises(ServiceUnreachable):
        next(client.stream([row], create=True))


def test_a_stream_outlives_a_restart_of_the_service(registry: Registry, service: Service, name: str) -> None:
    with ExitStack() as running, cutting(service.url, 10**9) as network:
        own = running.enter_context(serving(registry, service.store_url))
        network.move(own.url)
        with Client(network.url) as client:
            outcomes = client.stream(bare(name), create=True)
            seen = list(islice(outcomes, 100))
            running.close()
            network.move(service.url)
            seen.extend(outcomes)
    check(seen, service.url, name)


def test_a_stream_that_gets_no_further_gives_back_what_has_no_outcome(
    registry: Registry, service: Service, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "PATIENCE_S", 0.5)
    with ExitStack() as running, Client(service.url) as other:
        own = running.enter_context(serving(registry, service.store_url))
        with Client(own.url) as client:
            outcomes = client.stream(bare(name), create=True)
            seen = list(islice(outcomes, 100))
            running.close()
            with pytest.raises(StreamInterrupted) as interrupted:
                seen.extend(outcomes)
        assert isinstance(interrupted.value.__cause__, ServiceUnreachable)
        left = interrupted.value.unsettled
        settled = {outcome.row for outcome in seen}
        rest = [row for number, row in enumerate(bare(name)) if number not in settled]
        rest = [*left, *rest[len(left) :]]
        seen.extend(other.stream(rest, create=True))
    assert held(service.url, name) == [[float(step) for step in range(STEPS)]] * SESSIONS
