"""Names that other forecast APIs have for frequencies."""

import re
from datetime import date

from models.dates.frequencies import FrequencyError, frequency
from models.dates.grid import TimestampError, grid
from models.dates.zones import EPOCH, MICROSECOND

PLAIN = {
    **{"SECOND": "s", "S": "s", "MINUTE": "min", "T": "min", "HOUR": "h", "H": "h"},
    **{"DAY": "D", "WEEK": "W"},
}
ONE = re.compile("^1(?=[A-Za-z])")
"""1d is d."""
BY_DAY = {
    **{"MONTH": "M", "M": "M", "QUARTER": "Q", "Q": "Q"},
    **{"YEAR": "Y", "Y": "Y", "A": "Y"},
}
"""Periods whose first or last day the series stands at: which one says its first timestamp."""


def named(name: str, start: str | None) -> str:
    """Our name of a frequency.

    Args:
        start: the first timestamp of the series, if it has one; a month without is one that begins.
    Raises:
        FrequencyError: there is no such frequency.
        TimestampError: `start` is none.
    """
    plain = ONE.sub("", name)
    found = PLAIN.get(plain.upper() if len(plain) > 1 else plain)
    if found is not None:
        return found
    period = BY_DAY.get(plain.upper() if len(plain) > 1 else plain)
    if period is not None:
        return f"{period}{'E' if start is not None and _ends_month(start) else 'S'}"
    lower = {"d": "D", "w": "W"}.get(plain, plain)  # as polars writes them
    try:
        return frequency(lower).name
    except FrequencyError:
        known = ", ".join([*PLAIN, *BY_DAY])
        raise FrequencyError(f"no frequency of that name; those are {known}, and pandas' own") from None


def _ends_month(start: str) -> bool:
    day = (EPOCH + grid("s").parse(start) * MICROSECOND).date()
    return date.fromordinal(day.toordinal() + 1).day == 1


__all__ = ["FrequencyError", "TimestampError", "named"]
