"""The stand-in answers as a real server does: 10,000 random sequences of commands, and what they leave behind."""

from collections.abc import Iterator

import pytest
import redis

from tests.deployments import Server as RealServer

SEQUENCES = 10_000
PARTS = 10
KEYS = (b"a", b"b", b"c")
FIELDS = (b"f", b"g", b"h")
FAR_MS = 4_000_000_000_000


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    server = RealServer(server_binary(), tmp_path_factory.mktemp("real") / "server", "--appendfsync", "no")
    server.start()
    try:
        with redis.Redis(port=server.port, protocol=2) as client:
            client.set_response_callback("EVALSHA", bytes_of)
            yield client
    finally:
        server.kill()


def bytes_of(reply: object, **options: object) -> object:
    return reply
