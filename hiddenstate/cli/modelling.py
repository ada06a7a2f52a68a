"""What train, evaluate and study share: finding models, showing scores, and faults for parts and files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.table import Table

from hiddenstate.cli import faults
from hiddenstate.cli.faults import ExitCode, Fault

if TYPE_CHECKING:
    from models.evaluation.streaming import Evaluation

Timezone = Annotated[str, typer.Option(help="IANA name of the zone whose days they are, such as Europe/Berlin.")]

DEFAULT = "daily"
"""The model for series of which no other is known to fit."""


@contextmanager
def modelling() -> Iterator[None]:
    """Turn a part that is not installed, and a file or model that cannot be used, into faults."""
    try:
        from models.artifacts.artifact import ArtifactError
        from models.data import DataError
        from models.training.checkpoints import CheckpointError
    except ModuleNotFoundError as error:
        raise faults.not_installed(error.name or "?") from error
    try:
        yield
    except DataError as error:
        raise Fault(ExitCode.USAGE, "the data cannot be used", error.why, error.cure) from error
    except ArtifactError as error:
        raise Fault(ExitCode.USAGE, "the model cannot be used", str(error), "choose another with --model") from error
    except CheckpointError as error:
        raise Fault(ExitCode.USAGE, "the training cannot be resumed", str(error), "choose another --run") from error


def find_model(name: str, models_dir: Path | None) -> Path:
    """The folder of a model: a path as it is; NAME@VERSION, or the newest of NAME, shipped or in `models_dir`."""
    from models.artifacts.artifact import CONFIG

    if (Path(name) / CONFIG).is_file():
        return Path(name)
    known = versions(models_dir)
    label, _, version = name.partition("@")
    found = {number: folder for (one, number), folder in known.items() if one == label and version in ("", str(number))}
    if not found:
        raise Fault(
            ExitCode.USAGE,
            f"there is no model {name}",
            f"known are {', '.join(f'{one}@{number}' for one, number in known) or 'none'}",
            "--models-dir names a folder with further models, --model PATH one model",
        )
    return found[max(found)]


def versions(models_dir: Path | None) -> dict[tuple[str, int], Path]:
    """By name and version, the folders of the shipped models and of those in `models_dir`."""
    from models.artifacts.artifact import SHIPPED, find

    roots = [SHIPPED, *([models_dir] if models_dir else [])]
    return {(folder.parent.name, int(folder.name)): folder for folder in find(roots)}


def model_for(freq: str | None) -> Path:
    """The newest shipped model for series of a frequency; the daily one where none is, or nothing is known of it."""
    from models.artifacts.artifact import read_config
    from models.dates.frequencies import is_among

    newest = {name: folder for (name, _), folder in sorted(versions(None).items())}
    names = sorted(newest, key=lambda name: name != DEFAULT)
    fitting = (name for name in names if freq is not None and is_among(freq, read_config(newest[name])["freqs"]))
    return newest[next(fitting, DEFAULT)]


def score_tables(evaluation: "Evaluation") -> Group:
    """One row for each forecaster on each collection: one step ahead, and of the whole horizon."""
    from models.evaluation.rows import HORIZON, STREAM, of_horizon, of_stream

    stream, horizon = _scores("one step ahead", STREAM), _scores("the whole horizon", HORIZON)
    for row in evaluation.rows:
        stream.add_row(row.collection, row.forecaster, *of_stream(row.stream))
        horizon.add_row(row.collection, row.forecaster, *of_horizon(row.horizon))
    return Group(stream, "", horizon)


def _scores(title: str, figures: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("collection", title):
        table.add_column(column)
    for column in figures:
        table.add_column(column, justify="right")
    return table
