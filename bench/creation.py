"""The sessions of the workload, each with as many observations as it retains, by `hiddenstate backfill`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.processes import models_option
from bench.workload import FIRST_DAY

OBSERVATIONS = 64


def write_series(folder: Path, sessions: int) -> list[Path]:
    """Files of the sessions bench-0, bench-1, ...: those with even numbers by date, the others counted."""
    first = np.datetime64(FIRST_DAY.date()) - OBSERVATIONS
    days = np.arange(first, first + OBSERVATIONS)
    paths = []
    for name, start in (("dated", 0), ("counted", 1)):
        numbers = np.arange(start, sessions, 2)
        columns = {
            "unique_id": pa.array([f"bench-{k}" for k in numbers.repeat(OBSERVATIONS)]),
            "ds": pa.array(np.tile(days, len(numbers))),
            "y": pa.array(100.0 + (numbers[:, None] + np.arange(OBSERVATIONS)).ravel() % 7),
        }
        if name == "counted":
            del columns["ds"]
        paths.append(folder / f"{name}.parquet")
        pq.write_table(pa.table(columns), paths[-1])
    return paths


def create_sessions(files: list[Path], store_url: str, model: Path, namespace: str = "default") -> None:
    """Create the sessions of these files in a store. Raises RuntimeError: they were not, and why."""
    command = [sys.executable, "-m", "hiddenstate", "backfill", "--store-url", store_url, *models_option(model)]
    for file in files:
        freq = ["--freq", "D"] if file.stem == "dated" else []
        done = subprocess.run(
            [*command, "--model", model.parent.name, *freq, str(file)],
            env={**os.environ, "HIDDENSTATE_NAMESPACE": namespace},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"sessions were not created:\n{done.stdout}")
