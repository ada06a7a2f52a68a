"""The `hiddenstate` command."""

import sys

import click
import typer

from hiddenstate.cli import output, sessions
from hiddenstate.cli.faults import ExitCode, Fault

# A negative number is a value and not an option.
NEGATIVE_VALUES = {"ignore_unknown_options": True}

app = typer.Typer(
    name="hiddenstate",
    help="Post today's value, get tomorrow's forecast. The service remembers the rest.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command(context_settings=NEGATIVE_VALUES)(sessions.observe)
app.command()(sessions.forecast)
app.command()(sessions.reset)
app.command()(sessions.verify)
app.command()(sessions.sessions)


def main() -> None:
    """Run the command and leave with one of the documented exit codes."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    try:
        return app(arguments, standalone_mode=False) or ExitCode.DONE
    except Fault as fault:
        output.print_fault(fault)
        return fault.code
    except click.UsageError as error:
        output.print_fault(_usage(error))
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED


def _usage(error: click.UsageError) -> Fault:
    path = error.ctx.command_path if error.ctx else "hiddenstate"
    usage = error.ctx.get_usage().removeprefix("Usage: ") if error.ctx else "hiddenstate COMMAND"
    return Fault(ExitCode.USAGE, error.format_message(), f"it is used as {usage}", f"{path} --help")
