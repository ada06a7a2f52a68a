"""The train command: from data files to a published model, with progress, a training curve and a verdict."""

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from hiddenstate.cli import output, planning
from hiddenstate.cli.faults import ExitCode, Fault
from hiddenstate.cli.modelling import Timezone, modelling, score_tables, versions
from hiddenstate.cli.progress import Estimate

if TYPE_CHECKING:
    from models.training.bptt import Report, Trained, TrainOptions
    from models.training.recipe import Recipe

TOLD_EVERY_S = 60.0
"""In a log, between two validations."""

Count = Annotated[int | None, typer.Option(min=1, show_default="the recipe's")]
Names = Annotated[
    str | None,
    typer.Option(help="Columns that are observed with the values, such as rain,temp.", show_default=False),
]
State = Annotated[
    Literal["float32", "float16"] | None,
    typer.Option(help="Type of the hidden state; float16 takes half the bytes.", show_default="the recipe's"),
]


def train(
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="A file with columns unique_id, ds, y; or the folder of a recipe's files."),
    ],
    freq: Annotated[
        str | None,
        typer.Option(help="Frequency of a file's series, as pandas names it.", show_default="what the times have"),
    ] = None,
    timezone: Timezone = "UTC",
    recipe: Annotated[
        str | None, typer.Option(help="A shipped recipe, or a .toml file.", show_default="that of the freq")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="NAME, NAME@VERSION or folder of a model to train further.", show_default=False),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the model.", show_default="the file's, or the recipe's")
    ] = None,
    models_dir: Annotated[
        Path, typer.Option(help="Where to publish.", envvar="HIDDENSTATE_MODELS_DIR")
    ] = Path("trained"),
    run: Annotated[
        Path | None,
        typer.Option(
            help="Folder of checkpoints; the same again resumes, and after its end another begins.",
            show_default="runs/NAME",
        ),
    ] = None,
    past: Names = None,
    known: Annotated[
        str | None,
        typer.Option(help="Those that are known in advance, such as promo,price.", show_default=False),
    ] = None,
    static: Annotated[
        str | None, typer.Option(help="Those that have one value in each series.", show_default=False)
    ] = None,
    test_steps: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Last steps of each series to test on, where the file has no column test.",
            show_default="two horizons",
        ),
    ] = None,
    publish_anyway: Annotated[
        bool,
        typer.Option(
            "--publish-anyway", help="Publish also what is worse than repeating the last value, or --from unchanged."
        ),
    ] = False,
    updates: Annotated[
        int | None,
        typer.Option(min=1, help="Length of the training, at most.", show_default="10000; 4000 of a file; 1500 --from"),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Length by the clock instead.", show_default=False)] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Validations without a lesser error after which to stop, and keep the best weights; 0 = never.",
            show_default="8 of a file",
        ),
    ] = None,
    validate_every: Annotated[
        int | None, typer.Option(min=1, help="Updates from one validation to the next.", show_default="by length")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=0.0, show_default="the recipe's; 0.0005 --from, without covariates")
    ] = None,
    synthetic_series: Annotated[
        int | None, typer.Option(min=1, help="Synthetic series to draw.", show_default="40000; 10000 --from")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same weights, with as many threads.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Processor cores to use.")] = os.cpu_count() or 1,
    unroll: Count = None,
    chunks: Count = None,
    hidden: Count = None,
    layers: Count = None,
    season: Count = None,
    state: State = None,
) -> None:
    """Train a model on your series and publish it.

    By truncated BPTT: gradients cross --unroll steps, the state is carried through --chunks such pieces. A model that
    is worse than repeating the last value on the test part, one step ahead or over the horizon, is not published, nor
    one with the very weights of --from, and the command ends with exit code 1.
    """
    if minutes is not None and not 0.0 < minutes < math.inf:
        raise Fault(
            ExitCode.USAGE, f"--minutes {minutes:g} is no length", "it is the length of the training", "--minutes 10"
        )
    with modelling():
        from models.training import bptt, publishing

        notes: list[str] = []

        def note(text: str) -> None:
            notes.append(text)
            _say(text)

        begins = None if start is None else planning.start_of(start, models_dir)
        plan = planning.recipe_of(data, recipe, freq, timezone, begins, test_steps, note)
        plan = planning.with_covariates(plan, data, begins, past=past, known=known, static=static)
        plan = planning.changed(
            plan,
            schedule={"unroll": unroll, "chunks": chunks, "learning_rate": learning_rate},
            model={"hidden": hidden, "layers": layers, "season": season, "state": state},
            start=begins,
        )
        if not data.is_dir():
            planning.tell(plan, data, note)
        label = name or implied_name(plan)
        version = next_version(label, models_dir)
        options = bptt.TrainOptions(
            recipe=plan,
            data=data if data.is_dir() else data.parent,
            run=run or Path("runs") / label,
            minutes=minutes,
            seed=seed,
            processes=threads,
            threads=threads,
            start=begins,
            **planning.lengths(
                plan, begins, updates=updates, patience=patience, every=validate_every, synthetic=synthetic_series
            ),
        )
        if published := _published(options, label, models_dir):
            output.results().print(f"already published as {published}", markup=False, soft_wrap=True)
            return
        with _progress(options.updates, minutes) as report:
            trained = bptt.train(options, report)
        note(publishing.weights(trained))
        _say(f"training curve: {trained.picture}")
        _publish(trained, options, label, version, models_dir, notes, anyway=publish_anyway)


