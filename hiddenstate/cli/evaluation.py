"""The evaluate command: a model beside naive forecasts, on data with a test part."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hiddenstate.cli import output
from hiddenstate.cli.modelling import find_model, modelling, score_table


def evaluate(
    data: Annotated[
        list[Path],
        typer.Argument(metavar="DATA", help="Data files; 'test' is true on the last rows of each series."),
    ],
    model: Annotated[str, typer.Option(help="NAME, NAME@VERSION, or the folder of a model.")] = "daily",
    models_dir: Annotated[
        Path | None, typer.Option(help="Folder of further models.", envvar="HIDDENSTATE_MODELS_DIR")
    ] = None,
    season: Annotated[
        int | None, typer.Option(min=1, help="Steps of a season.", show_default="the model's own")
    ] = None,
    test_steps: Annotated[
        int, typer.Option(min=0, help="Last steps of each series to test on, where the file has no column test.")
    ] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write the forecasts to, as Parquet.", show_default=False)
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page with charts here, as HTML.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """Score a model by the streaming protocol (predict, then observe), beside naive forecasts.

    Alarms are those of drift, in 1,000 steps of the test parts.
    """
    with modelling():
        from models.artifacts.artifact import load
        from models.evaluation.streaming import EvaluateOptions
        from models.evaluation.streaming import evaluate as score
        from models.evaluation.verdict import Verdict
        from models.report.findings import Findings
        from models.report.page import page, write

        loaded = load(find_model(model, models_dir))
        options = EvaluateOptions(data, season=season, out=out, test_steps=test_steps)
        findings = Findings(loaded.spec.label, season or loaded.spec.season)
        evaluation = score(loaded, options, output.messages().print, findings.take if report else None)
        if report is not None:
            write(report, page(evaluation, findings, Verdict.of(evaluation, findings.label)))
            output.messages().print(f"report: {report}", markup=False, soft_wrap=True)
    if as_json:
        output.print_json(asdict(evaluation))
    else:
        output.results().print(score_table(evaluation))
