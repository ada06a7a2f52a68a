"""What push and backfill share: the options about a file, and what is said of rows that were refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiddenstate.cli import output
from hiddenstate.cli.faults import ExitCode, Fault
from hiddenstate.files.failures import Failures

if TYPE_CHECKING:
    from hiddenstate.files.tables import SeriesFile

Data = Annotated[
    Path, typer.Argument(metavar="FILE", help="CSV, Parquet or Arrow with the columns unique_id, ds and y.")
]
Model = Annotated[
    str | None, typer.Option(help="NAME or NAME@VERSION for new sessions.", show_default="that of the freq")
]
Freq = Annotated[
    str | None, typer.Option(help="Frequency of new sessions, for example D.", show_default="what the times have")
]
Prefix = Annotated[str, typer.Option(help="Put before each unique_id.", show_default=False)]
FailuresPath = Annotated[
    Path | None, typer.Option(help="Where refused rows go, as CSV.", show_default="FILE.failures.csv")
]


def beside(data: Path) -> Path:
    """Where the rows of a file go that were refused."""
    return data.with_name(data.name + ".failures.csv")


def unusable(error: ValueError) -> Fault:
    """A TableError: what is wrong, and after a semicolon what to do."""
    why, _, cure = str(error).partition("; ")
    return Fault(
        ExitCode.USAGE, "the file cannot be used", why, cure or "give a file with the columns unique_id, ds and y"
    )


def checked_freq(freq: str) -> str:
    """The frequency as the service writes it. Raises Fault: there is none of that name."""
    from models.dates.frequencies import FrequencyError, frequency

    try:
        return frequency(freq).name
    except FrequencyError as error:
        raise Fault(ExitCode.USAGE, "--freq cannot be used", str(error), "choose another --freq") from error


def freq_of(file: "SeriesFile") -> str | None:
    """The frequency of new sessions where none is asked for, and say which it is; None = the first of their model."""
    from hiddenstate.files.frequencies import told_by

    found = told_by(file)
    if found is not None:
        output.messages().print(f"freq {found}, which most times of the file have; --freq gives another", markup=False)
    elif file.is_dated:
        why = "the times of the file tell no frequency: new sessions have the first of their model"
        output.messages().print(f"{why}; --freq gives another", markup=False, soft_wrap=True)
    return found


@contextmanager
def interruptible() -> Iterator[None]:
    """Say to whoever interrupts a run that it goes on later."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Fault(
            ExitCode.INTERRUPTED, "interrupted", "the file was not finished", "the same command goes on where it was"
        ) from error


def refused_rows(refused: Failures) -> None:
    """Say where they are, and leave with the exit code that tells of them."""
    if len(refused):
        output.messages().print(f"{len(refused)} rows were refused: {refused.path}", markup=False, soft_wrap=True)
        raise typer.Exit(ExitCode.REFUSED)
