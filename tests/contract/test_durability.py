"""Commits that are answered once they are on disk or on a replica, against servers that can be made not to confirm."""

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from service.storage.durability import Demand, Durability
from service.storage.embedded import server_binary
from service.storage.layout import position
from service.storage.store import Outcome, SessionStore
from tests.contract.test_commit import created, stored
from tests.deployments import REDIS_7, Server, servers, wait_for
from tests.faults.slow_fsync import slow_fsync
from tests.records import advance, creation, deletion, new_record, replacement

BINARIES = {"redis": REDIS_7, "valkey": server_binary()}
REPLICA = Demand(Durability.REPLICA, timeout_s=30.0)
HASTY = replace(REPLICA, timeout_s=0.3)
"""For what no replica will confirm."""
LIMIT_S = 60.0
LOCAL = Demand(Durability.LOCAL)
EVERYSEC = ("--appendfsync", "everysec")


class Pair:
    """A primary and its replica."""

    def __init__(self, primary: Server, replica: Server) -> None:
        self.primary, self.replica = primary, replica
        self._replica_pid: int = replica.ask("INFO", "server")["process_id"]
        self.url = f"redis://127.0.0.1:{primary.port}/0"

    @contextmanager
    def silent_replica(self) -> Iterator[None]:
        """The replica stays connected and says nothing."""
        os.kill(self._replica_pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._replica_pid, signal.SIGCONT)

    def written(self) -> int:
        offset: int = self.primary.ask("INFO", "replication")["master_repl_offset"]
        return offset


