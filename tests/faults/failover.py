"""kill -9 of primaries under load: what is lost is told, what is sent again is folded once, and writes go on.

    python -m tests.faults.failover --deployment sentinel --kills 20 --durability replica --seed 1

Two services post to a group of servers at a steady rate; again and again a primary is killed, every other time after a
moment without its replicas, another takes its place, and the dead one comes back as a replica. Each client carries its
position in If-Match and, told that the store lost the tail, sends again from there. In the end every session's history,
answers and stored state are compared, bit by bit, with an offline fold.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import uvloop

from tests.deployments import Server, wait_for
from tests.faults.chains import SLOWEST_S, Chain
from tests.faults.load import Findings, compare
from tests.faults.processes import Service, service
from tests.faults.series import Series, Told, made_up
from tests.replicated import GROUPS, Replicated, cut_off

DURABILITIES = {
    "memory": ("--appendonly", "no"),
    "local": ("--appendonly", "yes", "--appendfsync", "always"),
    "replica": ("--appendonly", "no"),
}
"""How the servers are set up for what the service is asked to promise."""
SESSIONS, SERVICES = 50, 2
MAX_STEPS_PER_KILL = 400
RESUMED_WITHIN_S = 60.0
BETWEEN_S = (0.5, 2.0)
"""From one recovery to the next kill."""
CUT_OFF_S = (0.2, 0.5)
"""Before every other kill the primary is without its replicas for so long: what it takes then, nobody else has."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    Attributes:
        silent: the primary does not die until it is replaced, but falls silent, as a host that is cut off.
        rate: observations a second, of all clients.
    """

    deployment: str
    durability: str
    kills: int
    seed: int
    silent: bool = False
    rate: float = 200.0


@dataclass(slots=True)
class Seen:
    """What was seen; `wrong` is empty if all is well.

    Attributes:
        first_s, all_s: for each kill, seconds until the first and until every session of the dead primary was
            acknowledged a new observation.
        lost: for each kill, acknowledged observations that their clients were told are lost.
        slowest_s: the longest that any request took.
    """

    acknowledged: int = 0
    retried: int = 0
    checked: int = 0
    slowest_s: float = 0.0
    first_s: list[float] = field(default_factory=list)
    all_s: list[float] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.acknowledged} acknowledged, {len(self.all_s)} kills, {sum(self.lost)} acknowledged ones lost and "
            f"told so {self.lost}; writes resumed after {_spread(self.first_s)}, for every session after "
            f"{_spread(self.all_s)}; {self.retried} requests sent again, the slowest took {self.slowest_s:.1f} s; "
            f"{self.checked} checked bit by bit: {len(self.wrong)} wrong"
        )


async def run(plan: Plan) -> Seen:
    """Start the servers and the services, kill, and compare what they hold."""
    seen = Seen()
    values = made_up(np.random.default_rng(plan.seed), SESSIONS, MAX_STEPS_PER_KILL * (plan.kills + 1))
    with tempfile.TemporaryDirectory(prefix="hs-failover-") as name, ExitStack() as stack:
        folder = Path(name)
        group = stack.enter_context(GROUPS[plan.deployment](folder / "store", *DURABILITIES[plan.durability]))
        running = [stack.enter_context(service(folder, group.url, durability=plan.durability)) for _ in range(SERVICES)]
        for one in running:
            await one.until_ready()
        ports = [one.port for one in running]
        chains = [Chain(Series(one.session, Told.TIMESTAMP, one.values), ports) for one in values]
        for chain in chains:
            stack.callback(chain.close)
        await _load(plan, group, chains, seen)
        await _compare(running[0], chains, seen)
    return seen


async def _load(plan: Plan, group: Replicated, chains: Sequence[Chain], seen: Seen) -> None:
    """Post at the rate of the plan and kill meanwhile; then bring all sessions to the same length."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as clients:
        for chain in chains:
            clients.create_task(chain.run(len(chains) / plan.rate, stop))
        await _kill(plan, group, chains, seen)
        stop.set()
    await asyncio.to_thread(wait_for, group.whole, "every server in its place")
    length = max(chain.series.acknowledged for chain in chains)
    await asyncio.gather(*(chain.finish(length) for chain in chains))
    seen.acknowledged = sum(chain.acknowledgements for chain in chains)
    seen.retried = sum(chain.retried for chain in chains)
    seen.slowest_s = max(chain.slowest_s for chain in chains)
    seen.wrong += [fault for chain in chains for fault in chain.wrong]
    if seen.slowest_s > SLOWEST_S:
        seen.wrong.append(f"a request took {seen.slowest_s:.1f} s")


