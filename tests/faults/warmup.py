"""Latency of single observations while a long warm-up runs, beside their latency without one, in turn.

    python -m tests.faults.warmup --seed 1
"""

import argparse
import asyncio
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
import uvloop

from tests.faults.processes import service
from tests.faults.wire import Connection, request

STEPS = 20_000
ROUNDS = 5
CLIENTS = 8
PAUSE_S = 0.01
"""Between an answer and its client's next observation."""


@dataclass(slots=True)
class Latencies:
    """Of single observations, in seconds: `alone`, and `beside` a warm-up that took `warm_up_s` in each round."""

    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    warm_up_s: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        alone, beside = (1000 * np.percentile(found, [50, 99]) for found in (self.alone, self.beside))
        return (
            f"alone p50 {alone[0]:.2f}, p99 {alone[1]:.2f} ms ({len(self.alone)}); beside a warm-up p50 "
            f"{beside[0]:.2f}, p99 {beside[1]:.2f} ms ({len(self.beside)}); p99 ratio "
            f"{beside[1] / alone[1]:.2f}; a warm-up took {np.median(self.warm_up_s):.1f} s"
        )


class Posting:
    """Clients that each post an observation, wait for the answer and a moment, and post the next.

    Attributes:
        took: latencies, in seconds; None = they are not kept.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.took: list[float] | None = None

    async def run(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(CLIENTS)))

    async def _client(self, number: int) -> None:
        path = f"/v1/sessions/single-{number}/observations?create=true"
        async with Connection(self._port) as connection:
            while True:
                begun = time.monotonic()
                status, body = await connection.send(request("POST", path, b'{"value": 12.5}'))
                assert status in (200, 201), body
                if self.took is not None:
                    self.took.append(time.monotonic() - begun)
                await asyncio.sleep(PAUSE_S)


async def run(seed: int, *, rounds: int = ROUNDS, steps: int = STEPS) -> Latencies:
    """Rounds of both, in turn and as long as each other."""
    found = Latencies()
    values = np.random.default_rng(seed).lognormal(3.0, 0.5, steps).round(2).tolist()
    body = orjson.dumps({"observations": [{"value": value} for value in values]})
    with tempfile.TemporaryDirectory(prefix="hs-warmup-") as folder, service(Path(folder)) as running:
        await running.until_ready()
        posting = Posting(running.port)
        clients = asyncio.create_task(posting.run())
        await asyncio.sleep(1.0)
        async with Connection(running.port, limit_s=120.0) as connection:
            for number in range(rounds):
                begun, posting.took = time.monotonic(), found.beside
                status, answer = await connection.send(request("PUT", f"/v1/sessions/long-{number}", body))
                assert status == 201, answer
                found.warm_up_s.append(time.monotonic() - begun)
                posting.took = found.alone
                await asyncio.sleep(found.warm_up_s[-1])
        clients.cancel()
        await asyncio.wait([clients])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(given.seed, rounds=given.rounds, steps=given.steps))
    print(f"seed {given.seed}: {found}")


if __name__ == "__main__":
    main()
