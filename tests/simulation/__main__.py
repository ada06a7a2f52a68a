"""Deterministic simulation of the service and its store, under faults; the same seed gives the same run.

    python -m tests.simulation --seeds 0:2000 --processes 2    many seeds, and histograms of what happened
    python -m tests.simulation --seed 123                      one seed, with what its sessions were answered

Runs the real service over the real client of the store in virtual time; the store is a stand-in that runs the real
scripts. Every commit and every answer is compared with an offline fold.
"""

import argparse
import multiprocessing
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.simulation.run import FAULTS, REQUESTS, Report, simulate

PROGRESS_S = 10.0


@dataclass(slots=True)
class Summary:
    """Of many runs."""

    runs: int = 0
    broken: list[Report] = field(default_factory=list)
    requests: int = 0
    fewest_requests: int = sys.maxsize
    fewest_faults: int = sys.maxsize
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)

    def add(self, report: Report) -> None:
        self.runs += 1
        if report.violations:
            self.broken.append(report)
        self.requests += report.requests
        self.fewest_requests = min(self.fewest_requests, report.requests)
        self.fewest_faults = min(self.fewest_faults, report.faults.total())
        for kept, found in (
            (self.faults, report.faults),
            (self.outcomes, report.outcomes),
            (self.answers, report.answers),
        ):
            kept.update(found)

    def __str__(self) -> str:
        return "\n".join(
            [
                *_histogram("faults that took effect", self.faults),
                *_histogram("outcomes of changes", self.outcomes),
                *_histogram("answers", self.answers),
                f"{self.runs} seeds, {self.requests} requests (at least {self.fewest_requests} a seed), "
                f"{self.faults.total()} faults that took effect (at least {self.fewest_faults} a seed): "
                f"{len(self.broken)} seeds with violations",
            ]
        )


def reports(seeds: range, processes: int) -> Iterator[Report]:
    """Run many seeds, in no order."""
    if processes == 1:
        yield from map(simulate, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(simulate, seeds, chunksize=4)


def show(report: Report, commit: str) -> None:
    """What is needed to understand a violation, and to see it again."""
    print(f"\nseed {report.seed} at {commit}: {len(report.violations)} violations", *report.violations, sep="\n  ")
    print(*report.trace, sep="\n")
    print(f"again: python -m tests.simulation --seed {report.seed}", flush=True)


def _histogram(title: str, counts: Counter[str]) -> list[str]:
    return [f"{title}:", *(f"{count:>9}  {name}" for name, count in counts.most_common())]


def _commit() -> str:
    described = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return described.stdout.strip() or "an unknown commit"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="one seed, with its trace")
    parser.add_argument("--seeds", default="0:200", help="FIRST:LAST, the last one left out")
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    commit, summary = _commit(), Summary()
    first, last = map(int, asked.seeds.split(":"))
    seeds = range(first, last) if asked.seed is None else range(asked.seed, asked.seed + 1)
    shown = time.monotonic()
    for report in reports(seeds, 1 if asked.seed is not None else asked.processes):
        summary.add(report)
        if report.violations or asked.seed is not None:
            show(report, commit)
        if time.monotonic() - shown > PROGRESS_S:
            shown = time.monotonic()
            print(f"{summary.runs} of {len(seeds)} seeds, {len(summary.broken)} broken", file=sys.stderr, flush=True)
    print(summary)
    few = summary.fewest_requests < REQUESTS or summary.fewest_faults < FAULTS
    sys.exit(bool(summary.broken or few))


if __name__ == "__main__":
    main()
