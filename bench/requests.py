"""Requests per second of single observations, as ratios to a bare ASGI handler under the same uvicorn in the same run.

    python -m bench.requests [--target redis --target naive ...] [--rounds 3] [--seconds 5] [--sessions 5000]

Without a target it is the project over its embedded store, synced to disk before each answer, or over `--store-url`.
Needs `wrk`. `python -m bench` measures everything.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench.load import require_wrk
from bench.models import two_layers
from bench.rounds import Results, interleaved
from bench.targets import TITLES, running

CONNECTIONS = (32, 128)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", action="append", choices=list(TITLES), default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("--store-url")
    parser.add_argument("--model", type=Path, help="folder of an artifact; the one of bench.models if none is given")
    given = parser.parse_args()
    require_wrk()
    chosen = given.target or (["url"] if given.store_url else ["embedded"])
    names = list(dict.fromkeys(["bare", *chosen]))
    model, results = given.model or two_layers(), Results()
    with running(names, model=model, sessions=given.sessions, note=print, store_url=given.store_url) as targets:
        for line in interleaved(targets, CONNECTIONS, rounds=given.rounds, seconds=given.seconds, results=results):
            print(line, flush=True)
    print_ratios(results, names)


def print_ratios(results: Results, names: Sequence[str]) -> None:
    for name in names:
        ratios = [results.rate_ratio(name, "bare", connections) for connections in CONNECTIONS]
        print(f"{name:11s} " + ", ".join(f"{n} connections: {r}" for n, r in zip(CONNECTIONS, ratios, strict=True)))


if __name__ == "__main__":
    main()
