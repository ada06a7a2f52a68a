"""Coverage of the first known value after missing ones, by how many there were.

python -m bench.silence FILES… [--model models/shipped/daily/2] [--series 300]

Series are folded step by step, without calendar, with gaps of random lengths put into their last steps. A column tells
the coverage of the 80 and the 95 % interval after so many missing values; that of 0 is of all other known values.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.artifacts import artifact
from models.artifacts.runtime import Doubles, Model
from models.data import read

LENGTHS = (1, 2, 3, 6, 13, 30)
STEPS, USUAL = 700, 200
"""Of a series that are folded, and of those so many before the first gap."""
BETWEEN = (15, 30)
"""Known values between two gaps: at least, and fewer than."""


def interrupted(values: Doubles, rng: np.random.Generator) -> tuple[Doubles, npt.NDArray[np.int64]]:
    """(B, STEPS) values with gaps, and how many are missing before each; -1 = it is missing itself."""
    given, before = values.copy(), np.zeros(values.shape, np.int64)
    for row in range(len(values)):
        step = USUAL
        while step < STEPS - max(LENGTHS) - max(BETWEEN):
            length = int(rng.choice(LENGTHS))
            given[row, step : step + length], before[row, step : step + length] = np.nan, -1
            before[row, step + length] = length
            step += length + int(rng.integers(*BETWEEN))
    return given, before


def issued(model: Model, values: Doubles) -> Doubles:
    """(B, STEPS - 1, Q) quantiles of all steps but the first."""
    running = model.running(model.initial_state(len(values)))
    context = np.zeros((len(values), 5 + model.encoding.width), np.float32)
    return np.stack([running.step(np.ascontiguousarray(values[:, t]), context) for t in range(STEPS - 1)], axis=1)


def row(name: str, model: Model, values: Doubles, rng: np.random.Generator) -> str:
    """A row of the table."""
    given, before = interrupted(values, rng)
    quantiles, actual, missing = issued(model, given), values[:, 1:], before[:, 1:]
    at = [model.spec.quantiles.index(level) for level in (0.1, 0.9, 0.025, 0.975)]
    lower, upper, lowest, highest = np.moveaxis(quantiles[:, :, at], 2, 0)
    held = ((actual >= lower) & (actual <= upper), (actual >= lowest) & (actual <= highest))
    cells = []
    for length in (0, *LENGTHS):
        asked = missing == length
        asked[:, : USUAL - 1] = False
        cells.append(", ".join(f"{one[asked].mean():.2f}" for one in held))
    return f"| {name} | {len(values)} | {' | '.join(cells)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILES")
    parser.add_argument("--model", type=Path, default=artifact.SHIPPED / "daily" / "2")
    parser.add_argument("--series", type=int, default=300, help="of a file, at most")
    arguments = parser.parse_args()
    model, rng = artifact.load(arguments.model), np.random.default_rng(0)
    heads = ["collection", "series", *(str(length) for length in (0, *LENGTHS))]
    print(f"| {' | '.join(heads)} |\n| --- |{' ---: |' * (len(heads) - 1)}")
    for path in arguments.files:
        long = [one.values[-STEPS:] for one in read(path, freq=model.spec.freqs[0]) if len(one) >= STEPS]
        whole = [values for values in long if np.isfinite(values).all()][: arguments.series]
        print(row(path.name.split(".")[0], model, np.array(whole), rng), flush=True)


if __name__ == "__main__":
    main()
