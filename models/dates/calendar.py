"""Calendar features of a step: pure functions of its local time, computed outside of the compiled graphs."""

from __future__ import annotations

from datetime import datetime
from math import cos, pi, sin

CALENDAR = 5
"""Features: known flag, sine and cosine of the week, sine and cosine of the year."""

NAMES = ("known", "week_sin", "week_cos", "year_sin", "year_cos")
UNKNOWN = (0.0,) * CALENDAR
DAYS_IN_YEAR = 365.25


def features(local: datetime | None) -> tuple[float, ...]:
    """The features of the local time that an observation belongs to; zeros where a session counts steps."""
    if local is None:
        return UNKNOWN
    day = (local.hour * 3600 + local.minute * 60 + local.second) / 86400
    week = 2 * pi * (local.weekday() + day) / 7
    year = 2 * pi * (local.timetuple().tm_yday - 1 + day) / DAYS_IN_YEAR
    return (1.0, sin(week), cos(week), sin(year), cos(year))
