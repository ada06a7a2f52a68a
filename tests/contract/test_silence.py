"""A server that keeps its connections and answers nothing: as a host that is cut off, or a disk that hangs."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.storage.store import Outcome, SessionStore
from tests.contract.test_commit import created, stored
from tests.deployments import REDIS_7, Server, servers
from tests.records import advance

ATTEMPTS = 600


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with servers([Server(REDIS_7, tmp_path / "server")]) as [started]:
        yield started


async def test_a_silent_server_is_sent_nothing_until_it_answers_again(server: Server) -> None:
    async with SessionStore.open(f"redis://127.0.0.1:{server.port}/0", timeout_s=0.5) as store:
        await created(store, "a")
        change = advance("a", await stored(store, "a"), 1.0)
        server.silence()
        assert await store.commit([change]) == [Outcome.UNKNOWN]
        assert await store.commit([change]) == [Outcome.UNAVAILABLE]
        server.wake()
        for _ in range(ATTEMPTS):
            again = await store.commit([change])
            if again != [Outcome.UNAVAILABLE]:
                break
            await asyncio.sleep(0.1)
        assert again in ([Outcome.APPLIED], [Outcome.REPLAYED])
