"""SIGTERM under load: in-flight requests are answered, nothing acknowledged is lost, the exit status is 0.

    python -m tests.faults.stops --times 20 --seed 1

Stops the service at random moments while clients post, and starts it again each time. In the end histories, answers and
stored states are compared, bit by bit, with an offline fold.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import uvloop

from tests.faults.load import Findings, compare
from tests.faults.processes import Service, service
from tests.faults.series import made_up
from tests.faults.traffic import Traffic

STEPS = 40
PER_STOP = 1000
"""Observations for each stop, so that all of them come under load."""


@dataclass(slots=True)
class Stops:
    """`statuses`: of the service's exits."""

    statuses: list[int] = field(default_factory=list)
    found: Findings = field(default_factory=Findings)

    def __str__(self) -> str:
        return (
            f"exit statuses {self.statuses}; {self.found.acknowledged} acknowledged, {self.found.retried} sent again, "
            f"{self.found.checked} checked bit by bit: {len(self.found.wrong)} wrong"
        )


async def run(times: int, seed: int, *, per_stop: int = PER_STOP, **settings: str) -> Stops:
    """Stop and start the service so many times under load."""
    chance, stops = random.Random(seed), Stops()
    series = made_up(np.random.default_rng(seed), times * per_stop // STEPS, STEPS)
    moments = [(number + chance.uniform(0.1, 0.9)) * per_stop for number in range(times)]
    with tempfile.TemporaryDirectory(prefix="hs-stops-") as folder, service(Path(folder), **settings) as running:
        await running.until_ready()
        traffic = Traffic(running.port, series, connections=64, seed=seed)
        async with asyncio.TaskGroup() as group:
            group.create_task(traffic.run())
            group.create_task(_stop(running, traffic, moments, stops))
        stops.found.acknowledged, stops.found.wrong = traffic.acknowledged, traffic.wrong
        stops.found.retried = traffic.lost + traffic.refused + traffic.left
        await compare(running, series, stops.found)
    return stops


async def _stop(running: Service, traffic: Traffic, moments: list[float], stops: Stops) -> None:
    for moment in moments:
        await traffic.until(round(moment))
        stops.statuses.append(await asyncio.to_thread(running.stop))
        running.start()
        await running.until_ready()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--workers", default="1")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        stops = runner.run(run(given.times, given.seed, workers=given.workers))
    print("\n".join([*stops.found.wrong[:10], f"seed {given.seed}: {stops}"]))
    sys.exit(bool(stops.found.wrong or any(stops.statuses)))


if __name__ == "__main__":
    main()