def _publish(
    trained: "Trained",
    options: "TrainOptions",
    name: str,
    version: int,
    models_dir: Path,
    notes: Sequence[str],
    *,
    anyway: bool,
) -> None:
    """Score what was trained, report, and publish it unless it is worse than repeating the last value or no other."""
    from models.artifacts.artifact import read_config
    from models.evaluation.verdict import Verdict, gain
    from models.report.findings import Findings
    from models.report.page import page, write
    from models.training import checkpoints, publishing

    findings, report = Findings(f"{name}@{version}"), None
    start, gained = trained.start, []
    with publishing.drafted(trained, name=name, version=version) as draft:
        evaluation = publishing.score(trained, draft, data=options.data, note=_say, told=findings.take)
        verdict = Verdict.of(evaluation, findings.label)
        if evaluation is not None:
            output.results().print(score_tables(evaluation))
            if start is not None and verdict.scores is not None:
                gained = [gain(evaluation, findings.label, publishing.row_of(start), start.label)]
            report = write(options.run / "report.html", page(evaluation, findings, verdict, [*notes, *gained]))
            _say(f"report: {report}")
        if (verdict.is_worse or trained.is_unchanged) and not anyway:
            checkpoints.end(options.run, checkpoints.Ended(findings.label, None))
            raise _unchanged(start.label) if start and trained.is_unchanged else _unpublished(str(verdict))
        published = publishing.publish(
            trained, evaluation, name=name, version=version, root=models_dir, report=report, draft=draft
        )
    checkpoints.end(options.run, checkpoints.Ended(findings.label, read_config(published)["fingerprint"]))
    _say(f"serve it: hiddenstate serve --models-dir {models_dir}")
    for line in (f"published {findings.label}: {published}", *gained, str(verdict)):
        output.results().print(line, markup=False, soft_wrap=True)


def _say(text: str) -> None:
    output.messages().print(text, markup=False, soft_wrap=True)


def _unpublished(verdict: str) -> Fault:
    cure = "--publish-anyway added to the same command publishes it without training again; more series may help"
    return Fault(ExitCode.NEGATIVE, "the model is not published", verdict, cure)


def _unchanged(start: str) -> Fault:
    why = f"its weights are those of {start}, unchanged: no update had less error on what validates"
    cure = f"use {start} itself, or train on more series; --publish-anyway publishes its copy"
    return Fault(ExitCode.NEGATIVE, "the model is not published", why, cure)


def _published(options: "TrainOptions", name: str, models_dir: Path) -> str | None:
    """As what, and where, this very training was published under the name before."""
    from models.artifacts.artifact import read_config
    from models.training import bptt

    ended = bptt.ended(options)
    if ended is None:
        return None
    own = {f"{known}@{version}": folder for (known, version), folder in versions(models_dir).items() if known == name}
    folder = own.get(ended.label)
    is_it = folder is not None and read_config(folder)["fingerprint"] == ended.fingerprint
    return f"{ended.label}: {folder}" if is_it else None


def implied_name(recipe: "Recipe") -> str:
    """That of the user's file, or of the recipe; refuses that of a shipped model for a file, before hours are spent."""
    if recipe.own and recipe.name in {known for known, _ in versions(None)}:
        raise Fault(
            ExitCode.USAGE,
            f"a file named {recipe.name} gives its model no name",
            f"{recipe.name} is a shipped model: a newer version of it would take its place for every new session",
            f"--name my-{recipe.name}, or --name {recipe.name} if that is meant",
        )
    return recipe.name


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


@contextmanager
def _progress(updates: int, minutes: float | None) -> "Iterator[Report]":
    """Bars on a terminal, lines elsewhere; the training ends after so many updates, or minutes where they are given."""
    from models.training.bptt import Report
    from models.training.curve import Point

    columns = (TextColumn("{task.description:<22}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
    console = output.messages()
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bars:
        drawing = bars.add_task("synthetic series", total=None)
        learning = bars.add_task("training", total=1.0)

        estimate = Estimate()

        class Shown(Report):
            told_s = time.monotonic()

            def note(self, text: str) -> None:
                console.print(text, markup=False, soft_wrap=True)

            def synthetic(self, done: int, total: int) -> None:
                bars.update(drawing, completed=done, total=total)

            def updated(self, done: float, loss: float) -> None:
                bars.update(learning, completed=done, description=f"training, loss {loss:.4f}")
                left = estimate.left(done)
                if not console.is_terminal and time.monotonic() > self.told_s + TOLD_EVERY_S:
                    self._tell(f"{100 * done:.0f} % done{left}: loss {loss:.4f}")

            def validated(self, point: Point) -> None:
                errors = ", ".join(f"{name} {error:.4f}" for name, error in point.relative_error.items())
                loss = "" if math.isnan(point.loss) else f"loss {point.loss:.4f}, "
                left = estimate.left(point.seconds / (60.0 * minutes) if minutes else point.update / updates)
                where = f"update {point.update}{'' if minutes else f' of {updates}'}{left}"
                self._tell(f"{where}: {loss}validation relMAE: {errors or 'no series is long enough'}")

            def _tell(self, text: str) -> None:
                self.note(text)
                self.told_s = time.monotonic()

        yield Shown()
