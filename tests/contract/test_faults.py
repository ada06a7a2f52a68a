"""What the store does when servers forget, restart, or lose a reply."""

import asyncio

import pytest

from service.storage.connection import Command
from service.storage.record import DamagedRecord, Record
from service.storage.store import Found, Outcome, SessionStore, StoreUnavailable
from tests.contract.test_commit import advanced, created, stored
from tests.deployments import Deployment
from tests.records import LAYOUT, advance, creation


async def test_servers_that_forgot_the_scripts_are_taught_them_again(store: SessionStore, running: Deployment) -> None:
    names = [f"s{i}" for i in range(200)]
    await store.commit([creation(name) for name in names])
    running.forget_scripts()
    assert (await store.read(names, LAYOUT.live_bytes)).found.all()
    running.forget_scripts()
    assert set(await store.commit([creation(name) for name in names])) == {Outcome.REPLAYED}


async def test_acknowledged_commits_outlive_their_server_and_the_store_finds_it_again(
    store: SessionStore, running: Deployment
) -> None:
    await created(store, "a")
    before = await advanced(store, "a", 1.0)
    running.restart()
    await asyncio.sleep(0.05)  # the loop, which the restart held up, learns that its connections are gone
    assert await stored(store, "a") == before
    assert Record.parse(await advanced(store, "a", 2.0), LAYOUT).step == 2


async def test_the_status_names_what_the_store_promises(store: SessionStore) -> None:
    status = await store.status()
    assert status.engine in ("valkey", "redis")
    assert (status.persistence, status.durability, status.eviction) == ("aof always", "local", "noeviction")
    assert (status.durability_asked, status.faults) == (None, ())
    assert status.used_bytes > 0


async def test_a_key_of_another_type_is_a_damaged_record_and_harms_no_other(store: SessionStore) -> None:
    await created(store, "a")
    assert await store.servers.run([_set(store, "list", b"RPUSH")], 5.0) == [1]
    reading = await store.read(["list", "a"], LAYOUT.live_bytes)
    assert reading.found.tolist() == [Found.PRESENT, Found.PRESENT]
    with pytest.raises(DamagedRecord):
        Record.parse(await stored(store, "list"), LAYOUT)
    changes = [creation("list", token="x"), advance("a", reading.rows[1].tobytes(), 1.0)]
    assert await store.commit(changes) == [Outcome.CONFLICT, Outcome.APPLIED]


async def test_a_record_cut_short_is_never_written_over(store: SessionStore) -> None:
    blob = await created(store, "a")
    await store.servers.run([_set(store, "a", b"SET", blob[:300])], 5.0)
    assert await store.commit_one(advance("a", blob, 1.0)) is Outcome.CONFLICT


async def test_a_store_that_is_not_there_fails_each_call_by_name() -> None:
    async with SessionStore.open("redis://127.0.0.1:1/0", timeout_s=0.5) as store:
        assert (await store.read(["a"], 528)).found.tolist() == [Found.UNAVAILABLE]
        assert await store.commit([creation("a")]) == [Outcome.UNAVAILABLE]
        with pytest.raises(StoreUnavailable):
            await store.read_one("a")
        with pytest.raises(StoreUnavailable):
            await store.commit_one(creation("a"))
        with pytest.raises(StoreUnavailable):
            await store.status()


def _set(store: SessionStore, session: str, verb: bytes, value: bytes = b"x") -> Command:
    key = store.key(session)
    return Command(key, (verb, key, value))
