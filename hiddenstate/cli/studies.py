"""The study command: experiments that answer a question, with a table and a plot."""

from pathlib import Path
from typing import Annotated

import typer

from hiddenstate.cli import output
from hiddenstate.cli.faults import ExitCode, Fault
from hiddenstate.cli.modelling import modelling

study = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@study.callback()
def experiments() -> None:
    """Experiments: a question, a table and a plot."""


@study.command()
def unroll(
    out: Annotated[Path, typer.Option(help="Folder for the table and the plot.")] = Path("study"),
    lengths: Annotated[str, typer.Option(help="Unroll lengths to compare.")] = "1,2,4,8,16,32,64",
    observations: Annotated[int, typer.Option(min=1, help="Each learner sees so many of every stream.")] = 12_800,
    updates: Annotated[int, typer.Option(min=1, help="Each learner is updated so often or more.")] = 1_600,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same table, the seconds aside.")] = 0,
) -> None:
    """Why unroll? Accuracy, memory and time by unroll length, with carried and with fresh state."""
    with modelling():
        from models.study.report import write_report
        from models.study.unroll import StudyOptions, study_unroll

        options = StudyOptions(_lengths(lengths), observations, updates, seed)
        found = study_unroll(options, lambda line: output.messages().print(line, markup=False, soft_wrap=True))
        write_report(found, out)
    output.results().print(f"written: {out / 'unroll.md'}, {out / 'unroll.png'}", markup=False, soft_wrap=True)


def _lengths(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise Fault(
            ExitCode.USAGE,
            f"{text!r} is no list of unroll lengths",
            "lengths are whole numbers of steps with commas between them",
            "--lengths 1,8,64",
        )
    return tuple(int(part) for part in parts)
