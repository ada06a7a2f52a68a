"""Commands that change what a session has observed: correct, rewind."""

from typing import Annotated

import typer

from hiddenstate.cli import output
from hiddenstate.cli.sessions import AsJson, SessionId, connected, print_next, read_value

Key = Annotated[str, typer.Argument(metavar="KEY", help="Its timestamp, or its step in digits.")]


def correct(
    session: SessionId,
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="A number, or null if it is missing.")],
    as_json: AsJson = False,
) -> None:
    """Give a retained observation another value and print the forecast of the next step."""
    parsed = read_value(value, f"hiddenstate correct {session} {key} 118")
    with connected(as_json) as client:
        advance = client.correct(session, key, parsed)
    if as_json:
        output.print_json(advance.members)
        return
    observed = advance.observed
    when = observed.timestamp or f"step {observed.step}"
    done = "corrected" if advance.corrected else "stored already"
    output.messages().print(f"{session}: {output.number(observed.value)} at {when}, {done}", markup=False)
    print_next(advance)


def rewind(
    session: SessionId,
    to: Annotated[str, typer.Option(help="Timestamp, or step in digits, of the last observation to keep.")],
    as_json: AsJson = False,
) -> None:
    """Forget the observations after the last one to keep, and print the forecast of the next step."""
    with connected(as_json) as client:
        advance = client.rewind(session, int(to) if to.isdecimal() else to)
    if as_json:
        output.print_json(advance.members)
        return
    output.messages().print(f"{session} is at step {advance.step}", markup=False)
    print_next(advance)
