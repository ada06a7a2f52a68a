"""Packets that are known to be one whole request without being parsed: the parser must find the same in them."""

import random

import pytest
from httptools import HttpRequestParser

from service.wire import plain
from service.wire.exchange import Headers

HEAD = b"POST /v1/sessions/a/observations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
PLAIN = HEAD + b"Connection: keep-alive\r\nIdempotency-Key: a:b\r\nContent-Length: 2\r\nif-match: *\r\n\r\n12"
NAMES = b"X-Request-Id: a\r\ntraceparent:b\t \r\n"
NAMED = PLAIN.replace(b"Content-Length", NAMES + b"Content-Length")


@pytest.mark.parametrize("packet", [PLAIN, PLAIN.lower().replace(b"post", b"POST").replace(b"http/", b"HTTP/")])
def test_a_whole_request_is_known_without_being_parsed(packet: bytes) -> None:
    assert plain.is_nameless(packet)
    assert plain.read(packet) == parsed(packet)


def test_one_that_names_itself_is_read_but_not_refused_unread() -> None:
    found = plain.read(NAMED)
    assert found == parsed(NAMED)
    assert found is not None
    assert (found[1][b"x-request-id"], found[1][b"traceparent"]) == (b"a", b"b\t ")
    assert not plain.is_nameless(NAMED)


@pytest.mark.parametrize(
    ("part", "other"),
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
        (b"Content-Length: 2", b"Content-Length: 2\r\nOrigin: a"),
        (b"Content-Length: 2", b"Content-Length: 2\r\n folded"),
        (b"Host: a", b"Host: a\nContent-Length: 9"),
        (b"Host: a", b"Host : a"),
        (b"Host: a", b"Host: \x00"),
        (b"/v1", b"/ v1"),
        (b"\r\n\r\n", b"\n\n"),
    ],
)
def test_what_is_not_plainly_one_whole_request_is_parsed(part: bytes, other: bytes) -> None:
    assert part in PLAIN
    packet = PLAIN.replace(part, other, 1)
    assert not plain.is_nameless(packet)
    assert plain.read(packet) is None


def test_what_gives_a_header_twice_is_parsed() -> None:
    assert plain.read(PLAIN.replace(b"Host: a", b"Host: a\r\nhost: b")) is None


PIECES = (
    *(b"POST ", b"/v1", b" HTTP/1.1", b"\r\n", b"\r\n\r\n", b"\n", b" ", b":", b"Host: a", b"content-length: ", b"0"),
    *(b"1", b"Connection: keep-alive", b"Connection: close", b"Transfer-Encoding: chunked", b"accept:", b"\xff", b"a"),
    *(b"\t", b"X-Request-Id:"),
)


def test_what_is_plainly_one_whole_request_is_the_same_to_the_parser() -> None:
    """Packets put together and taken apart at random; some hundreds of them are plain."""
    chance, read = random.Random(1), 0
    for _ in range(20_000):
        packet = chance.choice((PLAIN, NAMED))
        for _ in range(chance.randrange(4)):
            begin = chance.randrange(len(packet))
            packet = packet[:begin] + chance.choice(PIECES) + packet[begin + chance.choice((0, 0, 1, 1, 20)) :]
        found = plain.read(packet)
        if found is not None:
            read += 1
            assert found == parsed(packet), packet
        if plain.is_nameless(packet):
            assert parsed(packet) is not None, packet
    assert read > 300


def parsed(packet: bytes) -> tuple[bytes, dict[bytes, bytes], bytes] | None:
    """The one POST that the parser finds, if it leaves the connection open; None where there are more or fewer."""
    found: list[tuple[bytes, dict[bytes, bytes], bytes] | None] = []

    class Reader:
        def on_message_begin(self) -> None:
            self.url, self.body = b"", b""
            self.headers: Headers = []

        def on_url(self, url: bytes) -> None:
            self.url += url

        def on_header(self, name: bytes, value: bytes) -> None:
            self.headers.append((name.lower(), value))

        def on_body(self, body: bytes) -> None:
            self.body += body

        def on_message_complete(self) -> None:
            kept = parser.get_method() == b"POST" and parser.should_keep_alive()
            found.append((self.url, dict(self.headers), self.body) if kept else None)

    parser = HttpRequestParser(Reader())
    parser.feed_data(packet)
    return found[0] if len(found) == 1 else None
