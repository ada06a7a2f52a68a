"""Requests that are refused in the connection, before the application hears of them."""

import asyncio
import random
from collections.abc import AsyncIterator

import orjson
import pytest
from httptools import HttpRequestParser
from uvicorn.config import Config
from uvicorn.server import ServerState

from service.wire.exchange import Headers
from service.wire.problems import OVERLOADED, Overloaded, ServiceError
from service.wire.receiving import BoundedProtocol
from service.wire.turning_away import is_plain_post
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


HEAD = b"POST /v1/sessions/a/observations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
PLAIN = HEAD + b"Connection: keep-alive\r\nIdempotency-Key: a:b\r\nContent-Length: 2\r\nif-match: *\r\n\r\n12"


@pytest.mark.parametrize("packet", [PLAIN, PLAIN.lower().replace(b"post", b"POST").replace(b"http/", b"HTTP/")])
def test_a_whole_request_is_known_without_being_parsed(packet: bytes) -> None:
    assert is_plain_post(packet)
    assert whole_posts(packet) == [True]


@pytest.mark.parametrize(
    ("plain", "other"),
    [
        (b"12", b"1"),
        (b"12", b"123"),
        (b"12", b"12" + PLAIN),
        (b"POST", b"PUT"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"keep-alive", b"close"),
        (b"keep-alive", b"keep-alive, upgrade"),
        (b"Content-Length: 2", b"Content-Length: 2\r\nContent-Length: 2"),
        (b"Content-Length: 2\r\n", b""),
        (b"Content-Length: 2", b"Transfer-Encoding: chunked"),
        (b"Content-Length: 2", b"Content-Length: 2\r\nTransfer-Encoding: chunked"),
        (b"Content-Length: 2", b"Content-Length: +2"),
        (b"Content-Length: 2", b"Content-Length: 2\r\nExpect: 100-continue"),
        (b"Content-Length: 2", b"Content-Length: 2\r\nX-Request-Id: a"),
        (b"Content-Length: 2", b"Content-Length: 2\r\ntraceparent: a"),
        (b"Content-Length: 2", b"Content-Length: 2\r\n folded"),
        (b"Host: a", b"Host: a\nContent-Length: 9"),
        (b"Host: a", b"Host : a"),
        (b"Host: a", b"Host: \x00"),
        (b"/v1", b"/ v1"),
        (b"\r\n\r\n", b"\n\n"),
    ],
)
def test_what_is_not_plainly_one_whole_request_is_parsed(plain: bytes, other: bytes) -> None:
    assert plain in PLAIN
    assert not is_plain_post(PLAIN.replace(plain, other, 1))


PIECES = (
    *(b"POST ", b"/v1", b" HTTP/1.1", b"\r\n", b"\r\n\r\n", b"\n", b" ", b":", b"Host: a", b"content-length: ", b"0"),
    *(b"1", b"Connection: keep-alive", b"Connection: close", b"Transfer-Encoding: chunked", b"accept:", b"\xff", b"a"),
)


def test_what_is_plainly_one_whole_request_is_so_to_the_parser_too() -> None:
    """Packets put together and taken apart at random; some hundreds of them are plain."""
    chance, plain = random.Random(1), 0
    for _ in range(20_000):
        packet = PLAIN
        for _ in range(chance.randrange(4)):
            begin = chance.randrange(len(packet))
            packet = packet[:begin] + chance.choice(PIECES) + packet[begin + chance.choice((0, 0, 1, 1, 20)) :]
        if is_plain_post(packet):
            plain += 1
            assert whole_posts(packet) == [True], packet
    assert plain > 300


def whole_posts(packet: bytes) -> list[bool]:
    """Whether each POST that the parser finds leaves the connection open; one that is not whole is not among them."""
    found: list[bool] = []

    class Reader:
        def on_message_complete(self) -> None:
            assert parser.get_method() == b"POST"
            found.append(parser.should_keep_alive())

    parser = HttpRequestParser(Reader())
    parser.feed_data(packet)
    return found
