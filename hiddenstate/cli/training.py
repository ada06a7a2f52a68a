"""The train command: from data files to a published model, with progress and a training curve."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from hiddenstate.cli import output
from hiddenstate.cli.faults import ExitCode, Fault
from hiddenstate.cli.modelling import modelling, score_table, versions

if TYPE_CHECKING:
    from models.training.bptt import Report
    from models.training.recipe import Recipe

Count = Annotated[int | None, typer.Option(min=1, show_default="the recipe's")]
State = Annotated[
    Literal["float32", "float16"] | None,
    typer.Option(help="Type of the hidden state; float16 takes half the bytes.", show_default="the recipe's"),
]


def train(
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="A file with columns unique_id, ds, y; or the folder of a recipe's files."),
    ],
    freq: Annotated[str, typer.Option(help="Frequency of a file's series, as pandas names it.")] = "D",
    recipe: Annotated[str, typer.Option(help="A shipped recipe, or a .toml file.")] = "daily",
    name: Annotated[
        str | None, typer.Option(help="Name of the model.", show_default="the file's, or the recipe's")
    ] = None,
    models_dir: Annotated[
        Path, typer.Option(help="Where to publish.", envvar="HIDDENSTATE_MODELS_DIR")
    ] = Path("trained"),
    run: Annotated[
        Path | None, typer.Option(help="Folder of checkpoints; the same again resumes.", show_default="runs/NAME")
    ] = None,
    updates: Annotated[int, typer.Option(min=1, help="Length of the training.")] = 10_000,
    minutes: Annotated[float | None, typer.Option(help="Length by the clock instead.", show_default=False)] = None,
    synthetic_series: Annotated[int, typer.Option(min=1, help="Synthetic series to draw.")] = 40_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same weights.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Processor cores to use.")] = os.cpu_count() or 1,
    unroll: Count = None,
    chunks: Count = None,
    hidden: Count = None,
    layers: Count = None,
    season: Count = None,
    state: State = None,
) -> None:
    """Train a model on your series and publish it.

    By truncated BPTT: gradients cross --unroll steps, the state is carried through --chunks such pieces.
    """
    with modelling():
        from models.training import bptt, publishing

        plan = _plan(data, recipe, freq)
        plan = replace(
            plan,
            schedule=replace(plan.schedule, **_given(unroll=unroll, chunks=chunks)),
            model=replace(plan.model, **_given(hidden=hidden, layers=layers, season=season, state=state)),
        )
        label = name or plan.name
        version = next_version(label, models_dir)
        folder = data if data.is_dir() else data.parent
        options = bptt.TrainOptions(
            recipe=plan,
            data=folder,
            run=run or Path("runs") / label,
            updates=updates,
            minutes=minutes,
            seed=seed,
            synthetic_series=synthetic_series,
            processes=threads,
            threads=threads,
        )
        with _progress() as report:
            trained = bptt.train(options, report)
        note = output.messages().print
        note(f"training curve: {trained.picture}", markup=False, soft_wrap=True)
        published, evaluation = publishing.publish(
            trained, name=label, version=version, root=models_dir, data=folder, note=note
        )
    if evaluation is not None:
        output.results().print(score_table(evaluation))
    output.results().print(f"published {label}@{version}: {published}", markup=False, soft_wrap=True)
    note(f"serve it: hiddenstate serve --models-dir {models_dir}", markup=False, soft_wrap=True)


def _plan(data: Path, recipe: str, freq: str) -> "Recipe":
    """The recipe itself for a folder of its files, and its architecture and schedule for a single file."""
    from models.training.recipe import load, of_file

    plan = load(recipe)
    return plan if data.is_dir() else of_file(data, freq=freq, model=plan.model, schedule=plan.schedule)


def next_version(name: str, models_dir: Path) -> int:
    """One above the newest; refuses a name that could not be published, before hours are spent."""
    from models.artifacts.artifact import NAME

    if not NAME.fullmatch(name):
        raise Fault(
            ExitCode.USAGE,
            f"{name!r} cannot be a model's name",
            "a name has lower-case letters, digits, - and _, at most 40, and begins with a letter",
            "--name sales",
        )
    return max((version for known, version in versions(models_dir) if known == name), default=0) + 1


def _given(**changes: int | str | None) -> dict[str, Any]:
    return {name: value for name, value in changes.items() if value is not None}


@contextmanager
def _progress() -> "Iterator[Report]":
    """Bars on a terminal, lines elsewhere."""
    from models.training.bptt import Report
    from models.training.curve import Point

    columns = (TextColumn("{task.description:<22}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    console = output.messages()
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bars:
        drawing = bars.add_task("synthetic series", total=None)
        learning = bars.add_task("training", total=1.0)

        class Shown(Report):
            def note(self, text: str) -> None:
                console.print(text, markup=False, soft_wrap=True)

            def synthetic(self, done: int, total: int) -> None:
                bars.update(drawing, completed=done, total=total)

            def updated(self, done: float, loss: float) -> None:
                bars.update(learning, completed=done, description=f"training, loss {loss:.4f}")

            def validated(self, point: Point) -> None:
                errors = ", ".join(f"{name} {error:.4f}" for name, error in point.relative_error.items())
                loss = "" if math.isnan(point.loss) else f"loss {point.loss:.4f}, "
                self.note(f"update {point.update}: {loss}validation relMAE: {errors or 'no series is long enough'}")

        yield Shown()
