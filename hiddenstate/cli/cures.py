"""What to do about a refusal, as a command to type where there is one."""

from collections.abc import Callable
from typing import Any

from hiddenstate.errors import ProblemError

Cure = Callable[[ProblemError, str, str], str]
"""Of a problem, with the session that it is about, and the service's address."""


def cure_of(error: ProblemError, url: str) -> str:
    """What to do next; the page of the problem where the command line has no cure of its own."""
    session = str(error.members.get("session") or "SESSION")
    cure = CURES.get(error.slug, _page)
    return cure(error, session, url)


def _page(error: ProblemError, session: str, url: str) -> str:
    return f"read {url}/problems/{error.slug}"


def _not_found(error: ProblemError, session: str, url: str) -> str:
    if "model" in error.detail:
        return "choose another --model"
    return f"set HIDDENSTATE_URL to the address of a service, such as http://127.0.0.1:8000; it is {url}"


def _invalid(error: ProblemError, session: str, url: str) -> str:
    places = [str(fault.get("parameter") or fault.get("pointer") or "") for fault in error.errors]
    if any(place.endswith("timestamp") for place in places):
        return "give a date or a time such as 2026-11-21 or 2026-11-21T08:00"
    return "choose an id that is allowed" if "session" in places else _page(error, session, url)


def _conflict(error: ProblemError, session: str, url: str) -> str:
    stored: dict[str, Any] = error.members.get("stored") or {}
    key = stored.get("timestamp") or stored.get("step") or "KEY"
    return f"hiddenstate correct {session} {key} VALUE gives it another value"


def _out_of_order(error: ProblemError, session: str, url: str) -> str:
    return f"hiddenstate correct {session} KEY VALUE, with its timestamp or step as KEY, gives one another value"


def _off_grid(error: ProblemError, session: str, url: str) -> str:
    return f"give the time of a step, such as {error.members.get('nearest', '2026-11-21')}"


def _gap(error: ProblemError, session: str, url: str) -> str:
    return f"check the date; hiddenstate observe {session} null --at TIME says that one is missing, push sends a file"


def _other_model(error: ProblemError, session: str, url: str) -> str:
    return f"hiddenstate migrate --model NAME --prefix {session} takes it to a model that is there"


CURES: dict[str, Cure] = {
    "session-not-found": lambda *_: "hiddenstate sessions lists all; hiddenstate observe ID VALUE --create starts one",
    "session-empty": lambda _, session, __: f"feed it a first value: hiddenstate observe {session} VALUE",
    "unauthenticated": lambda *_: "set HIDDENSTATE_API_KEY to a key of this service",
    "forbidden": lambda *_: "use a key that may do this (HIDDENSTATE_API_KEY)",
    "not-found": _not_found,
    "invalid-request": _invalid,
    "observation-conflict": _conflict,
    "out-of-order": _out_of_order,
    "off-grid": _off_grid,
    "gap-too-long": _gap,
    "gap-rejected": _gap,
    "model-unavailable": _other_model,
    "model-mismatch": _other_model,
}
