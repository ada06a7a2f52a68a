"""How often a model's sessions see drift, and how soon where there is some: on training parts, and on the same changed.

python -m bench.drift FILES… [--model models/shipped/daily/2] [--series 48] [--steps 2000]

The changes begin at three fifths of a series: a level that is higher by ten mean errors, errors twice as large (each
value twice as far from what was forecast of the unchanged series), and a slope of half a mean error a step. A mean
error is that of the 300 steps before. Alarms of unchanged series count as false, whatever happened to these.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.artifacts import artifact
from models.artifacts.runtime import Doubles, Floats, Model
from models.data import Series, calendar_of, read

BEGINS = 0.6
BEFORE, AFTER = 300, 60
"""Steps whose errors size a change, and steps in which it is to be noticed."""

LEAST = 400
"""Known values of a series that is used."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Watched:
    """What sessions went through, each (B, T): errors of the medians, NaN where there are none, and alarms."""

    errors: Doubles
    alarms: Flags

    @property
    def raised(self) -> Flags:
        """(B, T): steps that raised an alarm."""
        before = np.pad(self.alarms, ((0, 0), (1, 0)))[:, :-1]
        raised: Flags = self.alarms & ~before
        return raised


def watch(model: Model, values: Doubles, calendar: Floats) -> Watched:
    """Fold values (B, T), NaN where missing."""
    states, median = model.initial_state(len(values)), len(model.spec.quantiles) // 2
    errors, alarms = np.full(values.shape, np.nan), np.zeros(values.shape, bool)
    for t in range(values.shape[1]):
        started = model.seen(states) > 0.0
        errors[started, t] = values[started, t] - model.issued(states)[started, median]
        states, _ = model.step(states, np.ascontiguousarray(values[:, t]), np.ascontiguousarray(calendar[:, t]))
        alarms[:, t] = model.alarmed(states) > 0
    return Watched(errors, alarms)


def changed(values: Doubles, errors: Doubles, begins: npt.NDArray[np.int64]) -> Iterator[tuple[str, Doubles]]:
    """The values (B, T) with each kind of change from `begins` (B,) on."""
    steps = np.arange(values.shape[1])[None] - begins[:, None] + 1.0
    before = np.where((steps <= 0) & (steps > -BEFORE), np.abs(errors), np.nan)
    size = np.nanmean(before, axis=1, keepdims=True)
    yield "level", values + 10.0 * size * (steps > 0)
    yield "larger", values + np.where(steps > 0, np.nan_to_num(errors), 0.0)
    yield "slope", values + 0.5 * size * np.maximum(steps, 0.0)


def delays(watched: Watched, begins: npt.NDArray[np.int64]) -> Doubles:
    """(N,) steps to the alarm of the series that were without one before; infinite where there is none in time."""
    found = []
    for alarms, raised, first in zip(watched.alarms, watched.raised, begins.tolist(), strict=True):
        if not alarms[first - 1]:
            at = np.flatnonzero(raised[first : first + AFTER])
            found.append(at[0] + 1.0 if len(at) else np.inf)
    return np.array(found)


def row(name: str, model: Model, chosen: Sequence[Series], steps: int) -> str:
    """A row of the table, of the last `steps` of each series."""
    length = min(max(map(len, chosen)), steps)
    values, calendar = np.full((len(chosen), length), np.nan), np.zeros((len(chosen), length, 5), np.float32)
    for k, series in enumerate(chosen):
        kept = min(len(series), length)
        values[k, -kept:] = np.where(series.imputed, np.nan, series.values)[-kept:]
        calendar[k, -kept:] = calendar_of(series)[-kept:]
    usual = watch(model, values, calendar)
    first = np.isnan(values).argmin(axis=1)
    begins = first + (BEGINS * (length - first)).astype(np.int64)
    scored = ~np.isnan(usual.errors)
    cells = [f"{1000 * usual.raised.sum() / scored.sum():.2f}", f"{usual.alarms[scored].mean():.1%}"]
    for _, other in changed(values, usual.errors, begins):
        waited = delays(watch(model, other, calendar), begins)
        middle = float(np.median(waited))
        cells.append(f"{np.isfinite(waited).mean():.0%}, {'none' if np.isinf(middle) else f'{middle:.0f}'}")
    return f"| {name} | {len(chosen)} | {' | '.join(cells)} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILES")
    parser.add_argument("--model", type=Path, default=artifact.SHIPPED / "daily" / "2")
    parser.add_argument("--series", type=int, default=48, help="of a file, at most")
    parser.add_argument("--steps", type=int, default=2000, help="of a series, at most")
    arguments = parser.parse_args()
    model, rng = artifact.load(arguments.model), np.random.default_rng(5)
    print("| collection | series | alarms in 1,000 steps | steps alarmed | level | larger | slope |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for path in arguments.files:
        long = [one for one in read(path, freq=model.spec.freqs[0]) if (~np.isnan(one.values)).sum() >= LEAST]
        picked = rng.choice(len(long), min(arguments.series, len(long)), replace=False)
        print(row(path.name.split(".")[0], model, [long[k] for k in picked], arguments.steps), flush=True)


if __name__ == "__main__":
    main()
