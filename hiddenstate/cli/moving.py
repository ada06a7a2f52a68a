"""The export and import commands: sessions to another service, by a file of their states."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from hiddenstate.cli import output
from hiddenstate.cli.faults import ExitCode, Fault
from hiddenstate.cli.files import interruptible
from hiddenstate.cli.progress import rows_done
from hiddenstate.cli.sessions import connected, resumable
from hiddenstate.client import Client
from hiddenstate.files.moving import Refusals, export_states, import_states, written_before

FailuresPath = Annotated[
    Path | None, typer.Option(help="Where it goes, as CSV, what was refused and why.", show_default="FILE.failures.csv")
]


def export(
    prefix: Annotated[str, typer.Option(help="Only sessions whose id starts so.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="The file; interrupted, the same command goes on.", show_default="print")
    ] = None,
    failures: FailuresPath = None,
) -> None:
    """Write the states of sessions, one JSON document a line; changes nothing."""
    with interruptible(), connected() as client, resumable(), Refusals(failures or _beside(out)) as refusals:
        if out is None:
            done = _export(client, prefix, sys.stdout, set(), refusals)
        else:
            unfinished = out.with_name(out.name + ".part")
            written = written_before(unfinished)
            with _appending(unfinished) as file:
                done = len(written) + _export(client, prefix, file, written, refusals)
            unfinished.replace(out)
    output.messages().print(f"{done} sessions written", markup=False)
    tell(refusals)


def import_(
    file: Annotated[typer.FileText, typer.Argument(metavar="FILE", help="What export wrote; - reads standard input.")],
    failures: FailuresPath = None,
) -> None:
    """Put the sessions of a file into the service. The same file again changes nothing.

    Over another session nothing is put: it is refused, and the others go on.
    """
    path = None if file.name == "<stdin>" else Path(file.name)
    with interruptible(), connected() as client, resumable(), Refusals(failures or _beside(path)) as refusals:
        total = None if path is None else sum(1 for _ in path.open("rb"))
        with rows_done(total, "sessions") as done:
            moved = import_states(client, file, refusals, done)
    output.results().print(f"{moved.done} sessions are here", markup=False)
    tell(refusals)


def _export(client: Client, prefix: str, file: TextIO, written: set[str], refusals: Refusals) -> int:
    total = client.sessions_page(prefix=prefix, page_size=1).total_size if not prefix else None
    names = (one.session for one in client.sessions(prefix=prefix))
    with rows_done(total, "sessions") as done:
        return export_states(client, (name for name in names if name not in written), file, refusals, done).done


@contextmanager
def _appending(path: Path) -> Iterator[TextIO]:
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        why = error.strerror or "it cannot be opened"
        raise Fault(ExitCode.USAGE, f"cannot write {path}", why, "give --out another path") from error
    with file:
        yield file


def _beside(path: Path | None) -> Path:
    return Path("sessions.failures.csv") if path is None else path.with_name(path.name + ".failures.csv")


def tell(refusals: Refusals) -> None:
    """Say what was refused, and leave with the exit code that tells of it."""
    if refusals.count:
        line = f"{refusals.count} sessions were refused: {refusals.path}"
        output.messages().print(line, markup=False, soft_wrap=True)
        raise typer.Exit(ExitCode.REFUSED)
