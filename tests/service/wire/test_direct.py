"""Requests that the connection itself answers: in order, within their limits, and only while somebody waits."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from service.routes.hot import target
from service.wire.direct import Exchange, Target
from service.wire.exchange import Headers
from service.wire.problems import ServiceError
from service.wire.receiving import BoundedProtocol
from tests.faults.wire import Connection, request

PATH = "/v1/sessions/a/observations"
HEAD = b"POST /v1/sessions/a/observations HTTP/1.1\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\nx-request-id: named\r\n\r\n"
DEADLINE_S = 0.2
LIMIT = 100


class Echo:
    """An application that answers each request with its body, some number of times; while it holds, later."""

    closing = False
    body_limit = LIMIT
    holding = False
    times = 1

    def __init__(self) -> None:
        self.begun: list[bytes] = []
        self.statuses: list[int] = []
        self.held: asyncio.Queue[Exchange] = asyncio.Queue()
        self.gone = asyncio.Event()

    def is_full(self) -> bool:
        return False

    def answered(self, exchange: Exchange, status: int) -> None:
        self.statuses.append(status)

    def unread(self, problem: ServiceError, names: Headers) -> None:
        self.statuses.append(problem.status)

    def turns_away(self, method: bytes, url: bytes) -> bool:
        return False

    def target(self, method: bytes, url: bytes) -> Target | None:
        return target(method, url)

    def begin(self, exchange: Exchange) -> None:
        self.begun.append(bytes(exchange.body))
        exchange.left = self.gone.set
        if self.holding:
            self.held.put_nowait(exchange)
        else:
            self.answer(exchange)

    def answer(self, exchange: Exchange) -> None:
        exchange.answer(200, b"", bytes(exchange.body) * self.times)


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def port(echo: Echo) -> AsyncIterator[int]:
    config, state = Config(echo, interface="asgi3", proxy_headers=False, lifespan="off"), ServerState()  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: BoundedProtocol(config, state, {}, deadline_s=DEADLINE_S, connections=9), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def streams(port: int) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    yield reader, writer
    writer.close()


async def answered(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return int(head[9:12]), head, await reader.readexactly(size)


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


@pytest.mark.parametrize("held", [False, True])
async def test_requests_in_one_packet_are_answered_in_order(echo: Echo, streams: Streams, held: bool) -> None:
    reader, writer = streams
    echo.holding = held
    writer.write(b"".join(request("POST", PATH, body) for body in numbered(3000)))
    if held:  # so that the others wait for it in the connection, and then follow each other at once
        first = await echo.held.get()
        echo.holding = False
        echo.answer(first)
    assert [(await answered(reader))[2] for _ in range(3000)] == numbered(3000)


async def test_the_next_request_is_begun_after_the_answer_to_the_one_before(echo: Echo, streams: Streams) -> None:
    echo.holding = True
    reader, writer = streams
    writer.write(b"".join(request("POST", PATH, body) for body in numbered(2)))
    first = await echo.held.get()
    writer.write(request("POST", PATH, b"2"))
    await asyncio.sleep(0.05)
    assert echo.begun == [b"0"]
    echo.answer(first)
    for _ in range(2):
        echo.answer(await echo.held.get())
    assert [(await answered(reader))[2] for _ in range(3)] == numbered(3)


async def test_a_client_that_reads_no_answers_gets_no_more_of_them(echo: Echo, streams: Streams) -> None:
    echo.times = 200_000
    reader, writer = streams
    for body in numbered(99):
        writer.write(request("POST", PATH, body))
        await asyncio.sleep(0)
    await asyncio.sleep(0.2)
    assert len(echo.begun) < 90
    bodies = [(await answered(reader))[2] for _ in range(99)]
    assert [body[: len(body) // echo.times] for body in bodies] == numbered(99)


async def test_it_hears_of_a_client_that_leaves(echo: Echo, streams: Streams) -> None:
    echo.holding = True
    streams[1].write(request("POST", PATH, b"1"))
    exchange = await echo.held.get()
    assert not echo.gone.is_set()
    streams[1].close()
    await echo.gone.wait()
    echo.answer(exchange)  # to nobody


async def test_a_client_that_waits_to_be_told_to_continue_is(echo: Echo, streams: Streams) -> None:
    reader, writer = streams
    writer.write(HEAD + b"content-length: 2\r\nexpect: 100-continue\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"12")
    assert (await answered(reader))[2] == b"12"


async def test_a_body_in_parts_is_put_together(echo: Echo, streams: Streams) -> None:
    reader, writer = streams
    for part in (CHUNKED, b"1\r\n1\r\n", b"2\r\n23\r\n", b"0\r\n\r\n"):
        writer.write(part)
        await asyncio.sleep(0.01)
    assert (await answered(reader))[2] == b"123"


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"content-length: 101\r\nx-request-id: named\r\n\r\n",
        CHUNKED + b"65\r\n" + b"1" * 101 + b"\r\n0\r\n\r\n",
        CHUNKED + b"64\r\n" + b"1" * 100 + b"\r\n1\r\n2\r\n",
    ],
)
async def test_a_body_over_the_limit_is_refused_before_its_end(echo: Echo, streams: Streams, sent: bytes) -> None:
    reader, writer = streams
    writer.write(sent)
    status, head, body = await answered(reader)
    assert (status, orjson.loads(body)["instance"]) == (413, "named")
    assert b"\r\nconnection: close\r\n" in head
    assert await reader.read() == b""
    assert echo.begun == []


async def test_a_body_that_does_not_arrive_is_timed_out(echo: Echo, streams: Streams) -> None:
    reader, writer = streams
    writer.write(CHUNKED + b"1\r\n1\r\n")
    status, head, body = await answered(reader)
    assert (status, orjson.loads(body)["instance"]) == (408, "named")
    assert b"\r\nretry-after: 1\r\n" in head
    assert await reader.read() == b""


async def test_a_body_has_its_time_from_when_it_is_its_turn(echo: Echo, streams: Streams) -> None:
    echo.holding = True
    reader, writer = streams
    writer.write(request("POST", PATH, b"1") + CHUNKED + b"1\r\n2\r\n")
    first = await echo.held.get()
    await asyncio.sleep(1.5 * DEADLINE_S)
    echo.answer(first)
    assert (await answered(reader))[2] == b"1"
    writer.write(b"0\r\n\r\n")
    echo.answer(await echo.held.get())
    assert (await answered(reader))[2] == b"2"
    assert echo.begun == [b"1", b"2"]


async def test_a_body_that_does_not_arrive_when_it_is_its_turn_is_timed_out(echo: Echo, streams: Streams) -> None:
    echo.holding = True
    reader, writer = streams
    writer.write(request("POST", PATH, b"1") + CHUNKED + b"1\r\n2\r\n")
    echo.answer(await echo.held.get())
    assert [(await answered(reader))[0] for _ in range(2)] == [200, 408]


@pytest.mark.parametrize("follows", [b"no HTTP\r\n\r\n", CHUNKED + b"zz\r\n", CHUNKED + b"65\r\n" + b"1" * 101])
async def test_whole_requests_are_answered_before_what_follows_ends_the_connection(
    echo: Echo, streams: Streams, follows: bytes
) -> None:
    echo.holding = True
    reader, writer = streams
    writer.write(b"".join(request("POST", PATH, body) for body in numbered(2)) + follows)
    heads = []
    for body in numbered(2):
        echo.answer(await echo.held.get())
        _, head, found = await answered(reader)
        assert found == body
        heads.append(b"\r\nconnection: close\r\n" in head)
    assert heads == [False, True]
    assert await reader.read() == b""


@pytest.mark.parametrize(("version", "connection"), [(b"1.0", b"keep-alive"), (b"1.1", b"close")])
async def test_the_last_answer_on_a_connection_says_so(streams: Streams, version: bytes, connection: bytes) -> None:
    reader, writer = streams
    head = HEAD.replace(b"1.1", version) + b"connection: %b\r\ncontent-length: 1\r\n\r\n1" % connection
    writer.write(head)
    _, head, _ = await answered(reader)
    assert b"\r\nconnection: close\r\n" in head
    assert await reader.read() == b""


async def test_a_service_that_closes_ends_each_connection_with_its_answer(echo: Echo, port: int) -> None:
    async with Connection(port) as connection:
        await connection.send(request("POST", PATH, b"1"))
        echo.closing = True
        _, head, _ = await connection.exchange(request("POST", PATH, b"1"))
    assert b"\r\nconnection: close\r\n" in head


async def test_only_connections_without_a_request_are_closed_as_idle(echo: Echo) -> None:
    closed = asyncio.Event()

    class Watched(BoundedProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            closed.set()

    config, state = Config(echo, interface="asgi3", proxy_headers=False, lifespan="off"), ServerState()  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    made: list[BoundedProtocol] = []

    def protocol() -> BoundedProtocol:
        made.append(Watched(config, state, {}, deadline_s=60.0, connections=9))
        return made[-1]

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        echo.holding = True
        writer.write(request("POST", PATH, b"1"))
        exchange = await echo.held.get()
        made[0].close_if_idle(loop.time() + 1.0)
        echo.answer(exchange)
        assert (await answered(reader))[0] == 200
        made[0].close_if_idle(loop.time() - 1.0)
        assert not closed.is_set()
        made[0].close_if_idle(loop.time() + 1.0)
        assert await reader.read() == b""
        writer.close()
        await closed.wait()


@pytest.mark.parametrize(
    ("method", "url", "found"),
    [
        (b"POST", b"/v1/sessions/a-1/observations", Target("a-1", b"")),
        (b"POST", b"/v1/sessions/a/observations?create=true&x=%41", Target("a", b"create=true&x=%41")),
        (b"POST", b"/v1/sessions/a%20b/observations?create=true", Target("a b", b"create=true")),
        (b"POST", b"http://host/v1/sessions/a/observations?x", Target("a", b"x")),
        (b"POST", b"/v1/sessions/a%2Fb/observations", None),
        (b"POST", b"/v1/sessions/a/observations/", None),
        (b"POST", b"/v1/sessions/a:reset", None),
        (b"GET", b"/v1/sessions/a/observations", None),
    ],
)
def test_what_the_first_line_asks_for(method: bytes, url: bytes, found: Target | None) -> None:
    assert target(method, url) == found
