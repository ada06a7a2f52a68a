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
MULTIPLE = re.compile(r"(?:1(?=\D)|([0-9]*))(.*)", re.DOTALL)
"""1d is d."""
BY_DAY = {
    **{"MONTH": "M", "M": "M", "QUARTER": "Q", "Q": "Q"},
    **{"YEAR": "Y", "Y": "Y", "A": "Y"},
}
"""Periods whose first or last day the series stands at: which one says its first timestamp."""
POLARS = {"m": "min", "d": "D", "w": "W", "mo": "M", "q": "Q", "y": "Y"}
ANCHORED = {
    **dict.fromkeys(("QS-JAN", "QS-APR", "QS-JUL", "QS-OCT"), "QS"),
    **dict.fromkeys(("QE-MAR", "QE-JUN", "QE-SEP", "QE-DEC", "Q-MAR", "Q-JUN", "Q-SEP", "Q-DEC"), "QE"),
    **{"YS-JAN": "YS", "AS-JAN": "YS", "YE-DEC": "YE", "A-DEC": "YE", "Y-DEC": "YE"},
}
"""As pandas infers them from timestamps: quarters and years that the calendar's own begin with."""


def named(name: str, start: str | None) -> str:
    """Our name of a frequency.

    Args:
        start: the first timestamp of the series, if it has one; a month without is one that begins.
    Raises:
        FrequencyError: there is no such frequency.
        TimestampError: `start` is none.
    """
    matched = MULTIPLE.fullmatch(name)
    assert matched is not None, "it matches any text"
    digits, unit = matched[1] or "", matched[2]
    unit = POLARS.get(unit) or ANCHORED.get(unit) or unit
    word = unit.upper() if len(unit) > 1 else unit
    if word in BY_DAY and not digits:
        return f"{BY_DAY[word]}{'E' if start is not None and _ends_month(start) else 'S'}"
    try:
        return frequency(digits + PLAIN.get(word, unit)).name
    except FrequencyError:
        known = ", ".join([*PLAIN, *BY_DAY])
        raise FrequencyError(f"no frequency of that name; those are {known}, and pandas' own") from None


def _ends_month(start: str) -> bool:
    day = (EPOCH + grid("s").parse(start) * MICROSECOND).date()
    return date.fromordinal(day.toordinal() + 1).day == 1


__all__ = ["FrequencyError", "TimestampError", "named"]
