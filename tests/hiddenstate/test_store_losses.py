"""A real store that is put back to what it held before, as a failover does: the client sends again what was lost."""

import asyncio
from uuid import uuid4

import pytest

from hiddenstate import Client
from hiddenstate.errors import StateRegressed
from service.storage.connection import Command
from service.storage.embedded import EmbeddedStore
from service.storage.store import SessionStore
from tests.hiddenstate.conftest import Running


def put_back(service: Running, name: str, record: bytes | None = None) -> bytes:
    """Give the store back what it held once; returns what it holds now."""

    async def exchanged() -> bytes:
        async with SessionStore.open(EmbeddedStore(service.data_dir).url) as store:
            held = await store.read_one(name)
            assert held is not None
            if record is not None:
                await store.servers.run([Command(store.key(name), (b"SET", store.key(name), record))], 5.0)
            return held

    return asyncio.run(exchanged())


@pytest.mark.parametrize("dated", [True, False], ids=["with days", "bare values"])
def test_what_the_store_lost_is_there_again_after_the_next_observation(service: Running, dated: bool) -> None:
    name = f"lost-{uuid4().hex[:8]}"

    def day(number: int) -> str | None:
        return f"2026-10-{number:02}" if dated else None

    with Client(service.url) as client:
        client.put_session(name)
        for number in (1, 2):
            client.observe(name, number, timestamp=day(number))
        older = put_back(service, name)
        for number in (3, 4):
            client.observe(name, number, timestamp=day(number))
        client.correct(name, day(2) or 2, 7.0)
        put_back(service, name, older)
        assert client.observe(name, 5.0, timestamp=day(5)).step == 5
        values = [(record.value, record.imputed) for record in client.history(name).observations]
        assert values == [(value, False) for value in (1.0, 7.0, 3.0, 4.0, 5.0)]
        assert client.verify(name).ok


def test_a_client_that_did_not_send_what_was_lost_says_where_the_session_stands(service: Running) -> None:
    name = f"lost-{uuid4().hex[:8]}"
    with Client(service.url) as first, Client(service.url) as second:
        first.put_session(name, [{"timestamp": "2026-10-01", "value": 1.0}])
        older = put_back(service, name)
        first.observe(name, 2.0, timestamp="2026-10-02")
        second.session(name)
        put_back(service, name, older)
        with pytest.raises(StateRegressed) as failure:
            second.observe(name, 3.0, timestamp="2026-10-03")
        assert (failure.value.step, failure.value.last) == (1, "2026-10-01")
        for day in (2, 3):
            second.observe(name, day, timestamp=f"2026-10-0{day}")
        assert second.session(name).step == 3
