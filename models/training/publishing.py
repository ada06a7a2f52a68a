"""From a finished training to a published artifact: scored through the serving runtime, with a model card."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from models.artifacts import artifact
from models.artifacts.artifact import Description
from models.evaluation.collections import Files
from models.evaluation.streaming import EvaluateOptions, Evaluation, Row, Told, evaluate
from models.mixture import MixtureConfig
from models.training.bptt import Trained
from models.training.recipe import Schedule
from models.training.start import Start


@contextmanager
def drafted(trained: Trained, *, name: str, version: int) -> Iterator[Path]:
    """The trained module as it would be served, without figures yet; its folder goes with the context.

    Raises:
        ArtifactError: see `artifact.publish`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        yield artifact.publish(trained.module, _describe(trained, name, version, None), Path(scratch))


def score(
    trained: Trained,
    draft: Path,
    *,
    data: Path,
    note: Callable[[str], None] | None = None,
    told: Told | None = None,
) -> Evaluation | None:
    """Score the draft of what was trained, beside what it began with; None where the recipe names nothing to score.

    Args:
        data: folder with the recipe's `scored` files.
        note, told: as `evaluate` has them.
    Raises:
        DataError: a scored file cannot be used.
    """
    if not trained.recipe.scored:
        return None
    recipe, start = trained.recipe, trained.start
    files = Files(
        [data / file for file in recipe.scored], timezone=recipe.timezone, test_steps=recipe.test_steps
    )
    others = {} if start is None else {row_of(start): artifact.load(start.folder)}
    return evaluate(artifact.load(draft), EvaluateOptions(files, others=others), note, told)




def row_of(start: Start) -> str:
    """The name, in an evaluation, of the rows of the model whose weights were trained further."""
    return f"from {start.label}"


def weights(trained: Trained) -> str:
    """Which weights those of the model are, in a sentence for people."""
    if trained.kept:
        return f"the weights kept are those after update {trained.kept} of {trained.updates}"
    whose = "before the first update" if trained.start is None else f"of {trained.start.label}, unchanged"
    return f"the weights kept are those {whose}: none of {trained.updates} updates had less error on what validates"


def publish(
    trained: Trained,
    evaluation: Evaluation | None,
    *,
    name: str,
    version: int,
    root: Path,
    report: Path | None = None,
    draft: Path | None = None,
) -> Path:
    """Publish the trained module under `root` with its figures, where it has any, and a card; the artifact's folder.

    Args:
        report: a page that is to stand beside the card.
        draft: of it, where there is one.
    Raises:
        ArtifactError: see `artifact.publish`.
    """
    description = _describe(trained, name, version, evaluation)
    beside = [trained.picture, *([report] if report else [])]
    return artifact.publish(trained.module, description, root, beside=beside, draft=draft)


def _describe(trained: Trained, name: str, version: int, evaluation: Evaluation | None) -> Description:
    provenance: dict[str, Any] = {
        "recipe": trained.recipe.name,
        "schedule": asdict(trained.recipe.schedule),
        "updates": trained.updates,
        "weights_of_update": trained.kept,
        "seed": trained.seed,
        "threads": trained.threads,
        "torch": torch.__version__,
        "sha256": trained.sha256,
        "sources": [
            {
                "file": rows.source.file,
                "prefixes": list(rows.source.prefixes),
                "series": rows.series,
                "steps": rows.steps,
                "sha256": rows.sha256,
                "licence": rows.source.licence,
            }
            for rows in trained.rows
        ],
    }
    if trained.start is not None:
        provenance["from"] = {"model": trained.start.label, "fingerprint": trained.start.fingerprint}
    return Description(
        name=name,
        version=version,
        freqs=trained.recipe.freqs,
        warm_up=trained.recipe.model.warm_up,
        card=card(trained, name, version, evaluation),
        metrics=_metrics(evaluation),
        provenance=provenance,
    )


def _metrics(evaluation: Evaluation | None) -> dict[str, Any]:
    """By collection and forecaster, the figures that the card shows, to four digits."""
    metrics: dict[str, Any] = {}
    for row in evaluation.rows if evaluation else ():
        figures = {"relMAE": row.stream.relative_mae, "MASE": row.stream.mase, "horizon_MASE": row.horizon.mase}
        if row.stream.crps is not None:
            figures |= {"CRPS": row.stream.crps}
            figures |= {f"coverage_{level}": share for level, share in row.stream.coverage.items()}
        metrics.setdefault(row.collection, {})[row.forecaster] = {key: round(x, 4) for key, x in figures.items()}
    return metrics


