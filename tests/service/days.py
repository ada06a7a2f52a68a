"""Short daily series for the tests."""

from datetime import date, timedelta
from math import sin
from typing import Any

Observation = dict[str, Any]


def day(number: int) -> str:
    """The date of the step of that number, from 1 on."""
    return (date(2026, 1, 1) + timedelta(days=number - 1)).isoformat()


def value(number: int) -> float:
    return round(100.0 + number * 0.3 + 8.0 * sin(number * 0.9), 3)


def observation(number: int, **changed: Any) -> Observation:  # noqa: ANN401 - any JSON
    return {"timestamp": day(number), "value": value(number), **changed}


def series(first: int, last: int) -> list[Observation]:
    """The observations of these steps, the last included."""
    return [observation(number) for number in range(first, last + 1)]
