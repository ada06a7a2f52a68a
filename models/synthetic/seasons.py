"""Seasonal patterns: weeks of days, days and weeks of hours, years of weeks, each of a random shape."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.synthetic.components import Array, Generator, chance, lognormal, walk

FEW = 12
"""A season of more steps than this has smooth shapes."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The periods of a frequency, in steps.

    Attributes:
        season: of the season; longer: of a second, longer one that it fits into, 0 where there is none.
        year: of a year, 0 where it is the season itself or too long to be seen.
    """

    season: int = 7
    longer: int = 0
    year: float = 365.25

    @classmethod
    def of(cls, season: int, longer: int) -> "Rhythm":
        """Of a model's seasons: a week of days is the one whose year is a cycle of its own."""
        return cls(season, longer, 0.0 if season > FEW else 365.25)


def phases(rng: Generator, count: int, length: int, season: int) -> NDArray[np.int64]:
    """(count, length) seasonal phase of each step, from a random start."""
    return (rng.integers(season, size=(count, 1)) + np.arange(length)) % season


def shapes(rng: Generator, count: int, season: int) -> Array:
    """(count, season) shapes of a season, with mean 0 and deviation 1."""
    return _unit(_smooth(rng, count, season) if season > FEW else _weekdays(rng, count, season))


def repeated(rng: Generator, count: int, length: int, rhythm: Rhythm) -> Array:
    """(count, length) patterns of unit size that never change, from a random phase."""
    whole = _whole(rng, count, rhythm)
    return np.take_along_axis(whole, phases(rng, count, length, whole.shape[1]), axis=1)


def pattern(rng: Generator, count: int, length: int, rhythm: Rhythm) -> Array:
    """(count, length) patterns of unit size; 35 % cross-fade into another one, 40 % with a drifting amplitude."""
    period = rhythm.longer or rhythm.season
    phase = phases(rng, count, length, period)
    first = np.take_along_axis(_whole(rng, count, rhythm), phase, axis=1)
    second = np.take_along_axis(_whole(rng, count, rhythm), phase, axis=1)
    middle = rng.uniform(0.0, length, (count, 1))
    speed = lognormal(rng, 8.0, 1.2, count)[:, None]
    fade = 1.0 / (1.0 + np.exp(-np.clip((np.arange(length) - middle) / speed, -50.0, 50.0)))
    fade = fade * chance(rng, 0.35, count)[:, None]
    both = first * (1.0 - fade) + second * fade
    drift = walk(rng.standard_normal((count, length))) * lognormal(rng, 0.02, 0.7, count)[:, None]
    out: Array = both * np.exp(np.clip(drift * chance(rng, 0.4, count)[:, None], -3.0, 3.0))
    return out


def _whole(rng: Generator, count: int, rhythm: Rhythm) -> Array:
    """(count, period) shapes of the longest season."""
    return _week_of_days(rng, count, rhythm) if rhythm.longer else shapes(rng, count, rhythm.season)


def _week_of_days(rng: Generator, count: int, rhythm: Rhythm) -> Array:
    """Days of one shape in 30 %, days off of another shape and size in 45 %, a level and size for each day in 25 %."""
    days = rhythm.longer // rhythm.season
    working, other = shapes(rng, count, rhythm.season), shapes(rng, count, rhythm.season)
    kind = rng.choice(3, p=[0.30, 0.45, 0.25], size=count)[:, None]
    from_first_off = (np.arange(days)[None, :] - rng.integers(days, size=(count, 1))) % days
    off = from_first_off < rng.choice([1, 2], p=[0.25, 0.75], size=(count, 1))
    size = np.where(kind == 1, np.where(off, rng.uniform(0.2, 1.2, (count, 1)), 1.0), 1.0)
    size = np.where(kind == 2, lognormal(rng, 1.0, 0.3, count * days).reshape(count, days), size)
    level = np.where(kind == 1, np.where(off, rng.standard_normal((count, 1)) - 0.5, 0.0), 0.0)
    level = np.where(kind == 2, 0.6 * rng.standard_normal((count, days)), level)
    share = np.where((kind == 1) & off, rng.random((count, 1)) ** 2, 0.0)[:, :, None]
    shape = working[:, None, :] * (1.0 - share) + other[:, None, :] * share
    return _unit((shape * size[:, :, None] + level[:, :, None]).reshape(count, rhythm.longer))


