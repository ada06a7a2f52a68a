"""A bad network between the service and its server: nothing is lost, folded twice, late, or left open.

    python -m tests.faults.network --observations 20000 --seed 1

For each fault of the network in turn, clients post made-up series while a part of the service's commands is hit. Then
the network is well again, the service must be ready, and every session's history, answers and stored state are
compared, bit by bit, with an offline fold.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import uvloop

from service.storage.embedded import server_binary
from service.storage.exchange import MAX_CONNECTIONS, MAX_PROBES
from tests.deployments import Server, servers
from tests.faults.load import Findings, compare
from tests.faults.processes import service
from tests.faults.proxy import Fault, Proxy, proxy
from tests.faults.series import made_up
from tests.faults.traffic import Traffic

SLOW = "slow"
"""Not a fault of single commands: every piece is late, and the line is narrow."""
WAYS = (SLOW, *(fault.value for fault in Fault))
CHANCE, LATENCY_S, BYTES_PER_S = 0.05, 0.01, 2e6
CONNECTIONS, PER_SESSION = 16, 20
DEADLINE_S, STORE_TIMEOUT_S = 1.0, 0.5
LATE_S = 10 * DEADLINE_S
"""An answer later than this was not given at its deadline, however busy the machine."""
POOLED = MAX_CONNECTIONS + MAX_PROBES
"""Most connections that the service may keep to a server."""


@dataclass(slots=True)
class Seen:
    """What was seen; `wrong` is empty if all is well. `dealt`: how many commands each fault hit."""

    acknowledged: int = 0
    retried: int = 0
    slowest_s: float = 0.0
    checked: int = 0
    dealt: Counter[Fault] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        dealt = ", ".join(f"{count} x {fault.value}" for fault, count in self.dealt.items()) or "no fault"
        return (
            f"{self.acknowledged} acknowledged under {dealt}, {self.retried} sent again, the slowest request took "
            f"{self.slowest_s:.2f} s; {self.checked} checked bit by bit: {len(self.wrong)} wrong"
        )


async def run(way: str, observations: int, seed: int) -> Seen:
    """Post over a network that fails in one of WAYS, and compare what the service holds."""
    seen = Seen()
    series = made_up(np.random.default_rng(seed), observations // PER_SESSION, PER_SESSION)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hs-network-")))
        [server] = stack.enter_context(servers([Server(server_binary(), folder / "server")]))
        network = await stack.enter_async_context(proxy(server.port, seed=seed))
        limits = {"deadline_s": str(DEADLINE_S), "store_timeout_s": str(STORE_TIMEOUT_S)}
        running = stack.enter_context(service(folder, f"redis://127.0.0.1:{network.port}/0", **limits))
        await running.until_ready()
        _spoil(network, way)
        traffic = Traffic(running.port, series, connections=CONNECTIONS, seed=seed)
        await traffic.run()
        network.chances, network.latency_s, network.bytes_per_s = {}, 0.0, None
        await running.until_ready()
        seen.acknowledged, seen.slowest_s = traffic.acknowledged, traffic.slowest_s
        seen.retried = traffic.lost + traffic.refused + traffic.left
        seen.dealt, seen.wrong = network.dealt, traffic.wrong
        if network.open > POOLED:
            seen.wrong.append(f"the service keeps {network.open} connections to its server")
        if traffic.slowest_s > LATE_S:
            seen.wrong.append(f"a request took {traffic.slowest_s:.2f} s, its deadline was {DEADLINE_S:.2f} s")
        findings = Findings()
        await compare(running, series, findings)
        seen.checked = findings.checked
        seen.wrong += findings.wrong
    return seen


def _spoil(network: Proxy, way: str) -> None:
    if way == SLOW:
        network.latency_s, network.bytes_per_s = LATENCY_S, BYTES_PER_S
    else:
        network.chances = {Fault(way): CHANCE}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observations", type=int, default=20_000, help="for each way in which the network fails")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    given = parser.parse_args()
    wrong = 0
    for way in WAYS:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            seen = runner.run(run(way, given.observations, given.seed))
        print("\n".join([*seen.wrong[:10], f"{way}, seed {given.seed}: {seen}"]), flush=True)
        wrong += len(seen.wrong)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
