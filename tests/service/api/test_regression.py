"""A store that stands before what it had acknowledged, as after a failover: what names a place is refused."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from service.core import Core, running
from service.sessions.work import Observe
from service.settings import Settings
from service.storage.connection import Command
from service.storage.store import Change, Outcome, SessionStore
from service.wire.parsing import Observation
from service.wire.schemas import SessionSettings
from service.wire.session_problems import StateRegressed
from tests.service.calls import post, problem
from tests.service.conftest import Service, loop_time
from tests.service.days import day, observation, series, value

WRITES: list[tuple[str, str, Any]] = [
    ("POST", "/observations", observation(5)),
    ("POST", "/observations", series(5, 80)),
    ("PATCH", f"/observations/{day(2)}", {"value": 1.0}),
    ("PATCH", "", {"max_gap": 3}),
    ("POST", ":reset", None),
    ("POST", ":rewind", {"timestamp": day(2)}),
    ("DELETE", "", None),
]


def put_back(service: Service, name: str, blob: bytes | None = None) -> bytes:
    """Give the store back what it held once; returns what it holds now."""

    async def exchanged() -> bytes:
        async with SessionStore.open(service.store_url) as store:
            held = await store.read_one(name)
            assert held is not None
            if blob is not None:
                await store.servers.run([Command(store.key(name), (b"SET", store.key(name), blob))], 5.0)
            return held

    return asyncio.run(exchanged())


@pytest.mark.parametrize(("method", "path", "body"), WRITES, ids=lambda part: str(part)[:24])
def test_a_write_with_the_etag_of_a_lost_commit_is_refused_and_changes_nothing(
    service: Service, api: httpx2.Client, name: str, method: str, path: str, body: object
) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 3)})
    older = put_back(service, name)
    lost = post(api, name, observation(4)).headers["etag"]
    put_back(service, name, older)
    answer = api.request(method, f"/v1/sessions/{name}{path}", json=body, headers={"If-Match": lost})
    found = problem(answer, 409, "state-regressed")
    assert (found["step"], found["last"]) == (3, day(3))
    assert put_back(service, name) == older


class FailingOver(SessionStore):
    """Before a session is committed, the store holds again what it held earlier."""

    older: bytes | None = None

    async def commit(self, changes: Sequence[Change]) -> list[Outcome]:
        await self._fail_over(changes[0].session)
        return await super().commit(changes)

    async def _fail_over(self, session: str) -> None:
        if self.older is not None:
            key, older, self.older = self.key(session), self.older, None
            await self.servers.run([Command(key, (b"SET", key, older))], 5.0)


@asynccontextmanager
async def standing_at_four(
    service: Service, name: str, *, timed: bool = True
) -> AsyncIterator[tuple[Core, FailingOver]]:
    """A session of four observations, of which the store loses the last when it is next to be committed."""
    settings = Settings.model_validate({"default_model": "tiny"})
    connection = FailingOver.open(service.store_url)
    async with running(settings, connection, service.registry, clock=loop_time, randomness=os.urandom) as core:
        store = core.store
        assert isinstance(store, FailingOver)
        await observe(core, name, *(one(number, timed=timed) for number in range(1, 4)))
        older = await store.read_one(name)
        await observe(core, name, one(4, timed=timed))
        store.older = older
        yield core, store


def one(number: int, *, timed: bool = True) -> Observation:
    return Observation(value(number), timestamp=day(number) if timed else None)


async def observe(core: Core, name: str, *observations: Observation) -> bytes:
    work = Observe(name, observations=observations, listed=True, creation=SessionSettings())
    return (await core.waves.submit(name, work, timeout_s=10.0)).body


@pytest.mark.parametrize("count", [1, 70], ids=["hot wave", "long list"])
async def test_an_observation_with_a_place_is_not_folded_after_a_tail_that_was_lost_while_it_was_on_its_way(
    service: Service, name: str, count: int
) -> None:
    async with standing_at_four(service, name) as (core, store):
        older = store.older
        with pytest.raises(StateRegressed):
            await observe(core, name, *(one(number) for number in range(5, 5 + count)))
        assert await store.read_one(name) == older


async def test_a_bare_value_is_folded_after_whatever_the_store_holds(service: Service, name: str) -> None:
    async with standing_at_four(service, name, timed=False) as (core, _):
        assert b'"step":4,' in await observe(core, name, one(5, timed=False))
