"""What the command says when it cannot do what was asked: what, why, what to do next; and the exit code."""

from enum import IntEnum

from hiddenstate.cli.cures import cure_of
from hiddenstate.errors import ProblemError, ServiceUnreachable


class ExitCode(IntEnum):
    """Documented in README.md."""

    DONE = 0
    NEGATIVE = 1  # the answer is no: it does not verify, there are problems (and, as ever in Python, a bug's traceback)
    USAGE = 2  # an option, a file or its columns
    REFUSED = 3  # the service understood and refused
    UNREACHABLE = 4  # no service, or a service without its store: trying again may help
    CANNOT_START = 5  # port or data directory in use, store unreachable, a part not installed
    INTERRUPTED = 130


class Fault(Exception):
    """A mistake or mishap told in three sentences, each of one line.

    Args:
        what: what did not work.
        why: the cause, as far as known.
        cure: what to do next, ideally a command to copy.
    """

    def __init__(self, code: ExitCode, what: str, why: str, cure: str) -> None:
        super().__init__(what)
        self.code = code
        self.lines = (f"error: {_one_line(what)}", f"  why:  {_one_line(why)}", f"  next: {_one_line(cure)}")


def refused(error: ProblemError, url: str) -> Fault:
    """The service's problem, with the command that mends it where there is one."""
    code = ExitCode.UNREACHABLE if error.retryable else ExitCode.REFUSED
    # The detail tells the first of the faults.
    second = [_where(fault) for fault in error.errors[1:2]]
    why = "; ".join([error.detail or f"status {error.status}", *second])
    return Fault(code, error.title, why, cure_of(error, url))


def unreachable(error: ServiceUnreachable) -> Fault:
    return Fault(
        ExitCode.UNREACHABLE,
        f"no hiddenstate service at {error.url}",
        error.reason,
        "start one with 'hiddenstate serve', or set HIDDENSTATE_URL to where it runs",
    )


def bad_address(error: ValueError) -> Fault:
    return Fault(
        ExitCode.USAGE,
        str(error),
        "HIDDENSTATE_URL is not a web address",
        "export HIDDENSTATE_URL=http://127.0.0.1:8000",
    )


def not_installed(module: str) -> Fault:
    return Fault(
        ExitCode.CANNOT_START,
        "this command needs parts that are not installed",
        f"there is no module {module!r} here; the base install holds the client only",
        "in a checkout of the project: pip install '.[server]'",
    )


def _where(fault: dict[str, str]) -> str:
    place = fault.get("parameter") or fault.get("pointer") or ""
    return f"{place} {fault.get('detail', '')}".strip()


def _one_line(text: str, limit: int = 400) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
