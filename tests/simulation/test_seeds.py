"""The promises under faults: many seeds of the simulation, and that a seed says everything about its run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.run import FAULTS, REQUESTS, simulate

ROOT = Path(__file__).parents[2]
SEEDS, PARTS = 100, 20


@pytest.mark.parametrize("part", range(PARTS))
def test_no_promise_is_broken_under_faults(part: int) -> None:
    for seed in range(part, SEEDS, PARTS):
        report = simulate(seed)
        assert report.violations == [], f"python -m tests.simulation --seed {seed}"
        assert report.requests >= REQUESTS
        assert report.faults.total() >= FAULTS


def test_a_seed_gives_the_same_run_whatever_ran_before() -> None:
    alone = simulate(7)
    simulate(8)
    again = simulate(7)
    assert (again.digest, again.answers, again.faults) == (alone.digest, alone.answers, alone.faults)
    assert simulate(8).digest != alone.digest


def test_a_seed_gives_the_same_run_in_another_process() -> None:
    program = "from tests.simulation.run import simulate; print(simulate(7).digest)"
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {simulate(7).digest}
