"""What one client posts to one session, what it was answered, and what it should have been by an offline fold."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum

import numpy as np
import orjson
from numpy.typing import NDArray

from models.artifacts.runtime import Bytes, Model
from models.dates.calendar import CALENDAR, features
from service.storage.layout import QUANTILES
from tests.faults.wire import request

Doubles = NDArray[np.float64]
FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
KEYS = ("0.025", "0.1", "0.5", "0.9", "0.975")
NO_FORECAST = (np.nan,) * len(KEYS)
RETAINED = 64
"""Observations that a session keeps."""
TOGETHER = 256
"""Sessions that are folded offline as one batch."""


class Told(Enum):
    """What tells the service that an observation is one it has seen before."""

    TIMESTAMP = "timestamp"
    STEP = "step"
    KEY = "idempotency key"


class Series:
    """One session's observations in order, and the answers to those that were acknowledged.

    Attributes:
        values: (T,), NaN = missing.
        issued: (T, 5) as answered: the forecast that had been issued for each step.
        forecasts: (T, 5) as answered: that of the step after.
        acknowledged: how many were.
    """

    def __init__(self, session: str, told: Told, values: Doubles) -> None:
        self.session = session
        self.told = told
        self.values = values
        self.issued = np.full((len(values), len(KEYS)), np.nan)
        self.forecasts = np.full((len(values), len(KEYS)), np.nan)
        self.acknowledged = 0

    def __len__(self) -> int:
        return len(self.values)

    @property
    def path(self) -> str:
        return f"/v1/sessions/{self.session}/observations"

    def timestamp(self, index: int) -> str:
        return (FIRST_DAY + timedelta(days=index)).strftime("%Y-%m-%d")

    def observation(self, index: int) -> dict[str, object]:
        value = self.values[index]
        observation: dict[str, object] = {"value": None if np.isnan(value) else float(value)}
        if self.told is Told.TIMESTAMP:
            observation["timestamp"] = self.timestamp(index)
        elif self.told is Told.STEP:
            observation["step"] = index + 1
        return observation

    def next_request(self) -> bytes:
        """The request of the first observation that is not acknowledged: the same bytes each time until it is."""
        index = self.acknowledged
        path = self.path if index else f"{self.path}?create=true"
        headers = {"idempotency_key": f"{self.session}/{index}"} if self.told is Told.KEY else {}
        return request("POST", path, orjson.dumps(self.observation(index)), **headers)

    def acknowledge(self, body: bytes) -> str | None:
        """Keep the answer to `next_request`; returns what is wrong with it."""
        advance = orjson.loads(body)
        index = self.acknowledged
        self.issued[index] = quantiles(advance["observed"]["forecast"])
        self.forecasts[index] = quantiles(advance["forecast"])
        self.acknowledged += 1
        wrong = {
            name: advance[name]
            for name, right in (("step", index + 1), ("applied", 1), ("imputed", 0), ("corrected", 0))
            if advance[name] != right
        }
        return f"{self.session}: answer {index + 1} has {wrong}" if wrong else None

    def calendar(self) -> NDArray[np.float32]:
        """(T, 5) calendar features of the observations."""
        if self.told is not Told.TIMESTAMP:
            return np.zeros((len(self), CALENDAR), np.float32)
        days = [FIRST_DAY + timedelta(days=index) for index in range(len(self))]
        return np.array([features(day) for day in days], np.float32)

    def wrong_records(self, records: Sequence[dict[str, object]]) -> list[str]:
        """What is wrong with the session's history: the last observations are there once, none twice, as answered."""
        kept = min(len(self), RETAINED)
        if len(records) != kept:
            return [f"{self.session}: {len(records)} observations are stored instead of {kept}"]
        wrong = []
        for index, record in enumerate(records, len(self) - kept):
            right = {
                "step": index + 1,
                "timestamp": self.timestamp(index) if self.told is Told.TIMESTAMP else None,
                "value": None if np.isnan(self.values[index]) else float(self.values[index]),
                "imputed": False,
                "original": None,
                "revised": None,
            }
            found = {name: record[name] for name in right}
            if found != right or not same(quantiles(record["forecast"]), self.issued[index]):
                wrong.append(f"{self.session}: step {index + 1} is stored as {record} instead of {right}")
        return wrong

    def wrong_answers(self, issued: Doubles) -> list[str]:
        """How the answers differ from the offline fold's (T + 1, 5), which begins with what is issued for step 1."""
        found = np.concatenate([self.issued, self.forecasts[-1:]])
        also = np.concatenate([self.issued[:1], self.forecasts])
        return [
            f"{self.session}: the forecast for step {index + 1} is not the offline fold's"
            for index in range(len(self) + 1)
            if not (same(found[index], issued[index]) and same(also[index], issued[index]))
        ]


def quantiles(forecast: object) -> tuple[float, ...]:
    """The five numbers of a Forecast; NaN where there is none."""
    if forecast is None:
        return NO_FORECAST
    assert isinstance(forecast, dict)
    return tuple(forecast["quantiles"][key] for key in KEYS)


def same(left: Sequence[float] | Doubles, right: Sequence[float] | Doubles) -> bool:
    """Whether the numbers have the same bits, NaN counting as none."""
    return np.array_equal(np.asarray(left, np.float64), np.asarray(right, np.float64), equal_nan=True)


def made_up(rng: np.random.Generator, count: int, steps: int, *, prefix: str = "s") -> list[Series]:
    """Series of daily shape, told in every way in turn: weekly counts with a trend, some days missing."""
    days = np.arange(steps)
    level, season = rng.lognormal(3.0, 1.5, (count, 1)), rng.normal(0.0, 0.3, (count, 7))
    values = level * np.exp(season[:, days % 7] + 0.1 * rng.standard_normal((count, steps)))
    values[rng.random((count, steps)) < 0.02] = np.nan
    kinds = list(Told)
    return [Series(f"{prefix}{row}", kinds[row % len(kinds)], values[row]) for row in range(count)]


def folded(model: Model, series: Sequence[Series]) -> tuple[Bytes, Doubles]:
    """Fold series of one length offline, through the model's runtime alone.

    Returns:
        The states (N, S) after the last observations, and (N, T + 1, 5) the forecasts issued for steps 1 .. T + 1.
    """
    parts = [_folded(model, series[at : at + TOGETHER]) for at in range(0, len(series), TOGETHER)]
    return np.concatenate([states for states, _ in parts]), np.concatenate([issued for _, issued in parts])


def _folded(model: Model, series: Sequence[Series]) -> tuple[Bytes, Doubles]:
    stored = [model.spec.quantiles.index(quantile) for quantile in QUANTILES]
    states = model.initial_state(len(series))
    values = np.stack([one.values for one in series])
    calendar = np.stack([one.calendar() for one in series])
    issued = np.full((len(series), values.shape[1] + 1, len(stored)), np.nan)
    for step in range(values.shape[1]):
        states, forecast = model.step(states, values[:, step], calendar[:, step])
        known = model.seen(states) > 0
        issued[known, step + 1] = forecast[known][:, stored]
    return states, issued
