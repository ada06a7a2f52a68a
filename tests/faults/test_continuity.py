"""However a series reaches its session, in one piece or step by step, the session is the same, bit by bit."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pytest

from models.artifacts.law import difficult_series
from service.sessions.registry import LoadedModel
from service.storage.store import SessionStore
from tests.deployments import deployment
from tests.faults.load import serving_model
from tests.faults.processes import Service, service
from tests.faults.series import Doubles, Series, Told, folded, quantiles, same
from tests.faults.wire import Connection, request

STEPS, WARM_UP, RETAINED = 80, 50, 64
KINDS = 13
"""Kinds of difficult series; each is told with timestamps and with steps."""


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return serving_model()


@pytest.fixture(scope="module", params=["embedded", "redis", "valkey", "cluster"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service over each kind of deployment; `embedded` is the one it starts itself."""
    with ExitStack() as stack:
        url = None if request.param == "embedded" else stack.enter_context(deployment(request.param)).url
        yield stack.enter_context(service(tmp_path_factory.mktemp("service"), url))


async def test_warmed_up_and_continued_equals_the_whole_series_at_once(running: Service, loaded: LoadedModel) -> None:
    await running.until_ready()
    series = _difficult()
    _, issued = folded(loaded.model, series)

    async def post(one: Series, right: Doubles) -> None:
        async with Connection(running.port) as connection:
            await _put(connection, f"whole-{one.session}", one, STEPS)
            await _put(connection, f"warmed-{one.session}", one, WARM_UP)
            for step in range(WARM_UP, STEPS):
                answer = await _post(connection, f"warmed-{one.session}", one, step, step + 1)
                assert same(quantiles(answer["observed"]["forecast"]), right[step])
                assert same(quantiles(answer["forecast"]), right[step + 1])

    await asyncio.gather(*map(post, series, issued))
    await _the_same(running, loaded, ["whole", "warmed"], series)


async def test_single_steps_equal_lists_of_any_length(running: Service, loaded: LoadedModel) -> None:
    await running.until_ready()
    series = _difficult()

    async def post(one: Series) -> None:
        async with Connection(running.port) as connection:
            for way, cuts in (("single", range(STEPS + 1)), ("listed", (0, 1, 3, 70, STEPS))):
                await _put(connection, f"{way}-{one.session}", one, 0)
                for first, last in pairwise(cuts):
                    await _post(connection, f"{way}-{one.session}", one, first, last)

    await asyncio.gather(*map(post, series))
    await _the_same(running, loaded, ["single", "listed"], series)


async def test_a_session_goes_on_where_it_was_after_its_service_was_killed(
    running: Service, loaded: LoadedModel
) -> None:
    await running.until_ready()
    series = _difficult()

    async def warm_up(one: Series) -> None:
        async with Connection(running.port) as connection:
            await _put(connection, f"killed-{one.session}", one, WARM_UP)

    async def go_on(one: Series) -> None:
        async with Connection(running.port) as connection:
            for step in range(WARM_UP, STEPS):
                await _post(connection, f"killed-{one.session}", one, step, step + 1)

    await asyncio.gather(*map(warm_up, series))
    running.kill("service")
    running.start()
    await running.until_ready()
    await asyncio.gather(*map(go_on, series))
    await _the_same(running, loaded, ["killed"], series)


@dataclass(frozen=True)
class Seen:
    """What the service shows of a session, apart from its name and its life."""

    history: list[dict[str, Any]]
    fan: object
    scores: object


async def _the_same(running: Service, loaded: LoadedModel, ways: list[str], series: list[Series]) -> None:
    """Every way led to the same histories, forecasts and scores, and to the state of an offline fold."""
    states, issued = folded(loaded.model, series)
    async with Connection(running.port) as connection, SessionStore.open(running.store_url, timeout_s=30.0) as store:
        for one, state, right in zip(series, states, issued, strict=True):
            names = [f"{way}-{one.session}" for way in ways]
            first, *others = [await _seen(connection, name) for name in names]
            assert all(other == first for other in others)
            assert [record["step"] for record in first.history] == list(range(STEPS - RETAINED + 1, STEPS + 1))
            stored = np.array([quantiles(record["forecast"]) for record in first.history])
            assert same(stored, right[STEPS - RETAINED : STEPS])
            rows = (await store.read(names, loaded.layout.live_bytes)).rows
            assert (rows[:, -loaded.spec.state_bytes :] == state).all()


async def _seen(connection: Connection, session: str) -> Seen:
    async def get(call: str) -> dict[str, Any]:
        status, body = await connection.send(request("GET", f"/v1/sessions/{session}{call}"))
        assert status in (200, 409), body  # a session without a known value has no forecast
        answer: dict[str, Any] = orjson.loads(body)
        return answer

    history, fan, shown = [await get(call) for call in ("/observations", "/forecast?horizon=14", "")]
    return Seen(history["observations"], fan.get("forecasts"), shown["scores"])


async def _put(connection: Connection, session: str, series: Series, steps: int) -> None:
    """Create the session with its first observations."""
    body = {"freq": "D"} if series.told is Told.TIMESTAMP else {}
    observations = {"observations": [series.observation(step) for step in range(steps)]} if steps else {}
    status, answer = await connection.send(
        request("PUT", f"/v1/sessions/{session}", orjson.dumps({**body, **observations}))
    )
    assert status == 201, answer


async def _post(connection: Connection, session: str, series: Series, first: int, last: int) -> dict[str, Any]:
    """Post observations first .. last - 1, a single one as itself."""
    listed = [series.observation(step) for step in range(first, last)]
    body = orjson.dumps(listed[0] if len(listed) == 1 else listed)
    status, answer = await connection.send(request("POST", f"/v1/sessions/{session}/observations", body))
    assert status == 200, answer
    advance: dict[str, Any] = orjson.loads(answer)
    assert (advance["step"], advance["applied"], advance["imputed"]) == (last, last - first, 0)
    return advance


def _difficult() -> list[Series]:
    values = difficult_series(np.random.default_rng(3), 2 * KINDS, STEPS)
    told = [Told.TIMESTAMP if row < KINDS else Told.STEP for row in range(2 * KINDS)]
    return [Series(f"{row}", told[row], values[row]) for row in range(2 * KINDS)]
