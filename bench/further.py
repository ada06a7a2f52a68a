"""Forecasts up to three times as far ahead as a model reaches: coverage of the intervals, error of the medians.

python -m bench.further FILES… [--model models/shipped/daily/2] [--series 60] [--origins 3]

As the service answers them, from states after 600 steps without calendar, at the ends of series and before. A column
tells the coverage of the 80 and the 95 % interval, the last one the error of the medians over each horizon, over the
mean change from step to step.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.artifacts import artifact
from models.artifacts.runtime import Doubles
from models.data import Series, read
from models.spread import window_of
from service.sessions.registry import LoadedModel
from service.sessions.views import View
from service.storage.answers import Label
from service.storage.layout import HEAD

WARM_UP, LEAST = 600, 250
"""Steps before an origin, and the least that a series has there."""
LONG = 750
"""Steps of a series that is used."""
APART = 37
"""Steps between origins: a number that no season divides."""
HORIZONS = 3
LEVELS = (80, 95)


def origins(chosen: Sequence[Series], reach: int, count: int) -> tuple[Doubles, Doubles]:
    """(B, 600) values before origins, NaN where there are none, and (B, reach) those that came."""
    before, came = [], []
    for series in chosen:
        values = np.where(series.imputed, np.nan, series.values)
        for end in range(len(values) - reach, len(values) - reach - count * APART, -APART):
            known = values[max(end - WARM_UP, 0) : max(end, 0)]
            if len(known) >= LEAST and np.isfinite(known).sum() >= LEAST // 2:
                before.append(np.pad(known, (WARM_UP - len(known), 0), constant_values=np.nan))
                came.append(values[end : end + reach])
    return np.array(before), np.array(came)


def forecasts(loaded: LoadedModel, before: Doubles, reach: int) -> Doubles:
    """(B, reach, 5) quantiles as they are answered after values (B, T)."""
    running = loaded.model.running(loaded.model.initial_state(len(before)))
    context = np.zeros((len(before), 5 + loaded.encoding.width), np.float32)
    for values in before.T:
        running.step(np.ascontiguousarray(values), context)
    head = np.zeros((), HEAD)
    head["minimum"] = head["maximum"] = np.nan
    views = (View(Label("series", loaded.spec.label, None), head, state, loaded) for state in running.states())
    return np.array([view.quantiles(reach, LEVELS) for view in views])


def row(name: str, loaded: LoadedModel, chosen: Sequence[Series], count: int) -> str:
    """A row of the table."""
    horizon = loaded.spec.horizon
    before, came = origins(chosen, HORIZONS * horizon, count)
    quantiles = forecasts(loaded, before, HORIZONS * horizon)
    lowest, lower, median, upper, highest = np.moveaxis(quantiles, 2, 0)
    known = np.isfinite(came)
    cells = []
    for steps in columns(loaded).values():
        seen = known[:, steps]
        held = ((came >= low) & (came <= high) for low, high in ((lower, upper), (lowest, highest)))
        cells.append(", ".join(f"{one[:, steps][seen].mean():.2f}" for one in held))
    change = np.nanmean(np.abs(np.diff(before, axis=1)), axis=1, keepdims=True)
    errors = np.where(change > 0.0, np.abs(came - median) / np.maximum(change, 1e-300), np.nan)
    parts = [f"{np.nanmean(part):.2f}" for part in np.split(errors, HORIZONS, axis=1)]
    return f"| {name} | {len(before)} | {' | '.join(cells)} | {', '.join(parts)} |"


def columns(loaded: LoadedModel) -> dict[str, slice]:
    """The steps ahead that are told, by their names."""
    horizon, season = loaded.spec.horizon, loaded.spec.season
    ends = [horizon, horizon + 1, horizon + window_of(horizon, season), 2 * horizon, 3 * horizon]
    single = {str(end): slice(end - 1, end) for end in ends}
    spans = [(1, horizon), (horizon + 1, 2 * horizon), (2 * horizon + 1, 3 * horizon)]
    return single | {f"{first} to {last}": slice(first - 1, last) for first, last in spans}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILES")
    parser.add_argument("--model", type=Path, default=artifact.SHIPPED / "daily" / "2")
    parser.add_argument("--series", type=int, default=60, help="of a file, at most")
    parser.add_argument("--origins", type=int, default=3, help="of a series, at most")
    arguments = parser.parse_args()
    loaded, rng = LoadedModel(artifact.load(arguments.model), arguments.model), np.random.default_rng(5)
    heads = ["collection", "origins", *columns(loaded), "medians"]
    print(f"| {' | '.join(heads)} |\n| --- |{' ---: |' * (len(heads) - 1)}")
    for path in arguments.files:
        long = [one for one in read(path, freq=loaded.spec.freqs[0]) if len(one) >= LONG]
        picked = rng.choice(len(long), min(arguments.series, len(long)), replace=False)
        print(row(path.name.split(".")[0], loaded, [long[k] for k in picked], arguments.origins), flush=True)


if __name__ == "__main__":
    main()
