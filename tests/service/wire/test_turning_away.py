"""Requests that are refused in the connection, before the application hears of them."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from service.wire.exchange import Headers
from service.wire.problems import OVERLOADED, Overloaded, ServiceError
from service.wire.receiving import BoundedProtocol
from tests.faults.wire import Connection, request

PATH = "/v1/sessions/a/observations"
BODY = b'{"value": 1}'
DEADLINE_S = 0.05


class Full:
    """An application that has room for nothing."""

    refused = 0

    def is_full(self) -> bool:
        return True

    def turned_away(self) -> None:
        self.refused += 1

    def unread(self, problem: ServiceError, names: Headers) -> None:
        self.refused += 1

    def turns_away(self, method: bytes, path: bytes) -> bool:
        return (method, path) == (b"POST", PATH.encode())


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    config, state = Config(Full(), interface="asgi3", proxy_headers=False, lifespan="off"), ServerState()  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: BoundedProtocol(config, state, {}, deadline_s=DEADLINE_S, connections=1), "127.0.0.1", 0
    )
    async with server, Connection(server.sockets[0].getsockname()[1]) as open_connection:
        yield open_connection


async def test_each_is_the_whole_problem_under_an_id_of_its_own(connection: Connection) -> None:
    ids = set()
    for _ in range(3):
        status, head, body = await connection.exchange(request("POST", PATH, BODY))
        found = orjson.loads(body)
        assert (status, found) == (503, Overloaded(OVERLOADED).body(found["instance"]))
        assert b"\r\nx-request-id: %b\r\n" % found["instance"].encode() in head
        assert b"\r\nretry-after: 1\r\n" in head
        assert b"\r\ncontent-type: application/problem+json\r\n" in head
        ids.add(found["instance"])
    assert len(ids) == 3


async def test_what_names_the_request_is_repeated(connection: Connection) -> None:
    trace = f"00-{32 * 'a'}-{16 * 'b'}-01"
    sent = request("POST", PATH, BODY, x_request_id='a"b\\c', traceparent=trace)
    status, head, body = await connection.exchange(sent)
    assert (status, orjson.loads(body)["instance"]) == (503, 'a"b\\c')
    assert b'\r\nx-request-id: a"b\\c\r\n' in head
    assert b"\r\ntraceparent: %b\r\n" % trace.encode() in head


async def test_the_connection_outlives_the_deadline_of_a_request(connection: Connection) -> None:
    for _ in range(2):
        status, _ = await connection.send(request("POST", PATH, BODY))
        assert status == 503
        await asyncio.sleep(2 * DEADLINE_S)


async def test_what_comes_in_parts_or_several_at_once_is_refused_too(connection: Connection) -> None:
    sent = request("POST", PATH, BODY)
    reader, writer = await connection._opened()
    for packet in (sent[:60], sent[60:], 2 * sent):
        writer.write(packet)
        await asyncio.sleep(0.01)
    for _ in range(3):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))


async def test_one_that_asks_for_it_closes_the_connection(connection: Connection) -> None:
    reader, writer = await connection._opened()
    writer.write(request("POST", PATH, BODY, connection="close"))
    assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