@pytest.fixture(scope="module", params=BINARIES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    with servers([Server(BINARIES[request.param], folder / name) for name in ("primary", "replica")]) as pair:
        pair[1].ask("REPLICAOF", "127.0.0.1", pair[0].port)
        pair[0].ask("SET", "first", "write")
        wait_for(lambda: in_step(pair[0]), "the replica")
        yield Pair(*pair)


def in_step(primary: Server) -> bool:
    """Whether the replica has reported all that was written."""
    told = primary.ask("INFO", "replication")
    return bool(told.get("slave0", {}).get("offset") == told["master_repl_offset"])


@contextmanager
def lone(binary: Path, folder: Path, *settings: str) -> Iterator[Server]:
    with servers([Server(binary, folder / "lone", *settings)]) as [server]:
        yield server


def url(server: Server) -> str:
    return f"redis://127.0.0.1:{server.port}/0"


def opened(pair: Pair, namespace: str, demand: Demand = REPLICA) -> AbstractAsyncContextManager[SessionStore]:
    return SessionStore.open(pair.url, namespace=namespace, timeout_s=LIMIT_S, demand=demand)


async def test_what_a_replica_has_not_confirmed_is_unconfirmed_however_often_it_is_sent(pair: Pair) -> None:
    async with opened(pair, "again") as store, opened(pair, "again", HASTY) as hasty:
        blob = await created(store, "a")
        change = advance("a", blob, 1.0)
        with pair.silent_replica():
            assert await hasty.commit([change]) == [Outcome.UNCONFIRMED]
            held = position(await stored(store, "a"))
            assert await hasty.commit([change]) == [Outcome.UNCONFIRMED]
            assert await hasty.confirm("a", held) is Outcome.UNCONFIRMED
            assert await hasty.commit([deletion("nobody")]) == [Outcome.UNCONFIRMED]
        assert await store.commit([change]) == [Outcome.REPLAYED]
        assert await store.confirm("a", held) is Outcome.APPLIED


async def test_a_refusal_needs_no_confirmation(pair: Pair) -> None:
    async with opened(pair, "refused") as store, opened(pair, "refused", HASTY) as hasty:
        await created(store, "a")
        with pair.silent_replica():
            assert await hasty.commit([creation("a", token="another")]) == [Outcome.CONFLICT]


async def test_a_wave_that_teaches_its_server_the_script_is_waited_for_too(pair: Pair) -> None:
    async with opened(pair, "taught", HASTY) as store:
        pair.primary.ask("SCRIPT", "FLUSH")
        with pair.silent_replica():
            assert await store.commit([creation("a"), creation("b")]) == [Outcome.UNCONFIRMED] * 2


async def test_a_replay_writes_nothing_where_nothing_is_waited_for(pair: Pair) -> None:
    async with SessionStore.open(pair.url, namespace="free") as store:
        blob = await created(store, "a")
        written = pair.written()
        assert await store.commit([creation("a"), deletion("nobody")]) == [Outcome.REPLAYED, Outcome.APPLIED]
        assert await store.confirm("a", position(blob)) is Outcome.APPLIED
        assert pair.written() == written


async def test_the_status_counts_replicas_and_misses_those_that_were_asked_for(pair: Pair) -> None:
    async with SessionStore.open(pair.url, demand=replace(REPLICA, replicas=2)) as store:
        status = await store.status()
        assert (status.durability_asked, status.durability, status.replicas) == ("replica", "local", 1)
        [fault] = status.faults
        assert "2 replicas, and 1 are connected" in fault
    async with SessionStore.open(pair.url, demand=REPLICA) as store:
        status = await store.status()
        assert (status.durability, status.faults) == ("replica", ())


async def test_a_confirmation_stands_on_the_position_read_or_a_later_one_of_the_same_life(pair: Pair) -> None:
    async with opened(pair, "stands") as store:
        before = position(await created(store, "a"))
        assert await store.commit_one(advance("a", await stored(store, "a"), 1.0)) is Outcome.APPLIED
        after = position(await stored(store, "a"))
        assert [await store.confirm("a", held) for held in (before, after)] == [Outcome.APPLIED] * 2
        await store.commit([deletion("a"), creation("a", token="restored")])
        assert await store.confirm("a", after) is Outcome.REGRESSED
        reset = new_record(life=b"life two")
        reset.bump()
        restored = position(await stored(store, "a"))
        assert await store.commit_one(replacement("a", reset, expected=restored)) is Outcome.APPLIED
        assert await store.confirm("a", before) is Outcome.CONFLICT
        await store.commit([deletion("a")])
        assert await store.confirm("a", before) is Outcome.MISSING


async def test_a_confirmation_changes_nothing_and_prolongs_no_life(pair: Pair) -> None:
    async with opened(pair, "same") as store:
        blob = await created(store, "a", ttl_ms=60_000)
        assert await store.confirm("a", position(blob)) is Outcome.APPLIED
        assert await store.commit([creation("a", ttl_ms=60_000)]) == [Outcome.REPLAYED]
        assert await stored(store, "a") == blob


@pytest.mark.parametrize("binary", BINARIES.values(), ids=BINARIES)
async def test_a_server_that_fsyncs_always_gives_local(binary: Path, tmp_path: Path) -> None:
    with lone(binary, tmp_path) as server:
        async with SessionStore.open(url(server), demand=LOCAL) as store:
            await created(store, "a")
            status = await store.status()
            assert (status.durability_asked, status.durability, status.faults) == ("local", "local", ())


async def test_a_disk_that_is_slow_delays_an_answer_that_promises_it(tmp_path: Path) -> None:
    with slow_fsync(1200), lone(server_binary(), tmp_path) as server:
        async with SessionStore.open(url(server), timeout_s=0.8, demand=LOCAL) as store:
            await store.status()
            assert await store.commit([creation("a")]) == [Outcome.UNKNOWN]


@pytest.mark.parametrize(
    ("settings", "reason"), [(EVERYSEC, "is aof everysec: "), (("--appendonly", "no"), "is none: ")]
)
async def test_a_server_that_cannot_give_what_is_asked_is_sent_nothing(
    tmp_path: Path, settings: tuple[str, ...], reason: str
) -> None:
    with lone(REDIS_7, tmp_path, *settings) as server:
        async with SessionStore.open(url(server), demand=LOCAL) as store:
            assert await store.commit([creation("a")]) == [Outcome.UNAVAILABLE]
            assert await store.read_one("a") is None
            status = await store.status()
            assert status.durability == "memory"
            [fault] = status.faults
            assert f"{reason}set appendonly yes and appendfsync always" in fault


async def test_a_server_whose_configuration_changes_is_learnt_anew_with_its_status(tmp_path: Path) -> None:
    with lone(REDIS_7, tmp_path, *EVERYSEC) as server:
        async with SessionStore.open(url(server), demand=LOCAL) as store:
            assert await store.commit([creation("a")]) == [Outcome.UNAVAILABLE]
            server.ask("CONFIG", "SET", "appendfsync", "always")
            await store.status()
            assert await store.commit([creation("a")]) == [Outcome.APPLIED]


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (("--maxmemory-policy", "allkeys-lru"), "set maxmemory-policy noeviction in place of allkeys-lru"),
        (("--min-replicas-to-write", "1"), "the store takes no writes: "),
    ],
)
async def test_a_store_that_evicts_or_takes_no_writes_says_so(
    tmp_path: Path, settings: tuple[str, ...], fault: str
) -> None:
    with lone(server_binary(), tmp_path, *settings) as server:
        async with SessionStore.open(url(server)) as store:
            assert [fault in found for found in (await store.status()).faults] == [True]


