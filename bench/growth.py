"""What one observation costs at step 10 and at step 100,000, beside what resending the history costs.

    python -m bench.growth [--longest 100000] [--posts 200] [--rounds 3]

One connection, one request at a time; all lengths in turn, so that what disturbs one disturbs all.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path

from bench.client import Connection
from bench.models import two_layers
from bench.processes import hiddenstate, uvicorn
from bench.rounds import Ratio
from bench.servers import REDIS_7, Server, servers
from bench.targets import UNSAVED

LENGTHS = (10, 100, 1_000, 10_000, 100_000)
LONGEST_RESENT = 10_000
HISTORIES: tuple[int | str, ...] = (64, "full")
TITLES = {"64": "`history: 64`", "full": "`history: full`", "resent": "FastAPI, history resent"}
PART = 5_000
"""Observations in one request of a warm-up."""
FIRST_DAY = date(1700, 1, 1)


@dataclass(frozen=True, slots=True)
class Growth:
    """Medians in ms by kind (`64`, `full`, `resent`) and length, and ratios to the shortest length, over rounds."""

    p50_ms: dict[tuple[str, int], float]
    ratios: dict[tuple[str, int], Ratio]


def measure(model: Path, *, longest: int, posts: int, rounds: int, note: Callable[[str], None]) -> Growth:
    """Warm sessions up to each length, then post single observations to them."""
    lengths = [length for length in LENGTHS if length <= longest]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hs-")))
        [store] = stack.enter_context(servers([Server(REDIS_7, folder / "redis", *UNSAVED)]))
        url = f"redis://127.0.0.1:{store.port}/0"
        service = stack.enter_context(hiddenstate("--store-url", url, model=model))
        resend = stack.enter_context(uvicorn("bench.resend:app"))
        for program in (service, resend):
            program.wait_until_ready()
        ours, theirs = (stack.enter_context(Connection(program.port)) for program in (service, resend))
        calls: dict[tuple[str, int], Iterator[Callable[[], float]]] = {}
        for history, length in itertools.product(HISTORIES, lengths):
            note(f"warming sessions up to step {length}, history {history}")
            calls[str(history), length] = _observations(ours, model.parent.name, history, length, posts * rounds)
        for length in (length for length in lengths if length <= LONGEST_RESENT):
            calls["resent", length] = itertools.repeat(_resending(theirs, length))
        return _timed(calls, posts, rounds)


def _timed(calls: dict[tuple[str, int], Iterator[Callable[[], float]]], posts: int, rounds: int) -> Growth:
    medians: dict[tuple[str, int], list[float]] = {one: [] for one in calls}
    for _ in range(rounds):
        times: dict[tuple[str, int], list[float]] = {one: [] for one in calls}
        for turn in range(posts):
            for one, made in calls.items():
                if one != ("resent", LONGEST_RESENT) or turn % 10 == 0:
                    times[one].append(1000 * next(made)())
        for one, took in times.items():
            medians[one].append(statistics.median(took))
    shortest = min(length for _, length in calls)
    ratios = {
        (kind, length): Ratio.of([a / b for a, b in zip(took, medians[kind, shortest], strict=True)])
        for (kind, length), took in medians.items()
    }
    return Growth({one: statistics.median(took) for one, took in medians.items()}, ratios)


def _observations(
    connection: Connection, model: str, history: int | str, length: int, posts: int
) -> Iterator[Callable[[], float]]:
    """`posts` calls that each advance a session of about this length by one observation.

    No session grows by more than a fifth. Each call posts twice to its session and times the second one, so that
    a session seen for the first time is no dearer than one that is always the same.
    """
    uses = max(1, length // 10)
    sessions = [f"growth-{history}-{length}-{k}" for k in range(-(-posts // uses))]
    for session in sessions:
        _warm_up(connection, session, model, history, length)

    def observe(session: str, step: int) -> float:
        path = f"/v1/sessions/{session}/observations"
        connection.call("POST", path, json.dumps(_observation(step)))
        return connection.call("POST", path, json.dumps(_observation(step + 1))).seconds

    turns = ((session, length + 2 * use) for use in range(uses) for session in sessions)
    return (partial(observe, session, step) for session, step in turns)


def _warm_up(connection: Connection, session: str, model: str, history: int | str, length: int) -> None:
    path = f"/v1/sessions/{session}"
    connection.call("PUT", path, json.dumps({"model": model, "freq": "D", "history": history}))
    for first in range(0, length, PART):
        part = [_observation(step) for step in range(first, min(first + PART, length))]
        connection.call("POST", f"{path}/observations", json.dumps(part))


def _observation(step: int) -> dict[str, object]:
    return {"timestamp": (FIRST_DAY + timedelta(days=step)).isoformat(), "value": 100.0 + step * 7919 % 83}


def _resending(connection: Connection, length: int) -> Callable[[], float]:
    body = json.dumps({"values": [_observation(step)["value"] for step in range(length)]})
    return lambda: connection.call("POST", "/v1/forecast", body).seconds


def table(growth: Growth) -> list[str]:
    """Markdown."""
    lines = ["| | step | p50, ms | over the shortest (lowest-highest of the rounds) |", "| --- | ---: | ---: | ---: |"]
    for (kind, length), p50_ms in growth.p50_ms.items():
        lines.append(f"| {TITLES[kind]} | {length:,} | {p50_ms:.2f} | {growth.ratios[kind, length]} |")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--longest", type=int, default=LENGTHS[-1], help="longest history")
    parser.add_argument("--posts", type=int, default=200, help="timed observations of each length in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, help="folder of an artifact; the one of bench.models if none is given")
    given = parser.parse_args()
    model = given.model or two_layers()
    growth = measure(model, longest=given.longest, posts=given.posts, rounds=given.rounds, note=print)
    print("\n".join(table(growth)))


if __name__ == "__main__":
    main()
