"""Requests that arrive badly: too slowly, too large, never, or as no HTTP at all."""

import asyncio
import gzip
import json
import os
import re
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import supervisor
from service.wire.receiving import HEAD_LIMIT, HEADERS_LIMIT
from tests.faults.wire import Connection, request
from tests.service.conftest import Service, serving

LIMIT = 8 * 2**20
HOT = "/v1/sessions/slow/observations?create=true"
CHUNKED = b"PUT /v1/sessions/a HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
DEADLINE_S = 1.0


@pytest.fixture(scope="module")
def hasty(service: Service) -> Iterator[int]:
    """The port of a service that waits a second for each request."""
    with serving(service.registry, service.store_url, deadline_s=DEADLINE_S) as quick:
        yield port(quick)


def port(service: Service) -> int:
    return int(service.url.rpartition(":")[2])


def answers(port: int, *sent: bytes) -> bytes:
    """Everything that is answered until the service closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        for part in sent:
            client.sendall(part)
        found = b""
        while part := client.recv(65536):
            found += part
        return found


def statuses(answered: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", answered)]


@pytest.mark.parametrize("begun", [b"G", b"GET /health/live HTTP/1.1\r\n", b"GET /health/live HTTP/1.1\r\nX-A: "])
def test_a_head_that_does_not_arrive_is_timed_out(hasty: int, begun: bytes) -> None:
    answered = answers(hasty, begun)
    assert statuses(answered) == [408]
    assert b"retry-after: 1" in answered
    assert json.loads(answered.partition(b"\r\n\r\n")[2])["type"] == "/problems/request-timeout"


def test_a_second_head_on_a_connection_is_timed_out_too(hasty: int) -> None:
    assert statuses(answers(hasty, request("GET", "/health/live"), b"GET /hea")) == [200, 408]


def test_a_head_that_trickles_is_timed_out(hasty: int) -> None:
    async def trickle() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", hasty)
        answer = asyncio.create_task(reader.read())
        writer.write(b"GET /health/live HTTP/1.1\r\n")
        while not answer.done():
            writer.write(b"x-slow: 1\r\n")
            await asyncio.sleep(0.1)
        writer.close()
        return answer.result()

    assert statuses(asyncio.run(trickle())) == [408]


def test_the_rest_of_a_body_that_was_refused_is_not_waited_for(hasty: int) -> None:
    head = b"POST /v1/sessions/a/observations HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 20\r\n\r\n"
    assert len(statuses(answers(hasty, head, b"{"))) == 1


def test_an_idle_connection_outlives_the_deadline_of_a_request(hasty: int) -> None:
    async def idle() -> int:
        async with Connection(hasty) as connection:
            await connection.send(request("GET", "/health/live"))
            await asyncio.sleep(1.5 * DEADLINE_S)
            return (await connection.send(request("GET", "/health/live")))[0]

    assert asyncio.run(idle()) == 200


@pytest.mark.parametrize("sent", [(), (request("GET", "/health/live"),), (request("POST", HOT, b'{"value": 1}'),)])
def test_a_connection_that_stays_idle_is_closed(
    service: Service, monkeypatch: pytest.MonkeyPatch, sent: tuple[bytes, ...]
) -> None:
    monkeypatch.setattr(supervisor, "KEEP_ALIVE_S", 0.2)
    monkeypatch.setattr(supervisor, "LOOK_FOR_IDLE_TICKS", 1)
    assert len(statuses(answers(port(service), *sent))) == len(sent)


async def test_a_thousand_slow_connections_hinder_nobody(service: Service) -> None:
    slow = [await asyncio.open_connection("127.0.0.1", port(service)) for _ in range(1000)]
    for number, (_, writer) in enumerate(slow):
        writer.write(b"GET /he" if number % 2 else CHUNKED + b"1\r\n{")
    async with Connection(port(service)) as connection:
        seen = [await connection.send(request("POST", HOT, b'{"value": 1}')) for _ in range(50)]
    assert {status for status, _ in seen} <= {200, 201}
    for _, writer in slow:
        writer.close()


def test_one_connection_more_than_the_limit_is_refused(service: Service) -> None:
    with (
        serving(service.registry, service.store_url, connection_limit=2) as small,
        socket.create_connection(("127.0.0.1", port(small))),
        socket.create_connection(("127.0.0.1", port(small))),
    ):
        answered = answers(port(small))
    assert statuses(answered) == [503]
    assert b"/problems/overloaded" in answered
    assert b"retry-after" in answered


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health/live HTTP/1.1\r\nX-Big: " + b"a" * HEAD_LIMIT + b"\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\n" + b"X-A: 1\r\n" * (HEADERS_LIMIT + 1) + b"\r\n",
        b"GET /" + b"a" * HEAD_LIMIT + b" HTTP/1.1\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nX-Endless: " + b"a" * 4 * HEAD_LIMIT,
        b"no HTTP at all\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nBad Name: 1\r\n\r\n",
        b"POST /health/live HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /health/live HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /health/live HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"zz\r\n",
    ],
)
def test_what_is_not_http_is_a_malformed_request(service: Service, head: bytes) -> None:
    answered = answers(port(service), head)
    assert statuses(answered) == [400]
    lines, _, content = answered.partition(b"\r\n\r\n")
    body = json.loads(content)
    assert body["type"] == "/problems/malformed-request"
    assert f"x-request-id: {body['instance']}".encode() in lines.splitlines()


def test_what_is_not_http_has_the_id_that_it_gives_and_not_that_of_the_request_before(service: Service) -> None:
    first = b"GET /health/live HTTP/1.1\r\nHost: a\r\nX-Request-Id: first\r\n\r\n"
    second = b"GET /health/live HTTP/1.1\r\nX-Request-Id: second\r\nHost: a\r\nBad Name: 1\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port(service)), timeout=30) as client:
        client.sendall(first)
        assert b"x-request-id: first" in client.recv(65536)
        client.sendall(second)
        answered = b"".join(iter(lambda: client.recv(65536), b""))
    assert (b"x-request-id: second" in answered, b'"instance":"second"' in answered) == (True, True)
    with socket.create_connection(("127.0.0.1", port(service)), timeout=30) as client:
        client.sendall(first)
        assert b"x-request-id: first" in client.recv(65536)
        client.sendall(b"\xff\r\n\r\n")
        answered = b"".join(iter(lambda: client.recv(65536), b""))
    assert (statuses(answered), b"first" in answered) == ([400], False)


def test_a_whole_request_is_answered_before_what_follows_it_is_refused(service: Service, name: str) -> None:
    path = f"/v1/sessions/{name}/observations?create=true"
    assert statuses(answers(port(service), request("POST", path, b'{"value": 1}') + b"no HTTP\r\n\r\n")) == [201]


def test_more_body_than_was_announced_is_not_taken_for_a_request(service: Service) -> None:
    path = HOT.replace("slow", "longer")
    sent = request("POST", path, b'{"value": 1}') + b'{"value": 2}'
    assert statuses(answers(port(service), sent)) == [201]


def test_a_large_request_may_be_followed_by_a_head_in_two_parts(service: Service, name: str) -> None:
    body = json.dumps({"observations": [{"value": number} for number in range(5000)]}).encode()

    async def send() -> list[int]:
        async with Connection(port(service)) as connection:
            first = await connection.send(request("PUT", f"/v1/sessions/{name}", body))
            reader, writer = await connection._opened()
            writer.write(b"GET /health/live HT")
            await asyncio.sleep(0.05)
            writer.write(b"TP/1.1\r\n\r\n")
            return [first[0], int((await reader.readline())[9:12])]

    assert asyncio.run(send()) == [201, 200]


def test_many_tiny_chunks_are_put_together(service: Service, name: str) -> None:
    body = json.dumps({"observations": [{"value": number} for number in range(2000)]}).encode()
    path = f"/v1/sessions/{name} HTTP/1.1\r\nConnection: close\r\n".encode()
    head = CHUNKED.replace(b"/v1/sessions/a HTTP/1.1\r\n", path)
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    answered = answers(port(service), head, chunks)
    assert statuses(answered) == [201]
    assert b'"step":2000' in answered


def test_chunks_without_end_are_refused_at_the_limit(service: Service) -> None:
    chunk = b"%x\r\n" % 2**20 + b" " * 2**20 + b"\r\n"
    assert statuses(answers(port(service), CHUNKED, *[chunk] * (LIMIT // 2**20 + 1))) == [413]


def test_a_mebibyte_that_inflates_to_a_gibibyte_costs_little_memory(service: Service) -> None:
    packed = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    mebibyte = packed.compress(b" " * 2**20) + packed.flush(zlib.Z_FULL_FLUSH)
    bomb = gzip.compress(b"")[:10] + mebibyte * 1024
    before = peak_bytes()
    head = b"PUT /v1/sessions/a HTTP/1.1\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
    answered = answers(port(service), head + b"Content-Length: %d\r\n\r\n" % len(bomb), bomb)
    assert statuses(answered) == [413]
    assert peak_bytes() - before < 8 * LIMIT


def peak_bytes() -> int:
    """The most memory that this process, which the service is part of, has ever held."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{os.getpid()}/status").read_text())
    assert found
    return 1024 * int(found[1])
