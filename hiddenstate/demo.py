"""Real daily weather, replayed day by day against a running service: what it forecast, and what then came."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hiddenstate.client import Client
from hiddenstate.shapes import Forecast, Observation

VARIABLES = {
    "temp_max": "Highest temperature in Seattle, °C",
    "temp_min": "Lowest temperature in Seattle, °C",
    "wind": "Wind in Seattle, m/s",
    "precipitation": "Precipitation in Seattle, mm",
}
NEVER_NEGATIVE = {"wind", "precipitation"}
LOWER, UPPER = "0.1", "0.9"
"""The ends of the 80 % interval."""


@dataclass(frozen=True, slots=True)
class Day:
    """One day: what had been forecast for it the day before (median, 80 % interval), what came, and the day before's."""

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


def seattle_weather(variable: str) -> list[Observation]:
    """1,461 days from 2012 to 2015, as the package vega_datasets carries them."""
    from vega_datasets import data  # part of the extra "server"

    frame = data.seattle_weather()
    dates = frame["date"].dt.strftime("%Y-%m-%d")
    return [{"timestamp": date, "value": float(value)} for date, value in zip(dates, frame[variable], strict=True)]


def begin(client: Client, session: str, variable: str, past: Sequence[Observation]) -> Forecast:
    """Start the session anew, warmed up with `past`; returns the forecast of the day after."""
    client.delete(session)
    minimum = 0.0 if variable in NEVER_NEGATIVE else None
    client.put_session(session, past, freq="D", minimum=minimum)
    return client.forecast(session, levels=(80,))["forecasts"][0]


def replay(
    client: Client, session: str, before: Observation, forecast: Forecast, future: Sequence[Observation]
) -> Iterator[Day]:
    """Feed the days of `future` one at a time, comparing each with the forecast that the last answer gave for it.

    Args:
        before: the day before the first of `future`.
        forecast: what had been forecast for the first of `future`.
    """
    last = before["value"]
    for observation in future:
        advance = client.observe(session, observation["value"], timestamp=observation["timestamp"])
        actual = observation["value"]
        assert actual is not None and last is not None  # the data set has no missing days
        quantiles = forecast["quantiles"]
        yield Day(observation["timestamp"], forecast["value"], quantiles[LOWER], quantiles[UPPER], actual, last)
        last = actual
        assert advance["forecast"] is not None  # a value is known
        forecast = advance["forecast"]


def summary(days: Sequence[Day]) -> Summary:
    return Summary(
        days=len(days),
        error=float(np.mean([abs(day.median - day.actual) for day in days])),
        naive_error=float(np.mean([abs(day.before - day.actual) for day in days])),
        covered=float(np.mean([day.lower <= day.actual <= day.upper for day in days])),
    )
