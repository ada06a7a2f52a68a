"""The migrate command: sessions to another model, once it is known what that would do to them."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from hiddenstate.cli import output
from hiddenstate.cli.faults import ExitCode, Fault
from hiddenstate.cli.files import interruptible
from hiddenstate.cli.moving import FailuresPath, tell
from hiddenstate.cli.progress import rows_done
from hiddenstate.cli.sessions import connected, resumable
from hiddenstate.files.migrating import Change, Prospect, ask, switch
from hiddenstate.files.moving import Refusals

SHOWN = 5
"""Sessions that are named of those that get better, and worse."""


def migrate(
    model: Annotated[str, typer.Option(help="NAME, or NAME@VERSION.")],
    prefix: Annotated[str, typer.Option(help="Only sessions whose id starts so.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Switch without asking.")] = False,
    failures: FailuresPath = None,
) -> None:
    """Print how many sessions another model would make better or worse, and by how much; then switch them."""
    path = failures or Path("migrate.failures.csv")
    with interruptible(), connected() as client, resumable(), Refusals(path) as refusals:
        label = client.model(model).model
        with rows_done(None, "sessions") as done:
            prospect = ask(client, label, client.sessions(prefix=prefix), refusals, done)
        for line in _told(prospect, label):
            output.results().print(line, markup=False)
        if prospect.changes:
            _confirm(len(prospect.changes), label, yes)
            with rows_done(len(prospect.changes), "sessions") as done:
                switched = switch(client, label, prospect.changes, refusals, done)
            output.results().print(f"{switched} sessions switched to {label}", markup=False)
    tell(refusals)


def _told(prospect: Prospect, label: str) -> list[str]:
    better, worse = prospect.better, prospect.worse
    lines = []
    if prospect.left_alone:
        lines.append(f"{prospect.left_alone} sessions are left alone: they retain nothing that {label} could fold")
    if not prospect.changes:
        return [*lines, f"no session to switch to {label}"]
    same = prospect.unknown
    lines += [f"{len(better)} sessions get better with {label}, {len(worse)} worse, {same} stay as they are"]
    if prospect.typical is not None:
        lines.append(f"recent error of the typical session: {_percent(prospect.typical)}")
    lines += [f"  better  {_line(change)}" for change in better[:SHOWN]]
    return lines + [f"  worse   {_line(change)}" for change in worse[:SHOWN]]


def _line(change: Change) -> str:
    return f"{'' if change.error is None else _percent(change.error):>8}  {change.session}"


def _percent(relative: float) -> str:
    return f"{100 * (relative - 1):+.1f} %"


def _confirm(count: int, label: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        cure = "say --yes to switch them, or answer at a terminal"
        raise Fault(ExitCode.USAGE, "nothing was changed", "nobody can be asked here", cure)
    typer.confirm(f"switch {count} sessions to {label}?", abort=True, err=True)
