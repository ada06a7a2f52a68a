"""The store gone for a while, hung or killed: the service stays alive, says that it is not ready, and recovers alone.

    python -m tests.faults.outage --seconds 60 --seed 1
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import uvloop

from service.storage.embedded import server_binary
from tests.deployments import Server
from tests.faults.processes import Service, service
from tests.faults.wire import Connection, request

WAYS = ("hung", "killed")
LOOK_S = 0.1
LIMIT_S = 30.0
"""How long a change is waited for before it counts as missing."""


@dataclass(slots=True)
class Findings:
    """One outage.

    Attributes:
        live: answers to the liveness probe, by status, throughout.
        down_s, up_s: until readiness followed the store down, and up again.
        posts: answers to observations posted meanwhile, by status.
        lost: observations acknowledged and then missing.
    """

    way: str
    live: Counter[int] = field(default_factory=Counter)
    down_s: float = 0.0
    up_s: float = 0.0
    posts: Counter[int] = field(default_factory=Counter)
    lost: int = 0


class Watch:
    """Looks at liveness and posts observations all the while."""

    def __init__(self, port: int, findings: Findings) -> None:
        self._port = port
        self._findings = findings
        self.acknowledged = 0

    async def run(self) -> None:
        await asyncio.gather(self._look(), self._post())

    async def _look(self) -> None:
        async with Connection(self._port) as connection:
            while True:
                status, _ = await connection.send(request("GET", "/health/live"))
                self._findings.live[status] += 1
                await asyncio.sleep(LOOK_S)

    async def _post(self) -> None:
        path = f"/v1/sessions/{self._findings.way}/observations?create=true"
        async with Connection(self._port) as connection:
            while True:
                body = orjson.dumps({"value": 1.0, "step": self.acknowledged + 1})
                status, _ = await connection.send(request("POST", path, body))
                self._findings.posts[status] += 1
                self.acknowledged += status in (200, 201)
                await asyncio.sleep(LOOK_S)


async def run(seconds: float, way: str) -> Findings:
    """Take the store away for so long, and give it back."""
    findings = Findings(way)
    with tempfile.TemporaryDirectory(prefix="hs-outage-") as folder:
        server = Server(server_binary(), Path(folder) / "server")
        server.start()
        try:
            with service(Path(folder), f"redis://127.0.0.1:{server.port}/0") as running:
                await running.until_ready()
                watch = Watch(running.port, findings)
                watching = asyncio.create_task(watch.run())
                await asyncio.sleep(1.0)
                _take_away(server, way)
                findings.down_s = await _until_readiness_is(running, 503)
                await asyncio.sleep(seconds - findings.down_s)
                await asyncio.to_thread(_give_back, server, way)
                findings.up_s = await _until_readiness_is(running, 200)
                await asyncio.sleep(1.0)
                watching.cancel()
                await asyncio.wait([watching])
                # One whose answer was still to come when the watch ended may be there as well.
                findings.lost = max(watch.acknowledged - await _step(running.port, way), 0)
        finally:
            server.kill()
    return findings


def _take_away(server: Server, way: str) -> None:
    if way == "hung":
        os.kill(server.pid, signal.SIGSTOP)
    else:
        server.kill()


def _give_back(server: Server, way: str) -> None:
    if way == "hung":
        os.kill(server.pid, signal.SIGCONT)
    else:
        server.start()


async def _until_readiness_is(running: Service, status: int) -> float:
    """Seconds until a probe was answered so."""
    begun = time.monotonic()
    async with Connection(running.port) as connection:
        while time.monotonic() < begun + LIMIT_S:
            if (await connection.send(request("GET", "/health/ready")))[0] == status:
                return time.monotonic() - begun
            await asyncio.sleep(0.05)
    raise AssertionError(f"readiness did not become {status}")


async def _step(port: int, session: str) -> int:
    async with Connection(port) as connection:
        status, body = await connection.send(request("GET", f"/v1/sessions/{session}"))
    assert status == 200, body
    step: int = orjson.loads(body)["step"]
    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31), help="nothing here is left to chance")
    given = parser.parse_args()
    failed = False
    for way in WAYS:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(run(given.seconds, way))
        print(f"{given.seconds:g} s {found}", flush=True)
        failed |= set(found.live) != {200} or max(found.down_s, found.up_s) > 2.0 or found.lost > 0
    sys.exit(failed)


if __name__ == "__main__":
    main()
