"""Results go to stdout, everything said about them to stderr; colour only on a terminal and never with NO_COLOR."""

import json
import sys
from collections.abc import Mapping, Sequence
from math import isfinite

from rich.console import Console
from rich.table import Table

from hiddenstate.answers.forecasts import Forecast
from hiddenstate.cli.faults import Fault

MISSING = "-"


def results() -> Console:
    """Where tables go; wide enough when read by a program rather than shown on a terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 140)


def messages() -> Console:
    return Console(stderr=True, highlight=False)


def print_json(answer: Mapping[str, object]) -> None:
    """One JSON document on one line, members in the order of the API; null for a figure that there is not."""
    print(json.dumps(_finite(answer), ensure_ascii=False, allow_nan=False))


def _finite(value: object) -> object:
    """The value with None in place of what is no number: JSON has no word for it."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def print_fault(fault: Fault) -> None:
    what, *rest = fault.lines
    console = messages()
    console.print(what, style="bold red", markup=False, soft_wrap=True)
    for line in rest:
        console.print(line, markup=False, soft_wrap=True)


def number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.6g}"


def percent(share: float | None) -> str:
    return MISSING if share is None else f"{100 * share:.0f} %"


def forecast_table(rows: Sequence[Forecast]) -> Table:
    """One row a step, one column for each interval that the answer has."""
    levels = rows[0].levels if rows else []
    table = Table(box=None, pad_edge=False)
    for column in ("step", "time", "median", *(f"{level} %" for level in levels)):
        table.add_column(column, justify="left" if column == "time" else "right")
    for row in rows:
        intervals = [" to ".join(number(bound) for bound in row.interval(level)) for level in levels]
        table.add_row(str(row.step), row.timestamp or MISSING, number(row.value), *intervals)
    return table
