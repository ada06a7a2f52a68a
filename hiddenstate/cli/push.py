"""The push command: a file's rows through the API, safe beside live traffic."""

import time
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from hiddenstate.cli import faults, output
from hiddenstate.cli.files import (
    Data,
    FailuresPath,
    Freq,
    Model,
    Prefix,
    beside,
    checked_freq,
    freq_of,
    interruptible,
    refused_rows,
    unusable,
)
from hiddenstate.cli.progress import rows_done
from hiddenstate.cli.sessions import connected, resumable
from hiddenstate.client import Client
from hiddenstate.files.failures import Failures
from hiddenstate.sending.shapes import Settings

if TYPE_CHECKING:
    from hiddenstate.files.pushing import Pushed
    from hiddenstate.files.tables import SeriesFile
    from hiddenstate.files.taken import Taken


class Conflict(StrEnum):
    reject = "reject"
    correct = "correct"


def push(
    data: Data,
    freq: Freq = None,
    model: Model = None,
    create: Annotated[bool, typer.Option("--create/--no-create", help="Create sessions that are not there.")] = True,
    on_conflict: Annotated[
        Conflict, typer.Option(help="What another value for a time that is known does.")
    ] = Conflict.reject,
    prefix: Prefix = "",
    failures: FailuresPath = None,
) -> None:
    """Send a file's rows to the service: new sessions are created with their history, later rows follow in batches.

    Series may be mixed, but the rows of each stand oldest first; without a column ds they are counted. Refused rows go
    to a file and the others go on. After an interruption the same command goes on where it was.
    """
    try:
        from hiddenstate.files.pushing import Push
        from hiddenstate.files.tables import SeriesFile
        from hiddenstate.files.unreadable import TableError
    except ModuleNotFoundError as error:
        raise faults.not_installed(error.name or "?") from error
    required = None if freq is None else checked_freq(freq)
    began = time.monotonic()
    try:
        file = SeriesFile(data)
        settings = _settings(required or freq_of(file), model)
        with interruptible(), connected() as client, resumable():
            taken = _taken(client, file, model)
            with Failures(failures or beside(data), taken.columns) as refused, rows_done(file.rows) as done:
                pushed = Push(
                    client,
                    file,
                    covariates=taken,
                    settings=settings,
                    freq=required,
                    create=create,
                    on_conflict=on_conflict.value,
                    prefix=prefix,
                    failures=refused,
                    done=done,
                ).run()
    except TableError as error:
        raise unusable(error) from error
    output.results().print(
        f"{pushed.created} sessions created, {pushed.applied} rows applied, {pushed.replayed} known already"
        f"{f', {pushed.imputed:,} steps filled in' if pushed.imputed else ''}"
        f" ({file.rows / max(time.monotonic() - began, 1e-9):,.0f} rows/s)"
    )
    _tell_left_out(sorted(pushed.left_out))
    _tell(pushed)
    refused_rows(refused)


def _tell(pushed: "Pushed") -> None:
    """What of a push may surprise."""
    lines = []
    if pushed.older:
        lines.append(f"{pushed.older} rows are from before what their sessions can compare: left out")
    if (sparse := pushed.sparsest) is not None:
        lines.append(
            f"{sparse.session}: {sparse.imputed:,} of its {sparse.steps:,} new steps are not in the file and were "
            "filled in as missing; if the freq is wrong, push with the right --freq and a --prefix of its own"
        )
    if pushed.example is not None:
        lines += [f"{pushed.example.session}: {warning['detail']}" for warning in pushed.example.warnings]
    for line in lines:
        output.messages().print(line, markup=False, soft_wrap=True)


def _settings(freq: str | None, model: str | None) -> Settings:
    settings = Settings()
    if freq is not None:
        settings["freq"] = freq
    if model is not None:
        settings["model"] = model
    return settings


def _taken(client: Client, file: "SeriesFile", model: str | None) -> "Taken":
    """The columns of the file that the model takes, or any model where none is named; the others are named."""
    from hiddenstate.files.taken import Taken

    taken = Taken.of(client.models() if model is None else [client.model(model)], file.covariates)
    _tell_left_out([name for name in file.covariates if name not in taken.columns])
    return taken


def _tell_left_out(columns: Sequence[str]) -> None:
    if columns:
        output.messages().print(f"left out, the model does not take them: {', '.join(columns)}", markup=False)
