"""A network that ends connections in the middle of what they carry."""

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

CHUNK = 65536


class Network:
    """Forwards connections to a service, and ends each of them after some bytes of answers.

    Attributes:
        url: where it is.
        cuts: how many connections it has ended.
    """

    def __init__(self, upstream: str, most_bytes: int) -> None:
        self.url = ""
        self.cuts = 0
        self.most_bytes = most_bytes
        self._upstream = urlsplit(upstream).port
        self._random = random.Random(1)

    def move(self, upstream: str) -> None:
        """From now on, connections lead to another service."""
        self._upstream = urlsplit(upstream).port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        answers, upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
        left = self._random.randint(1, self.most_bytes)
        up = asyncio.create_task(self._pass_on(reader, upstream))
        try:
            while data := await answers.read(min(left, CHUNK)):
                writer.write(data)
                await writer.drain()
                left -= len(data)
                if not left:
                    self.cuts += 1
                    break
        except OSError:
            pass
        finally:
            up.cancel()
            upstream.transport.abort()
            writer.transport.abort()

    @staticmethod
    async def _pass_on(reader: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                to.write(data)
                await to.drain()
        to.close()


@contextmanager
def cutting(upstream: str, most_bytes: int) -> Iterator[Network]:
    """Such a network in front of a service, on a thread of its own."""
    network, loop, started = Network(upstream, most_bytes), asyncio.new_event_loop(), threading.Event()
    end = asyncio.Event()

    async def run() -> None:
        async with await asyncio.start_server(network.serve, "127.0.0.1", 0) as server:
            network.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            started.set()
            await end.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    started.wait()
    try:
        yield network
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()
