"""A small collection of daily series with a test part, written as a file."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np

TEST_STEPS = 14
SHAPE = np.array([5.0, 6.0, 6.5, 6.0, 7.0, 2.0, 1.0])


def write_collection(path: Path, *, series: int = 6, steps: int = 420, seed: int = 3) -> Path:
    """Weekly series as CSV: the last `TEST_STEPS` of each are its test part, and every 50th value was filled in."""
    rng = np.random.default_rng(seed)
    lines = ["unique_id,ds,y,imputed,test"]
    for k in range(series):
        values = (k + 1) * (10.0 + np.resize(SHAPE, steps) + rng.standard_normal(steps))
        for t, value in enumerate(values):
            day = date(2022, 1, 1) + timedelta(days=t)
            flags = f"{str(t % 50 == 49).lower()},{str(t >= steps - TEST_STEPS).lower()}"
            lines.append(f"s{k}.daily,{day},{value:.6f},{flags}")
    path.write_text("\n".join(lines) + "\n")
    return path
