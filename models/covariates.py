"""Covariates: what is known beside a series' values, and the numbers that the network gets of it.

past      observed with each value, such as rain
known     known in advance: of each observation, and of the steps that follow it as far as it says, such as a promotion
static    of the whole session, such as an area

Centre and width of each come from the training rows and are part of the model. A missing one is at the centre, and a
flag beside it says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

LIMIT = 10.0
"""Widths from the centre: what is beyond counts as this."""


@dataclass(frozen=True, slots=True)
class Covariates:
    """Which covariates a model takes, by name.

    Attributes:
        centres, widths: of past, known and static ones, in this order: means and standard deviations.
    """

    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()
    centres: tuple[float, ...] = ()
    widths: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise ValueError("a covariate is past, known or static, and named once")
        if not len(self.names) == len(self.centres) == len(self.widths):
            raise ValueError("each covariate has a centre and a width")
        if any(width <= 0.0 for width in self.widths):
            raise ValueError("widths of covariates are above zero")

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Covariates:
        """From plain values, as `model.json` has them; TypeError where there is no such field."""
        if unknown := set(described) - {field.name for field in fields(cls)}:
            raise TypeError(f"covariates have no field {', '.join(sorted(unknown))}")
        return cls(**{name: tuple(value) for name, value in described.items()})

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.past, *self.known, *self.static)

    @property
    def observed(self) -> tuple[str, ...]:
        """Those that come with observations."""
        return (*self.past, *self.known)

    @property
    def by_kind(self) -> dict[str, tuple[str, ...]]:
        """Names by kind."""
        return {"past": self.past, "known": self.known, "static": self.static}


class Encoding:
    """From covariates, in their own units, to the row that a step takes beside the value and its calendar.

    A row is, for P past, N known and S static ones: values and flags of the P + N observed ones, then values and flags
    of the N known ones of each of the steps that follow. All zeros are an observation of which nothing is known.

    Attributes:
        numbers: that are kept of each observation: P + N, then N for each step of the horizon.
        width: of a row.
    """

    def __init__(self, covariates: Covariates, horizon: int) -> None:
        past, known, observed = len(covariates.past), len(covariates.known), len(covariates.observed)
        self.covariates, self.horizon = covariates, horizon
        self.observed, self.known = observed, known
        self.numbers = observed + horizon * known
        self.now, self.ahead = 2 * observed, 2 * known
        self.width = self.now + horizon * self.ahead
        self.static = len(covariates.static)
        centres, widths = np.array(covariates.centres), np.array(covariates.widths)
        self._now = (centres[:observed], widths[:observed])
        self._ahead = (centres[past:observed], widths[past:observed])

    def rows(self, numbers: Doubles) -> Floats:
        """(..., width) of (..., numbers), NaN where missing."""
        now, ahead = numbers[..., : self.observed], numbers[..., self.observed :]
        return np.concatenate([self.present(now), self.future(self.by_step(ahead))], axis=-1)

    def present(self, observed: Doubles) -> Floats:
        """(..., 2 (P + N)) of (..., P + N)."""
        return _encoded(observed, *self._now)

    def step_ahead(self, known: Doubles) -> Floats:
        """(..., 2 N) of (..., N): of one of the steps that follow."""
        return _encoded(known, *self._ahead)

    def future(self, known: Doubles) -> Floats:
        """(..., 2 N h) of (..., h, N)."""
        return self.step_ahead(known).reshape(*known.shape[:-2], -1)

    def rows_ahead(self, known: Floats, steps: int) -> Floats:
        """(steps, width) rows of the steps that follow, of which nothing is known but what was in advance.

        Args:
            known: (n, 2 N) of the first n of them, as `step_ahead` gives it; of later ones nothing is known.
        """
        told = np.zeros((steps + self.horizon, self.ahead), np.float32)
        told[: len(known)] = known[: len(told)]
        past = np.zeros((steps, self.observed - self.known), np.float32)
        values, flags = np.split(told[:steps], 2, axis=1)
        later = told[1:][np.arange(steps)[:, None] + np.arange(self.horizon)]
        return np.concatenate([past, values, past, flags, later.reshape(steps, -1)], axis=1)

    def by_step(self, ahead: Doubles) -> Doubles:
        """(..., H, N) of (..., H N)."""
        return ahead.reshape(*ahead.shape[:-1], self.horizon, self.known)

    def of_session(self, given: Mapping[str, float | None]) -> Doubles:
        """(2 S,): the static ones as a state keeps them, values and then flags; a value that is missing is zero."""
        values = np.array([given.get(name) for name in self.covariates.static], dtype=np.float64)
        known = ~np.isnan(values)
        return np.concatenate([np.where(known, values, 0.0), known.astype(np.float64)])

    def given_of(self, kept: Doubles) -> dict[str, float]:
        """The inverse of `of_session`, without those that are missing."""
        values, known = kept[: self.static].tolist(), kept[self.static :].tolist()
        named = zip(self.covariates.static, values, known, strict=True)
        return {name: value for name, value, is_known in named if is_known}


def _encoded(values: Doubles, centres: Doubles, widths: Doubles) -> Floats:
    """(..., 2 n) of (..., n): how many widths from the centre, and whether it is known."""
    known = ~np.isnan(values)
    ratios = np.clip((np.where(known, values, centres) - centres) / widths, -LIMIT, LIMIT)
    return np.concatenate([ratios, known], axis=-1).astype(np.float32)


def units(columns: Mapping[str, Doubles]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Centres and widths of covariates from their values in the training rows, NaN where missing."""
    centres, widths = [], []
    for values in columns.values():
        known = values[~np.isnan(values)]
        centre, width = (float(known.mean()), float(known.std())) if len(known) else (0.0, 1.0)
        centres.append(centre)
        widths.append(width if width > 1e-9 * max(abs(centre), 1e-300) else max(abs(centre), 1.0))
    return tuple(centres), tuple(widths)
