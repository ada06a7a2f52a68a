"""Real daily weather, replayed day by day against a running service: what it forecast, and what then came."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hiddenstate.client import Client
from hiddenstate.sending.shapes import Observation

VARIABLES = {
    "temp_max": "Highest temperature in Seattle, °C",
    "temp_min": "Lowest temperature in Seattle, °C",
    "wind": "Wind in Seattle, m/s",
    "precipitation": "Precipitation in Seattle, mm",
}
NEVER_NEGATIVE = {"wind", "precipitation"}
LEVEL = 80


@dataclass(frozen=True, slots=True)
class Day:
    """What had been forecast for a day (median, 80 % interval), what then came, and what came the day before."""

    date: str
    median: float
    lower: float
    upper: float
    actual: float
    before: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean absolute errors of the forecasts and of repeating the last value; share of days inside the interval."""

    days: int
    error: float
    naive_error: float
    covered: float


def seattle_weather(variable: str) -> list[tuple[str, float]]:
    """Date and value of 1,461 days from 2012 to 2015, as the package vega_datasets carries them."""
    from vega_datasets import data  # part of the extra "server"

    frame = data.seattle_weather()
    return list(zip(frame["date"].dt.strftime("%Y-%m-%d"), frame[variable].astype(float), strict=True))


def replay(client: Client, session: str, variable: str, days: int) -> Iterator[Day]:
    """Start the session anew, warm it up with all but the last `days` days, then feed these one at a time.

    Each is yielded with the forecast that the answer of the day before had given for it.
    """
    weather = seattle_weather(variable)
    past, future = weather[:-days], weather[-days:]
    observations: list[Observation] = [{"timestamp": date, "value": value} for date, value in past]
    client.delete(session)
    client.put_session(session, observations, freq="D", minimum=0.0 if variable in NEVER_NEGATIVE else None)
    forecast = client.forecast(session, levels=(LEVEL,)).forecasts[0]
    before = past[-1][1]
    for date, actual in future:
        advance = client.observe(session, actual, timestamp=date)
        yield Day(date, forecast.value, *forecast.interval(LEVEL), actual, before)
        before, forecast = actual, advance.forecast or forecast


def summary(days: Sequence[Day]) -> Summary:
    return Summary(
        days=len(days),
        error=float(np.mean([abs(day.median - day.actual) for day in days])),
        naive_error=float(np.mean([abs(day.before - day.actual) for day in days])),
        covered=float(np.mean([day.lower <= day.actual <= day.upper for day in days])),
    )
