"""A backfill of many series beside the compiled step alone, in interleaved rounds of one run.

python -m bench.backfill [--series 100000] [--observations 100] [--rounds 5] [--model models/shipped/daily/1]

The store is Redis 7.0 on TCP, without append-only file. Both sides fold with the same artifact, at most 512 sessions in
a call. Times are of the whole backfill, from observations in memory to records in the store; the processor's seconds
are those of the process that folds.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.servers import REDIS_7, Server, servers
from hiddenstate.files.filling import SERIES_AT_ONCE
from models.artifacts import artifact
from models.dates.calendar import CALENDAR
from service.listing.index import SessionIndex
from service.sessions.bulk.backfill import TOGETHER, Backfill, Fate
from service.sessions.creation import Creator
from service.sessions.histories import Histories
from service.sessions.registry import LoadedModel, Registry
from service.settings import Settings
from service.storage.store import SessionStore
from service.wire.schemas import SessionSettings


@dataclass(frozen=True)
class Spent:
    """Seconds on the clock, and of the processor, a step."""

    wall_s: float
    cpu_s: float

    def __str__(self) -> str:
        return f"{1e6 * self.wall_s:.2f} us, {1e6 * self.cpu_s:.2f} us of the processor"


def step_alone(loaded: LoadedModel, sessions: int, observations: int, random: np.random.Generator) -> Spent:
    """The compiled step, and nothing else: `observations` steps of 512 sessions, over and over."""
    values = random.normal(100, 10, (observations, TOGETHER))
    calendar = np.zeros((TOGETHER, CALENDAR), np.float32)
    rounds = sessions // TOGETHER
    began, spent = time.perf_counter(), time.process_time()
    for _ in range(rounds):
        running = loaded.model.running(loaded.model.initial_state(TOGETHER))
        for row in values:
            running.step(row, calendar)
    steps = rounds * TOGETHER * observations
    return Spent((time.perf_counter() - began) / steps, (time.process_time() - spent) / steps)


def made(prefix: str, series: int, observations: int, random: np.random.Generator) -> Iterator[Histories]:
    """Daily series that all begin on one day."""
    moments = np.datetime_as_string(np.datetime64("2026-01-01") + np.arange(observations)).tolist()
    for at in range(0, series, SERIES_AT_ONCE):
        count = min(SERIES_AT_ONCE, series - at)
        yield Histories(
            [f"{prefix}-{number}" for number in range(at, at + count)],
            np.arange(1, count + 1) * observations,
            random.normal(100, 10, count * observations),
            np.tile(np.arange(observations), count),
            moments,
        )


async def backfilled(url: str, registry: Registry, histories: list[Histories]) -> Spent:
    """One round; the store is emptied after it."""
    settings = Settings(default_model=registry.default.spec.name)
    async with SessionStore.open(url, timeout_s=30.0) as store:
        filling = Backfill(
            store,
            Creator(registry, settings),
            SessionSettings(freq="D"),
            dated=True,
            gap_limit=settings.warm_up_gap_limit,
            created=SessionIndex(store).note,
            randomness=os.urandom,
        )
        created = 0
        began, spent = time.perf_counter(), time.process_time()
        async for _, fates in filling.run(iter(histories)):
            created += fates.count(Fate.CREATED)
        wall, cpu = time.perf_counter() - began, time.process_time() - spent
    if created != sum(len(part.sessions) for part in histories):
        raise RuntimeError("not every session was created")
    steps = sum(len(part.values) for part in histories)
    return Spent(wall / steps, cpu / steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=100_000, help="in all rounds together")
    parser.add_argument("--observations", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path, default=artifact.SHIPPED / "daily" / "1")
    given = parser.parse_args()
    loaded = LoadedModel(artifact.load(given.model), given.model)
    registry = Registry([loaded], loaded.spec.name)
    random = np.random.default_rng(1)
    each = given.series // given.rounds
    ratios: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder, servers([Server(REDIS_7, Path(folder) / "redis")]) as [server]:
        server.ask("CONFIG", "SET", "appendonly", "no")
        for number in range(given.rounds):
            histories = list(made(f"r{number}", each, given.observations, random))
            before = step_alone(loaded, each // 2, given.observations, random)
            whole = asyncio.run(backfilled(f"redis://127.0.0.1:{server.port}/0", registry, histories))
            after = step_alone(loaded, each // 2, given.observations, random)
            wall, cpu = (before.wall_s + after.wall_s) / 2, (before.cpu_s + after.cpu_s) / 2
            ratios.append((wall / whole.wall_s, cpu / whole.cpu_s))
            print(f"round {number + 1}: {each} series: a step alone {Spent(wall, cpu)}; backfill {whole}; ", end="")
            print(f"ratio {ratios[-1][0]:.2f}, of processor time {ratios[-1][1]:.2f}", flush=True)
    wall, cpu = (statistics.median(column) for column in zip(*ratios, strict=True))
    print(f"{loaded.spec.label}, {given.series} series of {given.observations}, medians of {given.rounds} rounds:")
    print(f"ratio to the compiled step alone {wall:.2f}, of processor time {cpu:.2f}")


if __name__ == "__main__":
    main()
