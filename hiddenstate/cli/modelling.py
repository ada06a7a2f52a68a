"""What train, evaluate and study share: finding models, showing scores, and faults for parts and files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from hiddenstate.cli import faults, output
from hiddenstate.cli.faults import ExitCode, Fault

if TYPE_CHECKING:
    from models.evaluation.streaming import Evaluation


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
        why, _, cure = str(error).partition(";")
        cure = cure or "give a file with the columns unique_id, ds, y; see 'Your own model' in README.md"
        raise Fault(ExitCode.USAGE, "the data cannot be used", why, cure) from error
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


def score_table(evaluation: "Evaluation") -> Table:
    """One row for each forecaster on each collection; alarms are of drift, in 1,000 steps."""
    table = Table(box=None, pad_edge=False)
    for column in ("collection", "forecaster"):
        table.add_column(column)
    for column in ("series", "relMAE", "MASE", "CRPS", "in 80 %", "in 95 %", "alarms", "MASE of the horizon"):
        table.add_column(column, justify="right")
    for row in evaluation.rows:
        stream = row.stream
        table.add_row(
            row.collection,
            row.forecaster,
            str(stream.series),
            f"{stream.relative_mae:.4f}",
            f"{stream.mase:.4f}",
            output.MISSING if stream.crps is None else f"{stream.crps:.4f}",
            output.percent(stream.coverage.get(80)),
            output.percent(stream.coverage.get(95)),
            output.MISSING if stream.alarms is None else f"{stream.alarms:.2f}",
            f"{row.horizon.mase:.4f}",
        )
    return table
