"""The demo command: real weather day by day, forecast against actual in the terminal and as a picture."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from hiddenstate.cli import faults, output
from hiddenstate.cli.faults import ExitCode, Fault
from hiddenstate.cli.sessions import connected

if TYPE_CHECKING:
    from hiddenstate.demo.replay import Day

STRIP = 41
"""Characters of the strip that shows one day's interval, forecast and actual value."""

SHOWN = 14
"""Days shown in the terminal; the picture shows all."""

LONGEST = 1000
"""Of 1,461 days at least so many are left to warm up with."""


class Variable(StrEnum):
    temp_max = "temp_max"
    temp_min = "temp_min"
    wind = "wind"
    precipitation = "precipitation"


def demo(
    variable: Annotated[Variable, typer.Option(help="What to forecast.")] = Variable.temp_max,
    days: Annotated[int, typer.Option(min=2, max=LONGEST, help="How many of the last days to replay.")] = 120,
    session: Annotated[str, typer.Option(help="Session to use; one of that name is replaced.")] = "demo-seattle",
    picture: Annotated[Path, typer.Option(help="Where the picture goes.")] = Path("demo.png"),
) -> None:
    """Replay Seattle's daily weather against the running service and show forecast against actual."""
    try:
        from hiddenstate.demo.picture import draw
        from hiddenstate.demo.replay import VARIABLES, replay, summary
    except ModuleNotFoundError as error:
        raise faults.not_installed(error.name or "?") from error
    _check_writable(picture)
    seen: list[Day] = []
    with connected() as client:
        output.messages().print(f"{VARIABLES[variable]}, from 2012: the last {days} days one by one")
        with _progress() as progress:
            task = progress.add_task("", total=days)
            for day in replay(client, session, variable, days):
                seen.append(day)
                progress.update(task, advance=1, description=_sentence(day))
    draw(seen, VARIABLES[variable], picture)
    console = output.results()
    console.print(strips(seen[-SHOWN:]), markup=False)
    result = summary(seen)
    console.print(
        f"mean absolute error {result.error:.2f}, repeating the last value {result.naive_error:.2f};"
        f" inside the 80 % interval {output.percent(result.covered)} of {result.days} days"
    )
    console.print(f"picture: {picture}", markup=False, soft_wrap=True)


def strips(days: Sequence["Day"]) -> str:
    """A line a day on one common scale: [---|---] is the 80 % interval and the forecast, * the actual value."""
    lowest = min(min(day.lower, day.actual) for day in days)
    highest = max(max(day.upper, day.actual) for day in days)
    unit = (highest - lowest) / (STRIP - 1) or 1.0
    header = f"{'day':<10}  {'forecast':>8}  {'actual':>8}  [---|---] 80 % interval and forecast, * actual"
    return "\n".join([header, *(_strip(day, lowest, unit) for day in days)])


def _strip(day: "Day", lowest: float, unit: float) -> str:
    lower, median, upper, actual = (
        round((value - lowest) / unit) for value in (day.lower, day.median, day.upper, day.actual)
    )
    cells = [" "] * STRIP
    cells[lower : upper + 1] = "-" * (upper + 1 - lower)
    cells[lower], cells[upper] = "[", "]"
    cells[median] = "|"
    cells[actual] = "*"
    return f"{day.date:<10}  {day.median:8.2f}  {day.actual:8.2f}  {''.join(cells)}".rstrip()


def _sentence(day: "Day") -> str:
    return f"{day.date}: forecast {day.median:.1f} ({day.lower:.1f} to {day.upper:.1f}), came {day.actual:.1f}"


def _progress() -> Progress:
    console = output.messages()
    columns = (BarColumn(bar_width=30), MofNCompleteColumn(), TextColumn("{task.description}"))
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _check_writable(picture: Path) -> None:
    if not picture.absolute().parent.is_dir():
        raise Fault(
            ExitCode.USAGE,
            f"cannot write {picture}",
            f"there is no folder {picture.absolute().parent}",
            "--picture demo.png writes it here",
        )
