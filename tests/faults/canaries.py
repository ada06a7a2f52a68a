"""Clients that disconnect at random moments, with values that betray whose they are: no answer holds another's.

    python -m tests.faults.canaries --requests 20000 --seed 1
"""

import argparse
import asyncio
import os
import random
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import uvloop

from service.app import Application, create_app, roots
from service.sessions.registry import Registry
from service.settings import Settings
from service.storage.embedded import EmbeddedStore
from service.storage.store import SessionStore
from service.supervisor import GracefulServer, Stop, configured
from tests.deployments import free_port
from tests.faults.wire import LOST, get, request

CLIENTS = 64
SESSIONS_EACH = 8
CANARY = re.compile(rb"canary-(\d+)-")
LEAVES = 0.5
"""Share of the requests whose client hangs up."""


@dataclass(slots=True)
class Findings:
    """Requests that were answered and left; what was wrong; what the service still held when all clients had gone."""

    answered: int = 0
    left: int = 0
    wrong: list[str] = field(default_factory=list)
    in_use: int = -1
    waiting: int = -1

    def __str__(self) -> str:
        return (
            f"{self.answered} answered, {self.left} left; {len(self.wrong)} wrong; in the end {self.in_use} "
            f"connections to the store in use, {self.waiting} requests waiting"
        )


class Client:
    """One client with a number of its own, in the names, values, keys and request ids of all it sends."""

    def __init__(self, number: int, port: int, chance: random.Random, findings: Findings) -> None:
        self._number = number
        self._port = port
        self._chance = chance
        self._findings = findings
        self._steps = [0] * SESSIONS_EACH
        """Of each session, the step that the next observation is sent as: known, or left behind by one."""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, requests: int) -> None:
        for count in range(requests):
            await self._one(self._chance.randrange(SESSIONS_EACH), count)
        if self._streams is not None:
            self._streams[1].close()

    async def _one(self, session: int, count: int) -> None:
        name = f"canary-{self._number}-{session}"
        step = self._steps[session] + 1
        tag = f"canary-{self._number}-{count}"
        if self._chance.random() < 0.2:
            sent = request("GET", f"/v1/sessions/{name}/observations", x_request_id=tag)
        else:
            body = orjson.dumps({"value": self._value(session, step), "step": step})
            path = f"/v1/sessions/{name}/observations?create=true"
            sent = request("POST", path, body, x_request_id=tag, idempotency_key=f"{name}-{step}")
        try:
            reader, writer = await self._opened()
            if self._chance.random() < LEAVES:
                await self._leave(writer, sent)
                return
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
            answer = head + await reader.readexactly(size)
        except LOST as lost:
            self._findings.wrong.append(f"{name}: {lost!r}")
            self._streams = None
            return
        self._findings.answered += 1
        self._check(session, step, answer, tag)

    async def _leave(self, writer: asyncio.StreamWriter, sent: bytes) -> None:
        """Hang up in the midst of the request, at its end, or while it is worked on."""
        self._findings.left += 1
        whole = self._chance.random() < 0.7
        writer.write(sent if whole else sent[: self._chance.randrange(len(sent))])
        await asyncio.sleep(self._chance.choice([0, 0.0005, 0.002, 0.01]))
        writer.transport.abort()
        self._streams = None

    def _value(self, session: int, step: int) -> float:
        return self._number * 1e6 + session * 1e4 + step

    def _check(self, session: int, step: int, answer: bytes, tag: str) -> None:
        name = f"canary-{self._number}-{session}"
        status, body = int(answer[9:12]), orjson.loads(answer.partition(b"\r\n\r\n")[2])
        wrong = [f"canary {found!r}" for found in CANARY.findall(answer) if int(found) != self._number]
        if f"x-request-id: {tag}\r\n".encode() not in answer:
            wrong.append("another's request id")
        if status in (200, 201):
            records = [body["observed"]] if "observed" in body else body["observations"]
            if body["session"] != name:
                wrong.append("another's session")
            wrong += [f"value {one['value']}" for one in records if one["value"] != self._value(session, one["step"])]
            self._steps[session] = max(self._steps[session], *(one["step"] for one in records), 0)
        elif status not in (404, 503):
            wrong.append(f"status {status}")
        self._findings.wrong += [f"{name}, step {step}: {fault}: {answer!r}" for fault in wrong]

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        return self._streams


async def run(requests: int, seed: int) -> Findings:
    """Send so many requests to a service in this process, and look at what it holds afterwards."""
    findings, chance = Findings(), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="hs-canaries-") as folder, EmbeddedStore(Path(folder)) as store:
        async with _serving(store.url) as (app, port):
            clients = [Client(number, port, random.Random(chance.random()), findings) for number in range(CLIENTS)]
            await asyncio.gather(*(client.run(requests // CLIENTS) for client in clients))
            await _settle(app, findings)
    return findings


@asynccontextmanager
async def _serving(store_url: str) -> AsyncIterator[tuple[Application, int]]:
    settings = Settings(port=free_port(), store_url=store_url)
    registry = Registry.load(roots(settings), settings.default_model)
    connection = SessionStore.open(store_url, timeout_s=settings.store_timeout_s)
    clock = asyncio.get_running_loop().time
    app = create_app(settings, connection, registry, clock=clock, randomness=os.urandom)
    config = configured(settings, app)
    server = GracefulServer(config, lambda: None, Stop())
    serving = asyncio.create_task(server.serve([config.bind_socket()]))
    for _ in range(3000):
        if await _answers(settings.port):
            break
        await asyncio.sleep(0.01)
    try:
        yield app, settings.port
    finally:
        server.should_exit = True
        await serving


async def _answers(port: int) -> bool:
    try:
        return (await get(port, "/health/live"))[0] == 200
    except LOST:
        return False


async def _settle(app: Application, findings: Findings) -> None:
    """Until nothing is in use any more, or ten seconds after."""
    core = app.readiness.core
    assert core is not None
    for _ in range(100):
        pools = core.store.servers._pools.values()
        findings.in_use = sum(pool.in_use for pool in pools)
        findings.waiting = core.waves.waiting
        if not findings.in_use and not findings.waiting:
            return
        await asyncio.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        findings = runner.run(run(given.requests, given.seed))
    print("\n".join([*findings.wrong[:10], f"seed {given.seed}: {findings}"]))
    sys.exit(bool(findings.wrong or findings.in_use or findings.waiting))


if __name__ == "__main__":
    main()
