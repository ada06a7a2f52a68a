"""What a server's fsync policy loses when it is killed while its disk is slow.

    python -m tests.faults.policies --policy everysec --rounds 6 --fsync-ms 1500

In each round the service posts to a server of its own, the server is killed with -9 while observations are on their
way, and started again over the same files; then each session is asked how many of its acknowledged observations it has.
A kill of one process leaves what it had written to the operating system; lost is what it held back behind a slow fsync.
"""

import argparse
import asyncio
import random
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import uvloop

from tests.deployments import ENGINES, Server
from tests.faults.processes import Service, service
from tests.faults.series import Series, made_up
from tests.faults.slow_fsync import slow_fsync
from tests.faults.traffic import Traffic
from tests.faults.wire import get

POLICIES = ("always", "everysec")
SESSIONS, STEPS, CONNECTIONS = 64, 60, 16
TRAFFIC_S = (2.0, 4.0)


@dataclass(frozen=True, slots=True)
class Round:
    """Observations that were acknowledged before the kill, and those of them that were gone after it."""

    acknowledged: int
    lost: int


async def run(engine: str, policy: str, *, rounds: int, fsync_ms: int, seed: int) -> AsyncGenerator[Round, None]:
    """Kill the server so many times; nothing is posted between a kill and the count. Close it (`aclosing`)."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="hs-policy-") as folder, slow_fsync(fsync_ms):
        server = Server(ENGINES[engine], Path(folder) / "server", "--appendfsync", policy)
        server.start()
        try:
            with service(Path(folder), f"redis://127.0.0.1:{server.port}/0") as running:
                await running.until_ready()
                for number in range(rounds):
                    yield await _round(server, running, chance, f"round{number}-")
        finally:
            server.kill()


async def _round(server: Server, running: Service, chance: random.Random, prefix: str) -> Round:
    seed = chance.randrange(2**31)
    series = made_up(np.random.default_rng(seed), SESSIONS, STEPS, prefix=prefix)
    traffic = Traffic(running.port, series, connections=CONNECTIONS, seed=seed)
    posting = asyncio.create_task(traffic.run())
    await asyncio.wait([posting], timeout=chance.uniform(*TRAFFIC_S))
    server.kill()
    posting.cancel()
    await asyncio.wait([posting])
    await asyncio.to_thread(server.start)
    await running.until_ready()
    return Round(traffic.acknowledged, await _lost(running.port, series))


async def _lost(port: int, series: Sequence[Series]) -> int:
    lost = 0
    for one in series:
        status, body = await get(port, f"/v1/sessions/{one.session}")
        if status not in (200, 404):
            raise AssertionError(f"{one.session}: {status} {body.decode()}")
        lost += max(0, one.acknowledged - (orjson.loads(body)["step"] if status == 200 else 0))
    return lost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=ENGINES, default="redis")
    parser.add_argument("--policy", choices=POLICIES, default="everysec")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--fsync-ms", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_show(**vars(given)))


async def _show(engine: str, policy: str, rounds: int, fsync_ms: int, seed: int) -> None:
    losing = 0
    async with aclosing(run(engine, policy, rounds=rounds, fsync_ms=fsync_ms, seed=seed)) as killed:
        async for one in killed:
            print(f"{one.lost} of {one.acknowledged} acknowledged observations lost", flush=True)
            losing += one.lost > 0
    print(f"seed {seed}: {engine}, appendfsync {policy}: lost in {losing} of {rounds} rounds")


if __name__ == "__main__":
    main()
