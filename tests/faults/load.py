"""A load under kill -9: every acknowledged observation is there once, none twice, with the numbers of an offline fold.

    python -m tests.faults.load --observations 200000 --connections 64 --sessions 5000 --kills 10 --seed 1

Starts the service in a temporary folder, with its own embedded store or over a server set by URL, posts made-up series,
kills processes at random moments and starts them again within a second, while every client sends again what was not
acknowledged. In the end each session's history, answers and stored state are compared, bit by bit, with a fold through
the model's runtime alone.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
import uvloop

from service.app import roots
from service.sessions.registry import LoadedModel, Registry
from service.settings import Settings
from service.storage.store import SessionStore
from tests.deployments import ENGINES, Server, servers
from tests.faults.processes import Running, Service, service, still_alive, wait_for_another_store
from tests.faults.series import Series, folded, made_up
from tests.faults.slow_fsync import slow_fsync
from tests.faults.traffic import Traffic
from tests.faults.wire import Connection, request

TARGETS = ("service", "group", "store", *ENGINES)
RESTART_WITHIN_S = 1.0
PROGRESS_S = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    Attributes:
        target: what to kill, one of TARGETS; an engine is a server of the tests that the service is given by URL.
        fsync_ms: how much longer each fsync takes.
    """

    observations: int
    sessions: int
    connections: int
    kills: int
    seed: int
    target: str = "service"
    fsync_ms: int = 0


@dataclass(slots=True)
class Findings:
    """What was seen; `wrong` and `left_behind` are empty if all is well.

    Attributes:
        seconds: from the first request to the last acknowledgement, restarts included.
        retried: observations sent again, for want of an answer or because the service asked for it.
        left_behind: processes that outlived the kill of the service that had started them.
    """

    acknowledged: int = 0
    seconds: float = 0.0
    retried: int = 0
    kills: int = 0
    checked: int = 0
    wrong: list[str] = field(default_factory=list)
    left_behind: list[Running] = field(default_factory=list)

    def __str__(self) -> str:
        rate = self.acknowledged / max(self.seconds, 1e-9)
        return (
            f"{self.acknowledged} acknowledged in {self.seconds:.1f} s ({rate:.0f}/s), {self.kills} kills, "
            f"{self.retried} sent again, {self.checked} checked bit by bit: {len(self.wrong)} wrong, "
            f"{len(self.left_behind)} processes left behind"
        )


