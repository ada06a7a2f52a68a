"""The forecast command: of one session on the terminal, of many into a file."""

from pathlib import Path
from typing import Annotated

import typer

from hiddenstate.cli import faults, output
from hiddenstate.cli.faults import ExitCode, Fault
from hiddenstate.cli.sessions import AsJson, connected


def forecast(
    session: Annotated[str | None, typer.Argument(metavar="SESSION", help="Id of the session.")] = None,
    horizon: Annotated[int, typer.Option(min=1, help="How many steps.")] = 1,
    levels: Annotated[str, typer.Option(help="Intervals, in percent.")] = "80,95",
    prefix: Annotated[
        str | None, typer.Option(help="In place of SESSION: all whose id starts so, into a file.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="That file: .parquet, .csv or .arrow.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Print the forecasts of a session's next steps, or write those of many sessions to a file; changes nothing."""
    wanted = _levels(levels)
    if session is None and prefix is not None and out is not None:
        _write(prefix, horizon, wanted, out)
    elif session is not None and prefix is None and out is None:
        _print(session, horizon, wanted, as_json)
    else:
        raise Fault(
            ExitCode.USAGE,
            "it is not said which forecasts are meant",
            "those of one session are printed, those of many go to a file, by --prefix and --out",
            "hiddenstate forecast store-42, or hiddenstate forecast --prefix store- --out forecasts.parquet",
        )


def _print(session: str, horizon: int, levels: list[int], as_json: bool) -> None:
    with connected(as_json) as client:
        answer = client.forecast(session, horizon, levels)
    if as_json:
        output.print_json(answer.members)
    else:
        output.results().print(output.forecast_table(answer.forecasts))


def _write(prefix: str, horizon: int, levels: list[int], out: Path) -> None:
    try:
        from hiddenstate.files.forecasting import write_forecasts
        from hiddenstate.files.unreadable import TableError
    except ModuleNotFoundError as error:
        raise faults.not_installed(error.name or "?") from error
    try:
        with connected() as client:
            written = write_forecasts(client, out, prefix=prefix, horizon=horizon, levels=levels)
    except TableError as error:
        why, _, cure = str(error).partition("; ")
        raise Fault(ExitCode.USAGE, f"cannot write {out}", why, cure) from error
    output.results().print(f"{written.rows} rows: {out}", markup=False, soft_wrap=True)
    if written.refused:
        output.messages().print(f"{written.refused} sessions have no forecast; the file says why")
        if written.refused == written.rows:
            raise typer.Exit(ExitCode.REFUSED)


def _levels(text: str) -> list[int]:
    try:
        return [int(level) for level in text.split(",")]
    except ValueError:
        raise Fault(
            ExitCode.USAGE,
            f"{text!r} is no list of levels",
            "levels are whole percents with commas between them",
            "--levels 80,95",
        ) from None
