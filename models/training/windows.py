"""Training windows: stretches of real and synthetic series, drawn by weight, and the positions that the loss judges."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from models.data import Series, calendar_of
from models.dates.calendar import CALENDAR
from models.synthetic import series as synthetic
from models.synthetic.seasons import Rhythm
from models.training.recipe import Schedule

Array = NDArray[np.float64]
FORGOTTEN, UNFORESEEN = 0.1, 0.1
"""Shares of the windows of series with covariates, of which none are known at all, or none in advance."""

COLD = 28
"""A quarter of the loss positions lie before this step of a session's life."""


@dataclass(frozen=True, slots=True)
class Windows:
    """N windows of T steps and the H values after each step.

    Attributes:
        values: (N, T) float64, NaN where missing.
        ahead: (N, T + H) float64, the same steps and those after them, NaN where no forecast is judged.
        calendar: (N, T, 5) float32.
        steps: (N,) int64, how many steps of each window belong to its series; the rest is padding.
        beside: (N, T + H, C) float64, covariates of the same steps and those after them, NaN where missing.
        static: (N, S) float64.
        foreseen: (N,) whether what is known in advance is known in time.
    """

    values: Array
    ahead: Array
    calendar: NDArray[np.float32]
    steps: NDArray[np.int64]
    beside: Array
    static: Array
    foreseen: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.values)

    def some(self, rows: NDArray[np.int64]) -> "Windows":
        """Those windows, in that order."""
        return Windows(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def joined(cls, parts: Sequence["Windows"]) -> "Windows":
        """One after another."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


class Pool:
    """Series laid end to end, to cut windows from at random places."""

    def __init__(self, series: Sequence[Series], *, weights: Array) -> None:
        self.values = np.concatenate([one.values for one in series])
        self.judged = np.concatenate([np.where(one.imputed, np.nan, one.values) for one in series])
        self.calendar = np.concatenate([calendar_of(one) for one in series])
        self.lengths = np.array([len(one) for one in series])
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        self.chances = weights / weights.sum()
        none = np.empty(0)
        self.beside = np.concatenate([_wide(one.covariates, len(one)) for one in series])
        self.static = np.stack([none if one.static is None else one.static for one in series])

    def cut(self, rng: np.random.Generator, count: int, window: int, horizon: int) -> Windows:
        """Draw windows that start anywhere such that, where the series is long enough, all of it lies inside."""
        which = rng.choice(len(self.chances), p=self.chances, size=count)
        room = np.maximum(self.lengths[which] - window - horizon, 0)
        offset = np.floor(rng.random(count) * (room + 1)).astype(np.int64)
        steps = self.lengths[which] - offset
        span = np.arange(window + horizon)
        rows = (self.starts[which] + offset)[:, None] + np.minimum(span, steps[:, None] - 1)
        ahead = np.where(span < steps[:, None], self.judged[rows], np.nan)
        values = self.values[rows[:, :window]]
        beside = np.where((span < steps[:, None])[:, :, None], self.beside[rows], np.nan)
        calendar, foreseen = self.calendar[rows[:, :window]], np.ones(count, dtype=bool)
        return Windows(values, ahead, calendar, np.minimum(steps, window), beside, self.static[which], foreseen)


class Sampler:
    """Draws mixed windows: real ones by the sources' weights, synthetic series and walks by the schedule's shares."""

    def __init__(
        self,
        pools: Sequence[Pool],
        weights: Sequence[float],
        generated: NDArray[np.float32],
        schedule: Schedule,
        *,
        rhythm: Rhythm,
        horizon: int,
    ) -> None:
        self.pools, self.generated, self.schedule = pools, generated, schedule
        self.rhythm, self.horizon = rhythm, horizon
        width, fixed = pools[0].beside.shape[1], pools[0].static.shape[1]
        self.shapes: tuple[tuple[int, ...], ...] = ((schedule.window + horizon, width), (fixed,))
        real = 1.0 - schedule.synthetic - schedule.walks
        shares = np.array([*(real * np.array(weights) / sum(weights)), schedule.synthetic, schedule.walks])
        self.shares = shares / shares.sum()

    def under(self, schedule: Schedule, weights: Sequence[float]) -> "Sampler":
        """The same series, drawn by another schedule and other weights."""
        return Sampler(self.pools, weights, self.generated, schedule, rhythm=self.rhythm, horizon=self.horizon)

    def draw(self, rng: np.random.Generator, count: int) -> Windows:
        """`count` windows in random order."""
        numbers = rng.multinomial(count, self.shares)
        parts = [self._real(rng, pool, n) for pool, n in zip(self.pools, numbers, strict=False) if n]
        if numbers[-2]:
            parts.append(self._generated(rng, self.generated, int(numbers[-2]), flip=0.3))
        if numbers[-1]:
            walks = synthetic.walks(rng, int(numbers[-1]), self.schedule.window + self.horizon)
            parts.append(self._generated(rng, walks, int(numbers[-1]), flip=0.0))
        joined = Windows.joined(parts).some(rng.permutation(count))
        return self._with_gaps(rng, self._forgotten(rng, joined))

    def _real(self, rng: np.random.Generator, pool: Pool, count: int) -> Windows:
        cut = pool.cut(rng, count, self.schedule.window, self.horizon)
        dated = rng.random(count) < self.schedule.dated
        whole = np.concatenate([cut.values, cut.ahead], axis=1)  # one change for both, so that they stay one series
        rows = np.flatnonzero(rng.random(count) < self.schedule.augmented)
        if len(rows):
            whole[rows] = self._augmented(rng, cut, rows)
        signs = np.where(rng.random(count) < self.schedule.flipped, -1.0, 1.0)
        whole *= signs[:, None]
        cut.beside[signs < 0.0] = np.nan  # what raised the values would lower them
        window = self.schedule.window
        calendar = cut.calendar * dated[:, None, None]
        return replace(cut, values=whole[:, :window], ahead=whole[:, window:], calendar=calendar)

    def _augmented(self, rng: np.random.Generator, cut: Windows, rows: NDArray[np.intp]) -> Array:
        window = self.schedule.window
        series = np.concatenate([cut.values[rows], cut.ahead[rows, window:]], axis=1)
        changed = synthetic.shape_added(rng, series, self.rhythm)
        judged = np.where(np.isnan(cut.ahead[rows]), np.nan, changed)
        return np.concatenate([changed[:, :window], judged], axis=1)

    def _generated(self, rng: np.random.Generator, series: NDArray[np.floating], count: int, *, flip: float) -> Windows:
        window, span = self.schedule.window, self.schedule.window + self.horizon
        which = rng.integers(len(series), size=count)
        offset = rng.integers(max(series.shape[1] - span, 0) + 1, size=count)
        inside = np.minimum(offset[:, None] + np.arange(span), series.shape[1] - 1)
        ahead = series[which[:, None], inside].astype(np.float64)
        ahead *= np.where(rng.random(count) < flip, -1.0, 1.0)[:, None]
        nothing = np.zeros((count, window, CALENDAR), dtype=np.float32)
        beside, static = (np.full((count, *shape), np.nan) for shape in self.shapes)
        steps, foreseen = np.full(count, window), np.ones(count, dtype=bool)
        return Windows(ahead[:, :window].copy(), ahead, nothing, steps, beside, static, foreseen)

    def _forgotten(self, rng: np.random.Generator, windows: Windows) -> Windows:
        """Of some windows no covariates are known, and of others none in advance: a session may send as little."""
        if not windows.beside.shape[2]:
            return windows
        drawn = rng.random(len(windows))
        windows.beside[drawn < FORGOTTEN] = np.nan
        return replace(windows, foreseen=drawn < 1.0 - UNFORESEEN)

    def _with_gaps(self, rng: np.random.Generator, windows: Windows) -> Windows:
        """Leave single values and short stretches out of some windows; nothing that is left out is judged either."""
        count, length = windows.values.shape
        gappy = rng.random((count, 1)) < self.schedule.gappy
        starts = rng.random((count, length)) < rng.uniform(0.005, 0.08, (count, 1))
        again = rng.random((count, length)) < 0.5
        gaps = starts | (np.roll(starts, 1, axis=1) & again)
        gaps[:, 0] = False
        gaps &= gappy
        windows.values[gaps] = np.nan
        windows.ahead[:, :length][gaps] = np.nan
        return windows


def _wide(covariates: Array | None, length: int) -> Array:
    return np.empty((length, 0)) if covariates is None else covariates


def pool_of(series: Sequence[Series]) -> Pool:
    """A source's series, each drawn with a chance that grows with the square root of its length."""
    return Pool(series, weights=np.sqrt([float(len(one)) for one in series]))


def loss_positions(rng: np.random.Generator, steps: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """(N, count) steps that are judged: a quarter among the first `COLD`, the rest anywhere; never the first."""
    first = np.minimum(1, steps - 1)[:, None]
    last = steps[:, None] - first
    room = np.where(np.arange(count)[None, :] < count // 4, np.minimum(last, COLD), last)
    return first + np.floor(rng.random((len(steps), count)) * room).astype(np.int64)
