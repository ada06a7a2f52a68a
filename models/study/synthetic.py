"""A picture of the synthetic series: some of every frequency, as the generator draws them.

python -m models.study.synthetic docs/explanation/synthetic-series.png [--seed 1]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib.figure import Figure

from models.synthetic import series
from models.synthetic.seasons import Rhythm

RHYTHMS = {"days": Rhythm.of(7, 0), "hours": Rhythm.of(24, 168), "weeks": Rhythm.of(52, 0)}
"""Of the shipped models."""
SHOWN, LENGTH = 8, 364
"""Series of each, and their steps."""


def draw(path: Path, seed: int) -> None:
    """Write the picture: a column for each frequency, a row for each of its series."""
    figure = Figure(figsize=(13.0, 10.0), layout="constrained")
    columns = figure.subplots(SHOWN, len(RHYTHMS), sharex=True).T
    for k, (column, (name, rhythm)) in enumerate(zip(columns, RHYTHMS.items(), strict=True)):
        for axis, values in zip(column, series.draw(SHOWN, length=LENGTH, rhythm=rhythm, seed=seed + k), strict=True):
            axis.plot(values, linewidth=0.7)
            axis.margins(x=0.0)
            axis.tick_params(labelsize="x-small")
        column[0].set_title(f"{name}: seasons of {' and '.join(str(s) for s in (rhythm.season, rhythm.longer) if s)}")
        column[-1].set_xlabel("step")
    figure.savefig(path, dpi=80)


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    draw(arguments.path, arguments.seed)


if __name__ == "__main__":
    main()
