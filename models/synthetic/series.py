"""Synthetic training series: what the model can learn about seasons, levels and noise without anybody's data.

One fifth comes from Gaussian processes, four fifths are structural: 12 % of those are pure random walks, the others
sums of a seasonal pattern, other cycles, a level, noise, bursts and outliers, then transformed as real series are
(growth, offsets, holidays, counts, intermittent demand, clipping). The same seed gives the same series, however many
processes draw them.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial

import numpy as np
from numpy.typing import NDArray

from models.synthetic import components, gaussian_processes, seasons
from models.synthetic.components import Array, Generator, chance, lognormal
from models.synthetic.seasons import Rhythm

CHUNK = 1000
"""Series drawn together, from one seed of their own."""

OFFSETS = (0.0, 3.0, 10.0, 30.0)
"""Where a series that is not exponentiated lies, in its own standard deviations."""


def draw(
    count: int,
    *,
    length: int = 396,
    rhythm: Rhythm = Rhythm(),  # noqa: B008 - frozen
    seed: int = 0,
    processes: int = 1,
    advance: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Draw `count` series of `length` steps.

    Args:
        rhythm: the periods of their frequency.
        processes: worker processes; 1 draws in this one. The result does not depend on it.
        advance: called with the number of series each time some are ready.
    Returns:
        (count, length) float32, all finite.
    """
    chunks = -(-count // CHUNK)
    seeds = np.random.SeedSequence(seed).spawn(chunks)
    sizes = [min(CHUNK, count - CHUNK * k) for k in range(chunks)]
    work = partial(_chunk, length=length, rhythm=rhythm)
    out = np.empty((count, length), dtype=np.float32)
    with ProcessPoolExecutor(max_workers=processes) if processes > 1 else nullcontext() as pool:
        parts = pool.map(work, seeds, sizes) if pool else map(work, seeds, sizes)
        for k, part in enumerate(parts):
            out[k * CHUNK : k * CHUNK + sizes[k]] = part
            if advance is not None:
                advance(sizes[k])
    return out


def walks(rng: Generator, count: int, length: int) -> Array:
    """Pure random walks: drift, log-volatility AR(1), Laplace or t(3) shocks; 60 % geometric."""
    volatility = components.autoregressive(rng.standard_normal((count, length)), rng.uniform(0.9, 0.995, count))
    steps = components.shocks(rng, count, length) * np.exp(volatility * rng.uniform(0.0, 0.8, (count, 1)))
    steps += rng.standard_normal((count, 1)) * 0.03
    path = components.walk(steps)
    geometric = chance(rng, 0.6, count)[:, None]
    size = lognormal(rng, 0.012, 0.8, count)[:, None]
    offset = lognormal(rng, 60.0, 1.0, count)[:, None]
    return np.where(geometric, np.exp(np.clip(path * size, -15.0, 15.0)), path + offset)


def structural(rng: Generator, count: int, length: int, rhythm: Rhythm) -> Array:
    """Sums of a seasonal pattern, other cycles, a level, noise, bursts and outliers, transformed like real series."""
    unit = lognormal(rng, 1.0, 0.5, count)[:, None]
    series = seasons.pattern(rng, count, length, rhythm) * unit * chance(rng, 0.75, count)[:, None]
    other = components.cycle(rng, count, length, rng.uniform(2.0, 4.0 * rhythm.season + 2.0, count))
    series += other * (chance(rng, 0.12, count) * lognormal(rng, 0.7, 0.6, count))[:, None]
    if rhythm.year:
        year = components.cycle(rng, count, length, np.full(count, rhythm.year))
        series += year * (chance(rng, 0.40, count) * lognormal(rng, 1.2, 0.7, count))[:, None]
    series += components.level(rng, count, length) * lognormal(rng, 1.0, 0.7, count)[:, None]
    size = lognormal(rng, 0.5, 0.9, count)[:, None]
    by_phase = _repeated(rng, seasons.shapes(rng, count, rhythm.season), length)
    series += components.noise(rng, count, length, by_phase) * size
    series += components.bursts(rng, count, length) * lognormal(rng, 3.0, 0.5, count)[:, None]
    series += components.outliers(rng, count, length) * lognormal(rng, 4.0, 0.5, count)[:, None]
    return _as_observed(rng, series)


def shape_added(rng: Generator, windows: Array, rhythm: Rhythm) -> Array:
    """Augment real windows (N, T): a random seasonal pattern added, or multiplied into positive ones.

    Its size is lognormal about 1.5 times the window's mean absolute difference.
    """
    count, length = windows.shape
    shape = seasons.repeated(rng, count, length, rhythm)
    step = np.nanmean(np.abs(np.diff(windows, axis=1)), axis=1)
    size = 1.5 * step * lognormal(rng, 1.0, 0.7, count)
    centre = np.nanmean(windows, axis=1)
    multiply = (np.nanmin(windows, axis=1) > 0) & chance(rng, 0.5, count)
    relative = np.minimum(size / np.maximum(np.abs(centre), 1e-300), 1.0)
    grown = windows * np.exp(np.clip(shape * relative[:, None], -3.0, 3.0))
    changed: Array = np.where(multiply[:, None], grown, windows + shape * size[:, None])
    return changed


def _repeated(rng: Generator, shapes: Array, length: int) -> Array:
    """(count, length) shapes of a season one after the other, from a random phase."""
    phase = seasons.phases(rng, len(shapes), length, shapes.shape[1])
    return np.take_along_axis(shapes, phase, axis=1)


def _chunk(seed: np.random.SeedSequence, count: int, *, length: int, rhythm: Rhythm) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    processes = count // 5
    pure = round(0.12 * (count - processes))
    parts = (
        gaussian_processes.draw(rng, processes, length, rhythm),
        walks(rng, pure, length),
        structural(rng, count - processes - pure, length, rhythm),
    )
    return np.concatenate(parts)[rng.permutation(count)].astype(np.float32)


def _as_observed(rng: Generator, series: Array) -> Array:
    """Growth or offset, then holidays, counts, intermittent demand, clipping at zero and reflection."""
    count = len(series)
    unit = (series - series.mean(axis=1, keepdims=True)) / np.maximum(series.std(axis=1, keepdims=True), 1e-9)
    grown = np.exp(np.clip(unit * lognormal(rng, 0.4, 0.6, count).clip(0.02, 1.5)[:, None], -5.0, 5.0))
    offset = rng.choice(OFFSETS, size=(count, 1))
    multiplicative = chance(rng, 0.4, count)
    out = np.where(multiplicative[:, None], grown, unit + offset)
    out = components.holidays(rng, out)
    rows = chance(rng, 0.08, count)
    out[rows] = _counts(rng, out[rows])
    rows = chance(rng, 0.04, count)
    out[rows] = components.intermittent(rng, int(rows.sum()), out.shape[1], np.exp(np.clip(unit[rows], -2.0, 2.0)))
    rows = chance(rng, 0.06, count)
    floor = np.quantile(out[rows], rng.uniform(0.05, 0.6), axis=1, keepdims=True) if rows.any() else 0.0
    out[rows] = np.maximum(out[rows] - floor, 0.0)
    rows = chance(rng, 0.10, count)
    out[rows] = -out[rows]
    return out


def _counts(rng: Generator, series: Array) -> Array:
    """Poisson or negative-binomial counts whose mean follows the series."""
    positive = series - series.min(axis=1, keepdims=True)
    relative = positive / np.maximum(positive.mean(axis=1, keepdims=True), 1e-9)
    mean = relative * lognormal(rng, 3.0, 1.2, len(series))[:, None]
    spread = np.where(chance(rng, 0.5, len(series)), lognormal(rng, 3.0, 0.7, len(series)), 1e6)[:, None]
    out: Array = rng.poisson(rng.gamma(spread, 1.0, mean.shape) / spread * mean).astype(np.float64)
    return out