def _weekdays(rng: Generator, count: int, season: int) -> Array:
    """Of few steps: iid, weekend pair, one special day, sine, heavy-tailed."""
    kind = rng.integers(5, size=count)[:, None]
    place = rng.integers(season, size=(count, 1))
    day = np.arange(season)[None, :]
    iid = rng.standard_normal((count, season))
    from_place = (day - place) % season
    pair = np.where(from_place == 0, -1.0, np.where(from_place == 1, -rng.uniform(0.5, 1.5, (count, 1)), 0.0))
    special = np.where(from_place == 0, rng.choice([-1.0, 1.0], size=(count, 1)), 0.0)
    sine = np.sin(2.0 * np.pi * (day + place) / season)
    heavy = rng.standard_t(2.5, size=(count, season))
    chosen: Array = np.choose(kind, [iid, pair + 0.1 * iid, special + 0.1 * iid, sine + 0.1 * iid, heavy])
    return chosen


def _smooth(rng: Generator, count: int, season: int) -> Array:
    """Of many steps: harmonics, bumps, a plateau, bumps on harmonics, a few special steps; some with a rough edge."""
    kind = rng.integers(5, size=count)[:, None]
    turn = 2.0 * np.pi * (np.arange(season)[None, :] / season + rng.random((count, 1)))
    falling = rng.uniform(0.7, 2.5, count)
    harmonics = np.zeros((count, season))
    for k in range(1, 7):
        size = rng.standard_normal(count) / k**falling
        harmonics += size[:, None] * np.sin(k * turn + 2.0 * np.pi * rng.random((count, 1)))
    bumps = np.zeros((count, season))
    for k in range(3):
        height = np.where(rng.random(count) < (1.0, 0.6, 0.3)[k], rng.uniform(0.3, 1.0, count), 0.0)
        width = season * lognormal(rng, 0.07, 0.5, count)[:, None]
        bumps += height[:, None] * np.exp(-0.5 * (_apart(rng, count, season) / width) ** 2)
    reach, edge = season * rng.uniform(0.1, 0.4, (count, 1)), lognormal(rng, 0.03 * season, 0.6, count)[:, None]
    plateau = 1.0 / (1.0 + np.exp(np.clip((_apart(rng, count, season) - reach) / edge, -50.0, 50.0)))
    special = np.where(_apart(rng, count, season) < rng.uniform(0.5, 1.6, (count, 1)), 1.0, 0.0)
    special *= rng.choice([-1.0, 1.0], p=[0.4, 0.6], size=(count, 1))
    parts = [_unit(part) for part in (harmonics, bumps, plateau, special)]
    chosen = np.choose(kind, [*parts[:3], parts[0] + parts[1], parts[3] + 0.3 * parts[0]])
    rough = rng.standard_normal((count, season)) * (chance(rng, 0.4, count) * rng.uniform(0.02, 0.3, count))[:, None]
    out: Array = chosen + rough
    return out


def _apart(rng: Generator, count: int, season: int) -> Array:
    """(count, season) steps from a random place, the shorter way around."""
    steps = np.abs(np.arange(season)[None, :] - rng.uniform(0.0, season, (count, 1)))
    apart: Array = np.minimum(steps, season - steps)
    return apart


def _unit(shape: Array) -> Array:
    shape = shape - shape.mean(axis=1, keepdims=True)
    out: Array = shape / np.maximum(shape.std(axis=1, keepdims=True), 1e-6)
    return out