async def run(plan: Plan) -> Findings:
    """Start the service, load it, kill it, and compare what it holds."""
    if plan.sessions > plan.observations:
        raise ValueError("there must be an observation for each session at least")
    series = made_up(np.random.default_rng(plan.seed), plan.sessions, plan.observations // plan.sessions)
    findings = Findings()
    slowed = slow_fsync(plan.fsync_ms) if plan.fsync_ms else nullcontext()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hs-load-")))
        stack.enter_context(slowed)
        given: list[Server] = []
        if plan.target in ENGINES:
            given = stack.enter_context(servers([Server(ENGINES[plan.target], folder / "server")]))
        url = f"redis://127.0.0.1:{given[0].port}/0" if given else None
        running = stack.enter_context(service(folder, url))
        await running.until_ready()
        traffic = Traffic(running.port, series, connections=plan.connections, seed=plan.seed)
        begun = time.monotonic()
        watch = asyncio.create_task(_report(plan, traffic))
        async with asyncio.TaskGroup() as group:
            group.create_task(traffic.run())
            group.create_task(_kill(plan, running, given, traffic, findings))
        watch.cancel()
        findings.seconds = time.monotonic() - begun
        findings.acknowledged, findings.wrong = traffic.acknowledged, traffic.wrong
        findings.retried = traffic.lost + traffic.refused + traffic.left
        await compare(running, series, findings)
    return findings


async def _kill(plan: Plan, running: Service, given: Sequence[Server], traffic: Traffic, findings: Findings) -> None:
    """Kill at random moments of the load, and have everything running again before the next one."""
    chance = random.Random(plan.seed)
    total = plan.observations // plan.sessions * plan.sessions
    moments = sorted(chance.sample(range(1, total), plan.kills))
    for moment in moments:
        await traffic.until(moment)
        await asyncio.sleep(chance.uniform(0.0, 0.05))  # the waves stand anywhere between request and answer
        findings.kills += 1
        if given:
            await _restart(given, chance)
            before: set[Running] = set()
        else:
            before = await _kill_processes(plan.target, running, chance)
        await running.until_ready()
        findings.left_behind += await asyncio.to_thread(still_alive, before, 0.0)


async def _restart(given: Sequence[Server], chance: random.Random) -> None:
    for server in given:
        server.kill()
    await asyncio.sleep(chance.uniform(0.0, RESTART_WITHIN_S))
    for server in given:
        await asyncio.to_thread(server.start)


async def _kill_processes(target: str, running: Service, chance: random.Random) -> set[Running]:
    """Kill what the service is made of and see it started again; returns what may not live on."""
    before, store = running.processes, running.store_pid
    running.kill(target)
    if target == "store":
        await asyncio.to_thread(wait_for_another_store, running, store)
        return {process for process in before if process.pid == store}
    await asyncio.sleep(chance.uniform(0.0, RESTART_WITHIN_S))
    running.start()
    return before


async def _report(plan: Plan, traffic: Traffic) -> None:
    while True:
        await asyncio.sleep(PROGRESS_S)
        print(f"{traffic.acknowledged} of {plan.observations} acknowledged", file=sys.stderr, flush=True)


async def compare(running: Service, series: Sequence[Series], findings: Findings) -> None:
    """Compare what the service answered, shows and stores with an offline fold."""
    loaded = serving_model()
    queue = list(series)
    async with asyncio.TaskGroup() as group:
        for _ in range(16):
            group.create_task(_compare_histories(running.port, queue, findings))
    states, issued = await asyncio.to_thread(folded, loaded.model, series)
    for one, right in zip(series, issued, strict=True):
        findings.wrong += one.wrong_answers(right)
    names = [one.session for one in series]
    async with SessionStore.open(running.store_url, timeout_s=30.0) as store:
        rows = (await store.read(names, loaded.layout.live_bytes)).rows
    stored = rows[:, -loaded.spec.state_bytes :]
    different = np.flatnonzero((stored != states).any(axis=1)).tolist()
    findings.wrong += [f"{names[row]}: the stored state is not the offline fold's" for row in different]


async def _compare_histories(port: int, queue: list[Series], findings: Findings) -> None:
    async with Connection(port) as connection:
        while queue:
            one = queue.pop()
            status, body = await connection.send(request("GET", one.path))
            if status == 503:  # a server that has just come back may still be slow
                queue.append(one)
                await asyncio.sleep(RESTART_WITHIN_S)
                continue
            if status != 200:
                findings.wrong.append(f"{one.session}: its history is answered with {status}: {body.decode()}")
                continue
            records = orjson.loads(body)["observations"]
            findings.wrong += one.wrong_records(records)
            findings.checked += len(records)


def serving_model() -> LoadedModel:
    """The model that a session gets which names none, loaded as the service does."""
    settings = Settings()
    return Registry.load(roots(settings), settings.default_model).default


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observations", type=int, default=200_000)
    parser.add_argument("--sessions", type=int, default=5000, help="at most 64 observations each, which are retained")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--target", choices=TARGETS, default="service", help="what is killed")
    parser.add_argument("--fsync-ms", type=int, default=0, help="how much longer each fsync takes")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    plan = Plan(**vars(parser.parse_args()))
    print(plan, flush=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        findings = runner.run(run(plan))
    print("\n".join([*findings.wrong[:10], f"seed {plan.seed}: {findings}"]))
    sys.exit(bool(findings.wrong or findings.left_behind))


if __name__ == "__main__":
    main()
