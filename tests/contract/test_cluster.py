"""A Cluster whose slots move and nodes fail while it is used: the store follows, and nothing is lost or done twice."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from service.storage.record import Record
from service.storage.store import Found, Outcome, SessionStore
from tests.contract.test_commit import advanced, created, stored
from tests.deployments import Deployment, deployment
from tests.records import LAYOUT, advance, creation


@pytest.fixture(scope="module")
def cluster() -> Iterator[Deployment]:
    with deployment("cluster") as started:
        yield started


def ask(port: int, *command: str | int | bytes) -> Any:  # noqa: ANN401 - a reply is what the command gives
    with redis.Redis(port=port, protocol=2, retry=Retry(NoBackoff(), 0)) as client:
        return client.execute_command(*command)


class MovingSlot:
    """The slot of one key, moved from the node that owns it to another."""

    def __init__(self, cluster: Deployment, key: bytes) -> None:
        self.key, self.slot = key, key_slot(key)
        seed = int(urlsplit(cluster.url).netloc.rsplit(":", 1)[1])
        ranges = ask(seed, "CLUSTER", "SLOTS")
        nodes = {(port, name) for _, _, (_, port, name, *_) in ranges}
        [self.source] = {(port, name) for a, b, (_, port, name, *_) in ranges if a <= self.slot <= b}
        self.target, self.other = sorted(nodes - {self.source})

    def begin(self) -> None:
        ask(self.target[0], "CLUSTER", "SETSLOT", self.slot, "IMPORTING", self.source[1])
        ask(self.source[0], "CLUSTER", "SETSLOT", self.slot, "MIGRATING", self.target[1])

    def carry(self) -> None:
        ask(self.source[0], "MIGRATE", "127.0.0.1", self.target[0], self.key, 0, 5000)

    def finish(self) -> None:
        for port, _ in (self.target, self.source, self.other):
            ask(port, "CLUSTER", "SETSLOT", self.slot, "NODE", self.target[1])


async def test_a_session_is_advanced_before_while_and_after_its_slot_moves(cluster: Deployment) -> None:
    async with SessionStore.open(cluster.url, timeout_s=10.0) as store:
        await created(store, "a")
        moving = MovingSlot(cluster, store.key("a"))
        moving.begin()
        await advanced(store, "a", 1.0)
        moving.carry()
        change = advance("a", await stored(store, "a"), 2.0)
        assert await store.commit([change, creation("b")]) == [Outcome.APPLIED, Outcome.APPLIED]
        assert await store.commit_one(change) is Outcome.REPLAYED
        moving.finish()
        blob = await advanced(store, "a", 3.0)
    assert Record.parse(blob, LAYOUT).slots()["value"].tolist() == [1.0, 2.0, 3.0]


async def test_a_store_that_starts_from_one_node_finds_the_others(cluster: Deployment) -> None:
    async with SessionStore.open(cluster.url.partition(",")[0], timeout_s=10.0) as store:
        names = [f"s{i}" for i in range(50)]
        assert set(await store.commit([creation(name) for name in names])) == {Outcome.APPLIED}
        assert len(await store.servers.nodes(10.0)) == 3


async def test_a_node_that_is_down_costs_its_own_sessions_only(cluster: Deployment) -> None:
    names = [f"d{i}" for i in range(50)]
    async with SessionStore.open(cluster.url, timeout_s=10.0) as store:
        await store.commit([creation(name) for name in names])
        dead = MovingSlot(cluster, store.key("d0")).source
        lost = {name for name in names if MovingSlot(cluster, store.key(name)).source == dead}
        with pytest.raises(redis.ConnectionError):
            ask(dead[0], "SHUTDOWN", "NOSAVE")
        outcomes = await store.commit([creation(name) for name in names])
        reading = await store.read(names, LAYOUT.live_bytes)
    assert {name for name, outcome in zip(names, outcomes, strict=True) if outcome is not Outcome.REPLAYED} == lost
    assert {name for name, found in zip(names, reading.found, strict=True) if found == Found.UNAVAILABLE} == lost