async def _kill(plan: Plan, group: Replicated, chains: Sequence[Chain], seen: Seen) -> None:
    chance = random.Random(plan.seed)
    await _resumed(chains, time.monotonic())
    for number in range(plan.kills):
        await asyncio.sleep(chance.uniform(*BETWEEN_S))
        primary = chance.choice(group.primaries())
        if number % 2 == 0:
            await asyncio.to_thread(cut_off, primary)
            await asyncio.sleep(chance.uniform(*CUT_OFF_S))
        lost = sum(chain.lost for chain in chains)
        held = [chain for chain in chains if group.holds(primary, _key(chain))]
        first_s, all_s = await _outlive(group, primary, held, chance, silent=plan.silent)
        seen.first_s.append(first_s)
        seen.all_s.append(all_s)
        seen.lost.append(sum(chain.lost for chain in chains) - lost)
        if all_s > RESUMED_WITHIN_S:
            seen.wrong.append(f"kill {number + 1}: writes resumed after {all_s:.1f} s")
        print(
            f"kill {number + 1} of {plan.kills}: writes resumed after {first_s:.2f} s, for all {len(held)} sessions "
            f"after {all_s:.2f} s; {seen.lost[-1]} lost",
            file=sys.stderr,
            flush=True,
        )


async def _outlive(
    group: Replicated, primary: Server, held: Sequence[Chain], chance: random.Random, *, silent: bool
) -> tuple[float, float]:
    """Kill or silence a primary, revive it once it is replaced, and wait until all is whole.

    Returns:
        Seconds until the first and until each of its sessions was acknowledged a new observation.
    """
    await asyncio.to_thread(primary.silence if silent else primary.kill)
    killed = time.monotonic()
    watch = asyncio.create_task(_resumed(held, killed))
    await asyncio.to_thread(wait_for, lambda: group.replaced(primary), "another primary")
    await asyncio.sleep(chance.uniform(0.1, 1.0))
    await asyncio.to_thread(primary.kill)
    await asyncio.to_thread(group.revive, primary)
    resumed = await watch
    await asyncio.to_thread(wait_for, group.whole, "every server in its place")
    return resumed


async def _resumed(held: Sequence[Chain], killed: float) -> tuple[float, float]:
    """Two acknowledgements each: the first may be that of the dead primary, whose reply was on its way."""
    targets = [(chain, chain.acknowledgements + 2) for chain in held]
    times = []
    while targets:
        await asyncio.sleep(0.005)
        left = [(chain, target) for chain, target in targets if chain.acknowledgements < target]
        times += [time.monotonic() - killed] * (len(targets) - len(left))
        targets = left
    return times[0], times[-1]


async def _compare(running: Service, chains: Sequence[Chain], seen: Seen) -> None:
    series = []
    for chain in chains:
        one, length = chain.series, chain.series.acknowledged
        whole = Series(one.session, one.told, one.values[:length])
        whole.issued, whole.forecasts = one.issued[:length], one.forecasts[:length]
        series.append(whole)
    findings = Findings()
    await compare(running, series, findings)
    seen.checked = sum(map(len, series))
    seen.wrong += findings.wrong


def _key(chain: Chain) -> bytes:
    return f"hs:{{default/{chain.series.session}}}".encode()


def _spread(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.1f} s (median; worst {max(seconds):.1f} s)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deployment", choices=GROUPS, default="sentinel")
    parser.add_argument("--durability", choices=DURABILITIES, default="local")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--silent", action="store_true", help="the primary falls silent instead of dying")
    parser.add_argument("--rate", type=float, default=200.0, help="observations a second")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    plan = Plan(**vars(parser.parse_args()))
    print(plan, flush=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(run(plan))
    print("\n".join([*seen.wrong[:10], f"seed {plan.seed}: {seen}"]))
    sys.exit(bool(seen.wrong))


if __name__ == "__main__":
    main()
