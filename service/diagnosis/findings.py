"""One thing that was looked at, how it is, and what to do about it."""

from dataclasses import asdict, dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, and will not always, or not as it could."""
    PROBLEM = "problem"
    """The service does not start, is not ready, or loses something."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Args:
    check: what was looked at.
    said: how it is.
    cure: exactly what to do next; "" = nothing.
    """

    check: str
    level: Level
    said: str
    cure: str = ""

    def body(self) -> dict[str, str]:
        """As JSON values."""
        return asdict(self)


def ok(check: str, said: str) -> Finding:
    return Finding(check, Level.OK, said)


def warning(check: str, said: str, cure: str) -> Finding:
    return Finding(check, Level.WARNING, said, cure)


def problem(check: str, said: str, cure: str) -> Finding:
    return Finding(check, Level.PROBLEM, said, cure)
