"""One run: a store, two workers, clients on four sessions, faults; everything follows from the seed."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from random import Random

from models.artifacts import artifact
from service.sessions.registry import LoadedModel, Registry
from service.settings import Settings
from service.storage.connection import ASKED_EVERY_S
from service.storage.durability import Demand, Durability
from tests.golden.publish_models import ROOT
from tests.simulation.chronicle import Chronicle, Offline, Violation
from tests.simulation.counting import Counting
from tests.simulation.faults import Faults
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Network
from tests.simulation.server import Server
from tests.simulation.stories import Keyed, Matched, Story
from tests.simulation.traffic import Traffic
from tests.simulation.worker import Call, Worker

REQUESTS = 200
"""At least, in each run."""
FAULTS = 5
"""That took effect at least, in each run."""
LONGEST_S = 3600.0
"""Of simulated time; a run that takes longer hangs."""
LOOKS = 0.2
"""How often a client looks at its session after it has done something."""
WORKER_LIVES_S = 8.0
"""On average, until a worker is killed."""


@dataclass(slots=True)
class Report:
    """What a run gave.

    Attributes:
        digest: of everything that was answered and committed, in order.
        trace: what was answered, of the session where a promise was broken (of all sessions if it is none's).
    """

    seed: int
    violations: list[str] = field(default_factory=list)
    requests: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    digest: str = ""
    trace: list[str] = field(default_factory=list)


@lru_cache
def loaded_model() -> LoadedModel:
    """A small model with random weights."""
    folder: Path = ROOT / "one-layer" / "1"
    return LoadedModel(artifact.load(folder), folder)


@lru_cache
def offline() -> Offline:
    return Offline(loaded_model())


def simulate(seed: int) -> Report:
    """Run one seed to its end."""
    report = Report(seed)
    loop = VirtualLoop()
    run = _Run(seed, loop)
    with _errors_logged(report.violations):
        try:
            loop.run_until_complete(asyncio.wait_for(run.whole(), LONGEST_S))
        except Exception as broken:  # whatever it is: no request may fail in a way that has no name
            if not run.chronicle.violations:
                report.violations.append(f"{type(broken).__name__}: {broken}")
        finally:
            run.end()
            loop.close()
    report.violations += run.chronicle.violations
    report.requests, report.answers, report.faults = run.traffic.requests, run.traffic.answers, run.faults.effective
    report.outcomes = run.outcomes
    report.digest = run.digest()
    if report.violations:
        concerned = [session for session in run.sessions if any(session in text for text in report.violations)]
        report.trace = [line for session, line in run.traffic.trace if not concerned or session in concerned]
    return report


class _Run:
    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self._loop = loop
        self._chance = Random(f"{seed}/run")
        self._history = self._chance.choice((12, 16, 32))
        self._settings = Settings(
            history=self._history,
            deadline_s=1.0, long_deadline_s=2.0, store_timeout_s=0.6, default_model="one-layer", session_queue_limit=8
        )
        self._registry = Registry([loaded_model()], "one-layer")
        durable = self._chance.random() < 0.25
        loses = durable or self._chance.random() < 0.7
        self._demand = Demand(Durability.REPLICA, timeout_s=0.2) if durable else Demand()
        self.faults = Faults(seed, often=self._chance.choice((0.1, 0.2)), loses=loses)
        self.chronicle = Chronicle(loaded_model(), offline())
        self.server = Server(
            loop, watcher=self.chronicle, outage=self.faults.outage, confirms=self.faults.confirms
        )
        self._network = Network(loop, self.faults, {"store": self.server})
        self._workers_chance = Random(f"{seed}/workers")
        self._workers: list[Worker] = []
        self.outcomes: Counter[str] = Counter()
        clients = Random(f"{seed}/clients")
        self.traffic = Traffic(loop, clients, self.faults, self.chronicle, self._workers, durable)
        self._stories = self._clients()
        self.sessions = [story.session for story in self._stories]

    def _clients(self) -> list[Story]:
        place = (self.traffic, self.server)
        history = self._history if self._chance.random() < 0.7 else "full"
        return [
            Counting(*place, 1, history, dated=True, gaps=self._chance.choice(("impute", "reject"))),
            Counting(*place, 2, history, dated=False, gaps=self._chance.choice(("impute", "reject"))),
            Keyed(*place, 3, history),
            Matched(*place, 4, history),
        ]

    async def whole(self) -> None:
        for name in ("a", "b"):
            self._workers.append(await self._started(name))
        dated, counted, keyed, matched = self._stories
        killing = self._loop.create_task(self._kill())
        clients = [self._loop.create_task(self._live(story)) for story in (dated, counted, keyed, keyed, matched)]
        try:
            await asyncio.gather(*clients)
        finally:
            for task in (*clients, killing):
                task.cancel()
            await asyncio.wait({*clients, killing})
        self.faults.active = False
        await asyncio.sleep(10.0)  # what is late arrives; whoever waits is answered
        await self._settled()
        await self._stop()

    async def _started(self, name: str) -> Worker:
        worker = Worker(
            name, self._loop, self._settings, self._registry, self._workers_chance, self._demand, self.outcomes
        )
        await worker.start()
        return worker

    async def _live(self, story: Story) -> None:
        while self.traffic.requests < REQUESTS or self.faults.effective.total() < FAULTS:
            await story.turn()
            if self._chance.random() < LOOKS:
                await story.look()
            await asyncio.sleep(self._chance.expovariate(20.0))

    async def _kill(self) -> None:
        """Kill workers now and then; another takes the place of each."""
        while True:
            await asyncio.sleep(self._chance.expovariate(1.0 / WORKER_LIVES_S))
            at = self._chance.randrange(len(self._workers))
            worker = self._workers[at]
            self._network.forget(worker)
            ending = worker.kill()
            if worker.core is not None and worker.busy:
                self.faults.effective["worker killed"] += 1
            if ending:
                await asyncio.wait(ending)
            self._workers[at] = await self._started(worker.name)

    async def _settled(self) -> None:
        """What every worker shows is what is stored; what was refused was not stored."""
        for story in self._stories:
            for worker in self._workers:
                held = {story.etag}
                answer = await worker.take(Call("GET", story.session))
                if answer.status == 503:  # it had found the store silent, and asks again after a while
                    await asyncio.sleep(2 * ASKED_EVERY_S)
                    answer = await worker.take(Call("GET", story.session))
                held.add(story.etag)  # it may have expired meanwhile
                if answer.etag not in held:
                    raise Violation(f"{story.session}: {worker.name} shows {answer.etag}, stored is {held}")
        self.traffic.unapplied()

    async def _stop(self) -> None:
        """Drain; nothing waits any more and no connection is in use."""
        for worker in self._workers:
            await worker.stop()
            if left := worker.left_over():
                raise Violation(f"{worker.name} holds after its end: {left}")

    def end(self) -> None:
        """Let go of all that still runs, after a violation."""
        for worker in self._workers:
            self._network.forget(worker)
            worker.kill()
        with suppress(Exception):
            self._loop.run_until_complete(asyncio.sleep(0.1))

    def digest(self) -> str:
        lines = [*self.traffic.trace, *(commit for made in self.chronicle.commits.values() for commit in made)]
        return hashlib.sha256("\n".join(map(str, lines)).encode()).hexdigest()[:16]


class _Errors(logging.Handler):
    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._found.append(f"logged at {record.levelname}: {record.getMessage()} {error!r}")


@contextmanager
def _errors_logged(found: list[str]) -> Iterator[None]:
    """Takes note of what is logged at ERROR: nothing that happens here is one."""
    handler = _Errors(found)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)

