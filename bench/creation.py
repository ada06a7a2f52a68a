"""The sessions of the workload, each with as many observations as it retains, as `hiddenstate backfill` makes them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.processes import models_dir
from bench.workload import FIRST_DAY
from hiddenstate.files.failures import Failures
from hiddenstate.files.filling import fill
from hiddenstate.files.tables import SeriesFile
from service.settings import Settings
from service.wire.schemas import SessionSettings

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
    """Create the sessions of these files in a store. Raises RuntimeError: some were not."""
    settings = Settings(store_url=store_url, namespace=namespace, models_dir=models_dir(model))
    for file in files:
        asked = SessionSettings(model=model.parent.name, freq="D" if file.stem == "dated" else None)
        with Failures(file.with_suffix(".refused.csv")) as failures:
            filling = fill(SeriesFile(file), settings, asked, prefix="", failures=failures, done=lambda _: None)
            filled = asyncio.run(filling)
        if filled.there or filled.refused:
            raise RuntimeError(f"sessions of {file.name} were not created: {filled}")
