"""The `hiddenstate` command."""

import sys

import typer

from hiddenstate.cli import (
    backfill,
    conversion,
    corrections,
    demo,
    doctor,
    evaluation,
    forecasts,
    migration,
    moving,
    output,
    push,
    serve,
    sessions,
    studies,
    training,
)
from hiddenstate.cli.faults import Fault

# A negative number is a value and not an option.
NEGATIVE_VALUES = {"ignore_unknown_options": True}

app = typer.Typer(
    name="hiddenstate",
    help="Post today's value, get tomorrow's forecast. The service remembers the rest.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # so that a mistyped command costs four lines and not a framed box
)
app.command()(serve.serve)
app.command()(demo.demo)
app.command()(doctor.doctor)
app.command(context_settings=NEGATIVE_VALUES)(sessions.observe)
app.command()(forecasts.forecast)
app.command(context_settings=NEGATIVE_VALUES)(corrections.correct)
app.command()(corrections.rewind)
app.command()(sessions.reset)
app.command()(sessions.verify)
app.command()(sessions.sessions)
app.command()(sessions.purge)
app.command()(moving.export)
app.command("import")(moving.import_)
app.command()(migration.migrate)
app.command()(push.push)
app.command()(backfill.backfill)
app.command()(training.train)
app.command()(evaluation.evaluate)
app.command()(conversion.convert)
app.add_typer(studies.study, name="study")


def main() -> None:
    """Run the command and leave with one of the documented exit codes."""
    try:
        app()
    except Fault as fault:
        output.print_fault(fault)
        sys.exit(fault.code)
