"""States kept from one wave to the next: what is kept, for how long, and that nothing is decided by it."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import orjson
import pytest

from service.core import Core, running
from service.sessions.registry import Registry
from service.sessions.waves.cache import RECENT, StateCache
from service.sessions.work import Observe, Reply
from service.settings import Settings
from service.storage.store import Change, Outcome, Reading, SessionStore
from service.wire.parsing import Observation
from service.wire.schemas import SessionSettings
from service.wire.session_problems import StateRegressed
from tests.service.conftest import Service


def rows(*firsts: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.array([[first, first + 1, first + 2] for first in firsts], np.uint8)


def test_the_session_whose_commit_is_longest_ago_makes_room() -> None:
    cache = StateCache(3, rows=2)
    cache.put(["a", "b"], rows(1, 2))
    cache.put(["a"], rows(7))
    cache.put(["c"], rows(3))
    assert "b" not in cache
    assert cache.rows(["c", "a"]).tolist() == rows(3, 7).tolist()


def test_room_that_was_dropped_is_used_again() -> None:
    cache = StateCache(3, rows=2)
    cache.put(["a", "b"], rows(1, 2))
    cache.drop(["a", "unknown"])
    cache.put(["c"], rows(3))
    assert "a" not in cache
    assert cache.rows(["b", "c"]).tolist() == rows(2, 3).tolist()


def test_it_is_trusted_as_long_as_others_seldom_change_what_it_keeps() -> None:
    cache = StateCache(3)
    cache.note(RECENT // 20, RECENT // 20)
    assert cache.is_trusted
    cache.note(RECENT // 10, RECENT // 10)
    assert not cache.is_trusted
    cache.note(RECENT, 0)
    assert cache.is_trusted


class CountingStore(SessionStore):
    """The store, noting which heads and states are read, and counting commits."""

    heads_read: list[str]
    commits: int = 0

    async def commit(self, changes: Sequence[Change]) -> list[Outcome]:
        self.commits += 1
        return await super().commit(changes)

    async def read(self, sessions: Sequence[str], length: int) -> Reading:
        self.heads_read += sessions
        return await super().read(sessions, length)


@asynccontextmanager
async def core_over(registry: Registry, url: str) -> AsyncIterator[tuple[Core, list[str]]]:
    """A service without HTTP, and which heads and states it reads."""
    settings = Settings.model_validate({"default_model": "tiny"})
    async with CountingStore.open(url) as store:
        assert isinstance(store, CountingStore)
        store.heads_read = []

        @asynccontextmanager
        async def connection() -> AsyncIterator[SessionStore]:
            yield store

        clock = asyncio.get_running_loop().time
        async with running(settings, connection(), registry, clock=clock, randomness=os.urandom) as core:
            yield core, store.heads_read


async def observe(core: Core, session: str, value: float, step: int | None = None) -> Reply:
    work = Observe(session, observations=[Observation(value=value, step=step)], listed=False)
    return await core.waves.submit(session, work, timeout_s=5.0)


def commits_of(core: Core) -> int:
    """Attempts at committing that were made until now."""
    assert isinstance(core.store, CountingStore)
    return core.store.commits


@pytest.fixture
async def core(service: Service, name: str) -> AsyncIterator[tuple[Core, list[str]]]:
    """A service over the store of another, with a session that has one observation."""
    async with core_over(service.registry, service.store_url) as (core, read):
        await core.sessions.put(name, SessionSettings(), [Observation(value=1.0)])
        read.clear()
        yield core, read


async def test_a_session_that_was_advanced_here_is_not_read_again(core: tuple[Core, list[str]], name: str) -> None:
    service, read = core
    for value in (2.0, 3.0, 4.0):
        await observe(service, name, value)
    assert read == [name]


async def test_a_session_that_another_service_advanced_is_read_again(
    core: tuple[Core, list[str]], service: Service, name: str
) -> None:
    ours, read = core
    await observe(ours, name, 2.0)
    async with core_over(service.registry, service.store_url) as (theirs, _):
        await observe(theirs, name, 3.0)
    reply = await observe(ours, name, 4.0)
    assert orjson.loads(reply.body)["step"] == 4
    assert read == [name, name]


async def test_what_was_found_out_of_date_is_not_kept(
    core: tuple[Core, list[str]], service: Service, name: str
) -> None:
    ours, _ = core
    await observe(ours, name, 2.0, step=2)
    async with core_over(service.registry, service.store_url) as (theirs, _):
        await observe(theirs, name, 3.0, step=3)
    assert (await observe(ours, name, 3.0, step=3)).replayed
    commits = commits_of(ours)
    await observe(ours, name, 4.0, step=4)
    assert commits_of(ours) == commits + 1


async def test_what_is_kept_refuses_nothing(core: tuple[Core, list[str]], service: Service, name: str) -> None:
    ours, _ = core
    first = await observe(ours, name, 2.0, step=2)
    async with core_over(service.registry, service.store_url) as (theirs, _):
        await observe(theirs, name, 3.0, step=3)
        replayed = await observe(ours, name, 3.0, step=3)
    assert not first.replayed
    assert replayed.replayed


async def test_a_store_that_lost_what_was_committed_here_is_noticed(
    core: tuple[Core, list[str]], name: str
) -> None:
    ours, _ = core
    key = ours.store.key(name)
    [node] = await ours.store.servers.nodes(5.0)
    [before] = await ours.store.servers.run_at(node, [(b"GET", key)], 5.0)
    for step in (2, 3):
        await observe(ours, name, 2.0, step=step)
    await ours.store.servers.run_at(node, [(b"SET", key, before)], 5.0)
    with pytest.raises(StateRegressed):
        await observe(ours, name, 2.0, step=4)
