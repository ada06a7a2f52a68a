"""Commands that make and judge models: train, evaluate, study."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from hiddenstate.cli import faults, output
from hiddenstate.cli.faults import ExitCode, Fault

if TYPE_CHECKING:
    from models.evaluation import Evaluation

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@contextmanager
def training_parts() -> Iterator[None]:
    """Turn a part that is not installed, and a file that cannot be used, into faults."""
    try:
        from models.artifact import ArtifactError
        from models.data import DataError
    except ModuleNotFoundError as error:
        raise faults.not_installed(error.name or "?") from error
    try:
        yield
    except DataError as error:
        what, _, cure = str(error).partition(";")
        raise Fault(
            ExitCode.USAGE, "the data cannot be used", what, cure or "see 'Training your own' in README.md"
        ) from error
    except ArtifactError as error:
        raise Fault(
            ExitCode.USAGE, "the model cannot be used", str(error), "hiddenstate evaluate --help lists the options"
        ) from error


def evaluate(
    data: Annotated[list[Path], typer.Argument(help="Data files with a test part.")],
    model: Annotated[str, typer.Option(help="NAME, NAME@VERSION, or the folder of an artifact.")] = "daily",
    models_dir: Annotated[
        Path | None, typer.Option(help="Folder of further models.", envvar="HIDDENSTATE_MODELS_DIR")
    ] = None,
    season: Annotated[
        int | None, typer.Option(min=1, help="Steps of a season.", show_default="the model's own")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write the forecasts to, as Parquet.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score a model by the streaming protocol (predict, then observe), beside naive forecasts."""
    with training_parts():
        from models.artifact import load
        from models.evaluation import EvaluateOptions
        from models.evaluation import evaluate as run

        options = EvaluateOptions(data, season=season, out=out)
        evaluation = run(load(find_model(model, models_dir)), options, output.messages().print)
    if as_json:
        output.print_json(asdict(evaluation))
    else:
        output.results().print(score_table(evaluation))


def score_table(evaluation: "Evaluation") -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("collection", "forecaster"):
        table.add_column(column)
    for column in ("series", "relMAE", "MASE", "CRPS", "in 80 %", "in 95 %", "MASE of the horizon"):
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
            f"{row.horizon.mase:.4f}",
        )
    return table


def find_model(name: str, models_dir: Path | None) -> Path:
    """The folder of a model: a path as it is; NAME@VERSION, or the newest of NAME, shipped or in `models_dir`."""
    from models.artifact import CONFIG, SHIPPED, find

    if (Path(name) / CONFIG).is_file():
        return Path(name)
    folders = find([SHIPPED, *([models_dir] if models_dir else [])])
    label, _, version = name.partition("@")
    versions = [folder for folder in folders if folder.parent.name == label and version in ("", folder.name)]
    if not versions:
        known = ", ".join(f"{folder.parent.name}@{folder.name}" for folder in folders)
        raise Fault(
            ExitCode.USAGE,
            f"there is no model {name}",
            f"known are {known or 'none'}",
            "--models-dir names a folder with further models, --model PATH one model",
        )
    return max(versions, key=lambda folder: int(folder.name))
