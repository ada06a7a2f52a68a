"""The doctor command: is all that a service needs as it should be, and if not, what to do."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hiddenstate.cli import faults, output
from hiddenstate.cli.faults import ExitCode
from hiddenstate.cli.serve import settings_of

STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def doctor(
    store_url: Annotated[str | None, typer.Option(help="Store to look at.", show_default="its own, embedded")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the embedded store.", show_default="~/.local/share/hiddenstate")
    ] = None,
    models_dir: Annotated[Path | None, typer.Option(help="Folder of further models.", show_default=False)] = None,
    durability: Annotated[
        str | None, typer.Option(metavar="memory|local|replica", help="What a write must survive.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All findings as one JSON document.")] = False,
) -> None:
    """Look at port, limits, models, store and sessions as the settings name them, and say what to do.

    No service has to run, and one may. Exit code 1: there is a problem.
    """
    try:
        from service.app import roots
        from service.diagnosis.examination import examine
    except ModuleNotFoundError as error:
        raise faults.not_installed(error.name or "?") from error
    settings = settings_of(store_url=store_url, data_dir=data_dir, models_dir=models_dir, durability=durability)
    counts = dict.fromkeys(STYLES, 0)
    bodies: list[dict[str, Any]] = []
    for finding in examine(settings, roots(settings)):
        counts[finding.level] += 1
        bodies.append(finding.body())
        if not as_json:
            _print(finding.level, finding.check, finding.said, finding.cure)
    if as_json:
        output.print_json({"findings": bodies, **counts})
    else:
        output.results().print(_summary(counts))
    if counts["problem"]:
        raise typer.Exit(ExitCode.NEGATIVE)


def _print(level: str, check: str, said: str, cure: str) -> None:
    console = output.results()
    console.print(f"[{STYLES[level]}]{level:8}[/] {check:17}", end="")
    console.print(said, markup=False, soft_wrap=True)
    if cure:
        console.print(f"{'':9}{'next:':>16} {cure}", markup=False, soft_wrap=True)


def _summary(counts: dict[str, int]) -> str:
    if not counts["problem"] and not counts["warning"]:
        return "all is well"
    return f"{counts['problem']} problems, {counts['warning']} warnings, {counts['ok']} ok"
