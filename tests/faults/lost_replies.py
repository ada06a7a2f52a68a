"""Replies to commits that never come: each retry finds its own success, through the whole service.

    python -m tests.faults.lost_replies --rounds 1000 --seed 1

In each round many sessions post at once. The reply to one commit of at least eight of them is swallowed on its way from
the server; each of these sessions is told that the outcome is unknown, sends the same again, and must be answered with
what had been stored. In the end every session is compared, bit by bit, with an offline fold.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
import uvloop

from service.storage.embedded import server_binary
from service.storage.store import COMMIT
from tests.deployments import Server, servers
from tests.faults.load import Findings, compare
from tests.faults.processes import service
from tests.faults.proxy import Fault, Proxy, proxy
from tests.faults.series import Series, made_up
from tests.faults.wire import Connection

SESSIONS, WAVE = 24, 8
PROGRESS = 100
COMMITS = COMMIT.command([b""], []).args[1]
"""What a command has in it that commits."""


@dataclass(slots=True)
class Seen:
    """What was seen; `wrong` is empty if all is well.

    Attributes:
        waves: commits whose reply was lost.
        lost, recognised: observations of them, and those that were answered as replayed when they came again.
    """

    waves: int = 0
    lost: int = 0
    recognised: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.waves} lost replies to commits of {WAVE} sessions at least: {self.recognised} of {self.lost} "
            f"observations recognised as applied, {len(self.wrong)} wrong"
        )


async def run(rounds: int, seed: int) -> Seen:
    """Lose a reply in each round, and compare what the service holds."""
    seen = Seen()
    series = made_up(np.random.default_rng(seed), SESSIONS, rounds + 1)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hs-lost-")))
        [server] = stack.enter_context(servers([Server(server_binary(), folder / "server")]))
        network = await stack.enter_async_context(proxy(server.port, seed=seed))
        running = stack.enter_context(service(folder, f"redis://127.0.0.1:{network.port}/0"))
        await running.until_ready()
        clients = [await stack.enter_async_context(Connection(running.port)) for _ in series]
        await asyncio.gather(*(_post(client, one, seen) for client, one in zip(clients, series, strict=True)))
        for number in range(rounds):
            await _round(network, clients, series, seen)
            if number % PROGRESS == PROGRESS - 1:
                print(f"{number + 1} of {rounds} rounds: {seen}", file=sys.stderr, flush=True)
        findings = Findings()
        await compare(running, series, findings)
        seen.wrong += findings.wrong
    return seen


async def _round(network: Proxy, clients: Sequence[Connection], series: Sequence[Series], seen: Seen) -> None:
    """Every session posts its next observation; the first commit of enough of them loses its reply."""
    hit = 0

    def large(command: bytes) -> bool:
        nonlocal hit
        keys = _keys(command)
        if hit or keys < WAVE:
            return False
        hit = keys
        return True

    network.aims_at, network.chances = large, {Fault.LOST_REPLY: 1.0}
    replayed = await asyncio.gather(*(_post(client, one, seen) for client, one in zip(clients, series, strict=True)))
    network.chances = {}
    seen.waves += hit > 0
    seen.lost += hit
    seen.recognised += sum(replayed)


def _keys(command: bytes) -> int:
    """Sessions that a command commits."""
    _, found, rest = command.partition(COMMITS)
    return int(rest.split(b"\r\n")[2]) if found else 0


async def _post(client: Connection, series: Series, seen: Seen) -> bool:
    """Post the next observation; returns whether it had to be sent again and was recognised."""
    request, unknown = series.next_request(), False
    while True:
        status, body = await client.send(request)
        if status in (200, 201):
            if fault := series.acknowledge(body):
                seen.wrong.append(fault)
            if client.replayed != unknown:
                seen.wrong.append(f"{series.session}: replayed {client.replayed}, but outcome unknown {unknown}")
            return client.replayed
        if orjson.loads(body)["type"] != "/problems/deadline-exceeded":
            raise AssertionError(f"{series.session}: {status} {body.decode()}")
        unknown = True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(run(given.rounds, given.seed))
    print("\n".join([*seen.wrong[:10], f"seed {given.seed}: {seen}"]))
    sys.exit(bool(seen.wrong or seen.recognised != seen.lost or seen.waves != given.rounds))


if __name__ == "__main__":
    main()