def card(trained: Trained, name: str, version: int, evaluation: Evaluation | None) -> str:
    """The model card, in Markdown."""
    model, schedule = trained.recipe.model, trained.recipe.schedule
    parts = [
        f"# {name}@{version}",
        "",
        f"Forecasts the next {model.horizon} steps of a series of frequency {', '.join(trained.recipe.freqs)} from one "
        f"state, as {len(model.quantiles)} quantiles that cannot cross. The state remembers {_seasons(model)}, levels, "
        f"the errors of {model.memory.experts} simple forecasts, and an LSTM that weighs them; it is folded one "
        f"observation at a time.{_trusted(model)}{_calibrated(model)}",
        "",
        f"LSTM: {model.layers} layer{'s' if model.layers > 1 else ''}, {model.hidden} hidden units, "
        f"state in {model.state}; "
        f"{sum(p.numel() for p in trained.module.parameters()):,} parameters.",
        "",
        "## How it was trained",
        "",
        f"Truncated BPTT over {schedule.unroll} steps, {trained.updates:,} updates of {schedule.batch} windows, "
        f"{_kept(trained)}"
        f"seed {trained.seed}, {trained.seconds / 60:.0f} minutes on a CPU. "
        f"{100 * (schedule.synthetic + schedule.walks):.0f} % of the windows are synthetic (`models/synthetic/`)"
        f"{_ended(schedule)}. "
        "Only training rows were read; the ends of some series were held out of the windows for the validation curve.",
        "",
        *_command(trained),
        f"![training curve]({trained.picture.name})",
        "",
        "## Training data",
        "",
        f"SHA-256 of all rows read: `{trained.sha256}` (`models.data.digest`).",
        "",
        "| file | series | steps | licence | SHA-256 of the rows |",
        "| --- | ---: | ---: | --- | --- |",
    ]
    for rows in trained.rows:
        source = rows.source
        chosen = f" ({', '.join(source.prefixes)})" if source.prefixes else ""
        parts.append(
            f"| {source.file}{chosen} | {rows.series:,} | {rows.steps:,} | {source.licence} | `{rows.sha256}` |"
        )
    parts += ["", *_attributions(trained)]
    if evaluation is not None:
        parts += ["## Scores on the test parts", "", *scores_table(evaluation)]
    return "\n".join(parts) + "\n"


def scores_table(evaluation: Evaluation) -> list[str]:
    """Markdown: every forecaster on every collection."""
    lines = [
        "Streaming protocol: predict, then observe, one step ahead over the test part; the state is warmed on at most "
        f"the last {evaluation.warm_up} training steps. relMAE: error over that of repeating the last value, geometric "
        "mean over series. Horizon: the whole fan from the end of the training part, MASE scaled by the seasonal step. "
        "The test parts follow the training parts, of the series trained on and of others of their kind: other kinds "
        "may score worse.",
        "",
        "| collection | forecaster | relMAE | MASE | CRPS | 80 % | 95 % | horizon MASE | sMAPE | 80 % | 95 % |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    return lines + [_line(row) for row in evaluation.rows] + [""]


def _line(row: Row) -> str:
    stream, horizon = row.stream, row.horizon
    crps = "" if stream.crps is None else f"{stream.crps:.4f}"
    figures = [f"{stream.relative_mae:.4f}", f"{stream.mase:.4f}", crps, *_shares(stream.coverage)]
    figures += [f"{horizon.mase:.4f}", f"{horizon.smape:.3f}", *_shares(horizon.coverage)]
    return f"| {' | '.join([row.collection, row.forecaster, *figures])} |"


def _shares(coverage: dict[int, float]) -> list[str]:
    """Of actuals inside of the 80 % and the 95 % interval; empty for a forecaster without intervals."""
    return [f"{coverage[level]:.3f}" if level in coverage else "" for level in (80, 95)]


def _kept(trained: Trained) -> str:
    """Which weights these are, where they are not those of the last update and of a training from nothing."""
    start = "" if trained.start is None else f"from the weights of {trained.start.label} on, "
    return start + (f"of which those after {trained.kept:,} are kept, " if trained.kept != trained.updates else "")


def _ended(schedule: Schedule) -> str:
    """What is other in the last part of the training."""
    ending = schedule.ending
    if ending is None:
        return ""
    share, rate = 100 * (ending.synthetic + ending.walks), ending.rate * schedule.learning_rate
    return (
        f", {share:.0f} % in the last {100 * ending.share:.0f} % of the training: the weights are the mean of those "
        f"there, at a constant learning rate of {rate:g} (before, it falls from {schedule.learning_rate:g})"
    )


def _command(trained: Trained) -> list[str]:
    """What does the training of a shipped recipe again."""
    if trained.recipe.own:
        return []
    length = f"--updates {trained.updates} --threads {trained.threads}"
    options = f"--recipe {trained.recipe.name} --seed {trained.seed} {length}"
    return [f"`hiddenstate train FOLDER {options}` does it again.", ""]


def _seasons(model: MixtureConfig) -> str:
    return f"{model.season}-step seasons" + (f" and {model.longer}-step ones" if model.longer else "")


def _trusted(model: MixtureConfig) -> str:
    if not model.trust:
        return ""
    return " Each session compares the network with the plain mixture of these forecasts, and gives either its part."


def _calibrated(model: MixtureConfig) -> str:
    if not model.anchors:
        return ""
    *first, last = map(str, model.anchors)
    ahead = f"{', '.join(first)} and {last} steps ahead" if first else f"{last} step ahead"
    return f" Intervals are calibrated in each session, {ahead}, and interpolated between."


def _attributions(trained: Trained) -> Sequence[str]:
    named = dict.fromkeys(rows.source.attribution for rows in trained.rows if rows.source.attribution)
    return [*(f"* {text}" for text in named), ""] if named else []
