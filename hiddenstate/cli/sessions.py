"""Commands that talk to a running service: observe, reset, verify, sessions."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from typing import Annotated

import typer
from rich.table import Table

from hiddenstate.answers.observations import Advance
from hiddenstate.cli import faults, output
from hiddenstate.cli.faults import ExitCode, Fault
from hiddenstate.client import Client
from hiddenstate.errors import ProblemError, ServiceUnreachable

SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="Id of the session.")]
PURGED_SHOWN = 10
AsJson = Annotated[bool, typer.Option("--json", help="Print the service's answer as JSON.")]


@contextmanager
def connected(as_json: bool = False) -> Iterator[Client]:
    """A client whose errors become faults; with `as_json` a refusal is also printed as the problem it is."""
    try:
        client = Client()
    except ValueError as error:
        raise faults.bad_address(error) from error
    with client:
        try:
            yield client
        except ProblemError as error:
            if as_json:
                output.print_json(error.members)
            raise faults.refused(error, client.url) from error
        except ServiceUnreachable as error:
            raise faults.unreachable(error) from error


@contextmanager
def resumable() -> Iterator[None]:
    """Say of a service that is away that nothing is lost."""
    try:
        yield
    except ServiceUnreachable as error:
        cure = "once it answers, the same command goes on where it was (HIDDENSTATE_URL says where the service is)"
        raise Fault(ExitCode.UNREACHABLE, f"no hiddenstate service at {error.url}", error.reason, cure) from error


def observe(
    session: SessionId,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="A number, or null if it is missing.")],
    at: Annotated[str | None, typer.Option(help="Its timestamp, for example 2026-11-21.", show_default=False)] = None,
    create: Annotated[bool, typer.Option("--create", help="Start the session if there is none.")] = False,
    as_json: AsJson = False,
) -> None:
    """Feed one value and print the forecast of the next step."""
    parsed = read_value(value, f"hiddenstate observe {session} 118")
    with connected(as_json) as client:
        advance = client.observe(session, parsed, timestamp=at, create=create)
    if as_json:
        output.print_json(advance.members)
        return
    observed = advance.observed
    repeated = ", as before" if advance.replayed else ""
    when = observed.timestamp or f"step {observed.step}"
    output.messages().print(f"{session}: {output.number(observed.value)} observed at {when}{repeated}", markup=False)
    print_next(advance)


def print_next(advance: Advance) -> None:
    """The forecast of the step that follows."""
    if advance.forecast is None:
        output.messages().print("there is no forecast until a first value is known")
    else:
        output.results().print(output.forecast_table([advance.forecast]))


def reset(session: SessionId, as_json: AsJson = False) -> None:
    """Forget what the session has observed and keep its settings."""
    with connected(as_json) as client:
        answer = client.reset(session)
    if as_json:
        output.print_json(answer.members)
    else:
        output.messages().print(f"{session} is at step {answer.step}, its settings kept", markup=False)


def verify(session: SessionId, as_json: AsJson = False) -> None:
    """Fold the retained observations again and compare with the live state. Exit code 1 if they differ."""
    with connected(as_json) as client:
        answer = client.verify(session)
    if as_json:
        output.print_json(answer.members)
    else:
        identical = "the same bits" if answer.identical else "OTHER bits"
        difference, tolerance = answer.max_rel_difference, answer.tolerance
        output.messages().print(f"{answer.observations} observations folded one by one: {identical}")
        output.messages().print(f"unrolled in one pass: off by at most {difference:.2g} of {tolerance:.2g} allowed")
        output.results().print("ok" if answer.ok else "not ok")
    if not answer.ok:
        raise typer.Exit(ExitCode.NEGATIVE)


def sessions(
    prefix: Annotated[str, typer.Option(help="Only sessions whose id starts so.")] = "",
    model: Annotated[str, typer.Option(help="Only sessions of this model, NAME or NAME@VERSION.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List sessions: where each stands, and how well it is forecast."""
    with connected(as_json) as client:
        page = client.sessions_page(prefix=prefix, model=model, page_size=limit)
    if as_json:
        output.print_json(page.members)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("session", "model", "freq", "step", "last", "recent MASE", "in the 80 %", "drift since"):
        table.add_column(column, justify="right" if column in ("step", "recent MASE", "in the 80 %") else "left")
    for session in page.sessions:
        recent = session.scores.recent
        table.add_row(
            session.session,
            session.model,
            session.freq or output.MISSING,
            str(session.step),
            session.last or output.MISSING,
            output.number(recent.mase if recent else None),
            output.percent(recent.coverage.get("80") if recent else None),
            session.drift["since"] or output.MISSING,
        )
    output.results().print(table)
    output.messages().print(f"{len(page.sessions)} of {page.total_size} sessions")


def purge(
    prefix: Annotated[str, typer.Option(help='All sessions whose id starts so; "" is all.')],
    force: Annotated[bool, typer.Option("--force", help="Delete them; else they are only counted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Count the sessions of a prefix, and with --force delete them for good."""
    with connected(as_json) as client:
        answer = client.purge(prefix, force=force)
    if as_json:
        output.print_json(answer.members)
        return
    for name in answer.purge_sample[:PURGED_SHOWN]:
        output.results().print(name, markup=False)
    if len(answer.purge_sample) > PURGED_SHOWN:
        output.results().print("...")
    done = "deleted" if force else "would be deleted; say --force to delete them"
    output.messages().print(f"{answer.purge_count} sessions {done}", markup=False)


def read_value(text: str, example: str) -> float | None:
    """A value that was typed. Raises Fault: it is none; `example` is a command that has one."""
    if text == "null":
        return None
    try:
        value = float(text)
        if isfinite(value):
            return value
        raise ValueError
    except ValueError:
        raise Fault(
            ExitCode.USAGE,
            f"{text!r} is not a value",
            "a value is a number, or null for a missing one",
            example,
        ) from None
