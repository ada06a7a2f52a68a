"""A reply that never comes: between the store and a real server stands a relay that can swallow one."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from service.storage.connection import Command
from service.storage.store import Outcome, OutcomeUnknown, SessionStore
from tests.deployments import Deployment, deployment
from tests.records import advance, creation


@dataclass
class Relay:
    port: int = 0
    swallow: int = 0
    """So many replies to scripts are dropped, each with its connection."""
    silent: bool = False
    """Replies are dropped and connections kept."""


@pytest.fixture(scope="module")
def server() -> Iterator[Deployment]:
    with deployment("redis") as started:
        yield started


@asynccontextmanager
async def relaying(upstream: int) -> AsyncIterator[Relay]:
    relay, writers = Relay(), set[asyncio.StreamWriter]()

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, replies: bool) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                if replies and relay.silent:
                    continue
                if replies and relay.swallow and not data.startswith(b"+"):
                    relay.swallow -= 1
                    break
                target.write(data)
                await target.drain()
        target.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", upstream)
        writers.update((writer, up_writer))
        await asyncio.gather(pump(reader, up_writer, False), pump(up_reader, writer, True))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    relay.port = listener.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        listener.close()
        for writer in writers:
            writer.close()
        for writer in writers:
            with suppress(OSError):
                await writer.wait_closed()


@pytest.fixture
async def relay(server: Deployment) -> AsyncIterator[Relay]:
    port = urlsplit(server.url).port
    assert port is not None
    async with relaying(port) as running:
        yield running


@pytest.fixture
async def store(relay: Relay) -> AsyncIterator[SessionStore]:
    async with SessionStore.open(f"redis://127.0.0.1:{relay.port}/0", timeout_s=0.5) as opened:
        yield opened


@pytest.fixture
async def blob(store: SessionStore) -> bytes:
    """A fresh session "a", and scripts that the server knows."""
    await store.servers.run([Command(b"", (b"FLUSHALL",))], 5.0)
    assert await store.commit_one(creation("a")) is Outcome.APPLIED
    blob = await store.read_one("a")
    assert blob is not None
    return blob


async def script_calls(store: SessionStore) -> int:
    [info] = await store.servers.run([Command(b"", (b"INFO", b"commandstats"))], 5.0)
    lines = [line for line in info.decode().splitlines() if line.startswith("cmdstat_evalsha:")]
    return sum(int(line.split("calls=")[1].split(",")[0]) for line in lines)


async def test_a_lost_reply_is_an_unknown_outcome_and_the_same_change_again_settles_it(
    store: SessionStore, relay: Relay, blob: bytes
) -> None:
    change = advance("a", blob, 1.0)
    relay.swallow = 1
    assert await store.commit([change]) == [Outcome.UNKNOWN]
    assert await store.commit([change]) == [Outcome.REPLAYED]


async def test_a_write_whose_reply_was_lost_is_not_sent_again_behind_our_back(
    store: SessionStore, relay: Relay, blob: bytes
) -> None:
    before = await script_calls(store)
    relay.swallow = 1
    with pytest.raises(OutcomeUnknown):
        await store.commit_one(advance("a", blob, 1.0))
    assert await script_calls(store) == before + 1


async def test_a_read_whose_reply_was_lost_is_asked_again(store: SessionStore, relay: Relay, blob: bytes) -> None:
    relay.swallow = 1
    assert await store.read_one("a") == blob


async def test_a_silent_server_costs_no_more_than_the_time_limit_and_its_late_reply_reaches_nobody(
    store: SessionStore, relay: Relay, blob: bytes
) -> None:
    relay.silent = True
    assert await store.commit([advance("a", blob, 1.0)]) == [Outcome.UNKNOWN]
    relay.silent = False
    assert await store.commit([advance("a", blob, 1.0), creation("b")]) == [Outcome.REPLAYED, Outcome.APPLIED]


async def test_cancelled_calls_leave_no_reply_for_the_next_caller(store: SessionStore, blob: bytes) -> None:
    names = [f"canary{i}" for i in range(40)]
    await store.commit([creation(name, life=name.encode().rjust(8)) for name in names])
    for turn, name in enumerate(names):
        call = asyncio.create_task(store.read_one("a"))
        for _ in range(turn % 8):
            await asyncio.sleep(0)
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call
        found = await store.read_one(name)
        assert found is not None
        assert found[112:120] == name.encode().rjust(8)
