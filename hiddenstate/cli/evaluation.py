"""The evaluate command: a model beside naive forecasts, on data with a test part."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hiddenstate.cli import output
from hiddenstate.cli.faults import ExitCode, Fault
from hiddenstate.cli.files import checked_freq
from hiddenstate.cli.modelling import Timezone, find_model, model_for, modelling, score_tables


def evaluate(
    data: Annotated[
        list[Path],
        typer.Argument(metavar="DATA", help="Data files; 'test' is true on the last rows of each series."),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="NAME, NAME@VERSION, or the folder of a model.", show_default="the shipped one for the freq"
        ),
    ] = None,
    models_dir: Annotated[
        Path | None, typer.Option(help="Folder of further models.", envvar="HIDDENSTATE_MODELS_DIR")
    ] = None,
    season: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[FILE=]STEPS",
            help="Steps of a season, of all files or of one, such as sales=7; may be given for each.",
            show_default="the model's own",
        ),
    ] = None,
    freq: Annotated[
        str | None,
        typer.Option(help="Frequency of the series, as pandas names it.", show_default="what the times have"),
    ] = None,
    timezone: Timezone = "UTC",
    test_steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Last steps of each series to test on, where the file has no column test.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write the forecasts to, as Parquet.", show_default=False)
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page with charts here, as HTML.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """Score a model by the streaming protocol (predict, then observe), beside naive forecasts.

    Alarms are those of drift, in 1,000 steps of the test parts. The whole horizon is scored by the measures of the M4
    competition, with the season of --season: MASE and MSIS are scaled by the mean step from one season to the next, and
    OWA is over Naive2 of that season. M4 itself takes 24 for hourly series and 1 for weekly and daily ones.
    """
    with modelling():
        from models.artifacts.artifact import load
        from models.data import freq_of
        from models.evaluation.collections import Files, names_of
        from models.evaluation.streaming import EvaluateOptions
        from models.evaluation.streaming import evaluate as score
        from models.evaluation.verdict import Verdict
        from models.report.findings import Findings
        from models.report.page import page, write

        names = names_of(data)
        of_all, of_each = _seasons(season or [], names)
        known = checked_freq(freq) if freq else None
        found = {name: known or freq_of(path, timezone) for name, path in zip(names, data, strict=True)}
        loaded = load(find_model(model, models_dir) if model else model_for(found[names[0]]))
        freqs = {name: of_file for name, of_file in found.items() if of_file}
        files = Files(data, of_all, of_each, freqs, timezone, test_steps or 0)
        findings = Findings(loaded.spec.label)
        evaluation = score(loaded, EvaluateOptions(files, out=out), _say, findings.take if report else None)
        if report is not None:
            verdict = Verdict.of(evaluation, findings.label)
            write(report, page(evaluation, findings, verdict, evaluation.warnings))
            _say(f"report: {report}")
    if as_json:
        output.print_json(asdict(evaluation))
    else:
        output.results().print(score_tables(evaluation))


def _say(text: str) -> None:
    output.messages().print(text, markup=False, soft_wrap=True)


def _seasons(given: Sequence[str], names: Sequence[str]) -> tuple[int | None, dict[str, int]]:
    """The season of all files, and those of single ones by their names."""
    of_all, of_each = None, {}
    for text in given:
        name, _, steps = text.rpartition("=")
        if not steps.isdecimal() or int(steps) < 1 or (name and name not in names):
            raise Fault(
                ExitCode.USAGE,
                f"--season {text} cannot be used",
                f"it is a number of steps, or one of a file ({', '.join(names)}) and its number",
                f"--season 7, or --season {names[0]}=7",
            )
        if name:
            of_each[name] = int(steps)
        else:
            of_all = int(steps)
    return of_all, of_each
