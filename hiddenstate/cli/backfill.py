"""The backfill command: a file's series straight into the store, beside the service."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiddenstate.cli import faults, output
from hiddenstate.cli.faults import ExitCode, Fault
from hiddenstate.cli.files import (
    Data,
    FailuresPath,
    Freq,
    Model,
    Prefix,
    beside,
    freq_of,
    interruptible,
    refused_rows,
    unusable,
)
from hiddenstate.cli.progress import rows_done
from hiddenstate.cli.serve import require_models, settings_of, without_password
from hiddenstate.files.failures import Failures

if TYPE_CHECKING:
    from service.wire.schemas import SessionSettings


def backfill(
    data: Data,
    store_url: Annotated[
        str | None, typer.Option(help="Redis or Valkey to fill.", show_default="HIDDENSTATE_STORE_URL")
    ] = None,
    model: Model = None,
    freq: Freq = None,
    prefix: Prefix = "",
    models_dir: Annotated[Path | None, typer.Option(help="Folder of further models.", show_default=False)] = None,
    failures: FailuresPath = None,
) -> None:
    """Create a session of each series in a file, its history folded here, with one write each.

    The rows of a series stand together, oldest first. Values alone are folded: a file with covariates of the model goes
    through push. A session that exists is left alone; one that was created from
    the same rows counts as done, so that the same command goes on after an interruption.
    """
    try:
        from hiddenstate.files.filling import fill
        from hiddenstate.files.tables import SeriesFile
        from hiddenstate.files.unreadable import TableError
        from models.artifacts.artifact import ArtifactError
        from service.storage.store import StoreUnavailable
        from service.wire.problems import ServiceError
    except ModuleNotFoundError as error:
        raise faults.not_installed(error.name or "?") from error
    settings = settings_of(store_url=store_url, models_dir=models_dir)
    if settings.store_url is None:
        raise Fault(
            ExitCode.USAGE,
            "it is not said which store to fill",
            "a backfill writes to a Redis or Valkey server; the embedded store belongs to its service",
            "give --store-url redis://127.0.0.1:6379/0, or use hiddenstate push",
        )
    require_models(settings)
    asked = _asked(model=model, freq=freq)
    began = time.monotonic()
    try:
        file = SeriesFile(data)
        if freq is None:
            asked = _asked(model=model, freq=freq_of(file))
        with interruptible(), Failures(failures or beside(data)) as refused, rows_done(file.rows) as done:
            filled = asyncio.run(fill(file, settings, asked, prefix=prefix, failures=refused, done=done))
    except TableError as error:
        raise unusable(error) from error
    except ArtifactError as error:
        raise Fault(ExitCode.USAGE, "the model cannot be used", str(error), "mend its folder") from error
    except ServiceError as error:
        raise Fault(ExitCode.USAGE, error.title, error.detail, "choose another --model or --freq") from error
    except StoreUnavailable as error:
        raise Fault(
            ExitCode.UNREACHABLE,
            f"the store at {without_password(settings.store_url)} cannot be reached",
            str(error),
            "start it or mend --store-url; once it answers, the same command goes on where it was",
        ) from error
    output.results().print(
        f"{filled.created} sessions created, {filled.there} there already, {filled.refused} refused"
        f" ({file.rows / max(time.monotonic() - began, 1e-9):,.0f} rows/s)"
    )
    if file.covariates:
        output.messages().print(f"left out, the model does not take them: {', '.join(file.covariates)}", markup=False)
    refused_rows(refused)


def _asked(**given: str | None) -> "SessionSettings":
    """The settings of the sessions to create: those that were given."""
    from pydantic import ValidationError

    from service.wire.schemas import SessionSettings

    try:
        return SessionSettings.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0])
        why = str(first["msg"]).removeprefix("Value error, ")
        raise Fault(ExitCode.USAGE, f"--{name} cannot be used", why, f"choose another --{name}") from error
