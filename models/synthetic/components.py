"""The parts that structural synthetic series are summed from.

Every function returns (N, T) for N series of T steps; sizes are (N,) in the units of the series. All loops run over
time or over kinds, never over series.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Generator = np.random.Generator


def chance(rng: Generator, probability: float, count: int) -> Mask:
    """(count,) true with `probability`."""
    return rng.random(count) < probability


def lognormal(rng: Generator, median: float, spread: float, count: int) -> Array:
    """(count,) lognormal with the given median; `spread` in natural logarithms."""
    return median * np.exp(spread * rng.standard_normal(count))


def walk(steps: Array) -> Array:
    """Running sums that start at the first step."""
    return np.cumsum(steps, axis=1)


def autoregressive(shocks: Array, memory: Array) -> Array:
    """x[t] = memory x[t-1] + sqrt(1 - memory^2) shock[t]: unit variance for unit shocks."""
    out = np.empty_like(shocks)
    out[:, 0] = shocks[:, 0]
    gain = np.sqrt(1.0 - memory**2)
    for t in range(1, shocks.shape[1]):
        out[:, t] = memory * out[:, t - 1] + gain * shocks[:, t]
    return out


def cycle(rng: Generator, count: int, length: int, period: Array) -> Array:
    """One or two harmonics of `period` (count,), from a random phase."""
    turn = 2.0 * np.pi * (np.arange(length)[None, :] / period[:, None] + rng.random((count, 1)))
    second = np.sin(2.0 * turn + 2.0 * np.pi * rng.random((count, 1)))
    out: Array = np.sin(turn) + second * (chance(rng, 0.5, count) * rng.uniform(0.0, 0.6, count))[:, None]
    return out


def level(rng: Generator, count: int, length: int) -> Array:
    """Random walk 35 %, AR(1) 20 %, integrated walk 15 %, constant 30 %; 30 % with a trend, 30 % with level shifts."""
    kind = rng.choice(4, p=[0.35, 0.20, 0.15, 0.30], size=count)
    shocks = rng.standard_normal((count, length))
    out = np.zeros((count, length))
    rows = kind == 0
    out[rows] = walk(shocks[rows]) * lognormal(rng, 0.25, 0.9, int(rows.sum()))[:, None]
    rows = kind == 1
    memory = 1.0 - lognormal(rng, 0.08, 0.9, int(rows.sum())).clip(0.005, 0.9)
    out[rows] = autoregressive(shocks[rows], memory) * lognormal(rng, 1.0, 0.7, int(rows.sum()))[:, None]
    rows = kind == 2
    out[rows] = walk(walk(shocks[rows])) * lognormal(rng, 0.01, 0.9, int(rows.sum()))[:, None]
    slope = rng.standard_normal(count) * chance(rng, 0.3, count) * 3.0 / length
    out += slope[:, None] * np.arange(length)
    return out + _shifts(rng, count, length)


def _shifts(rng: Generator, count: int, length: int) -> Array:
    out = np.zeros((count, length))
    some = chance(rng, 0.3, count)
    number = rng.integers(1, 4, size=count)
    for k in range(3):
        at = rng.integers(1, length, size=count)
        size = rng.standard_normal(count) * 2.0 * (some & (number > k))
        out += size[:, None] * (np.arange(length)[None, :] >= at[:, None])
    return out


def shocks(rng: Generator, count: int, length: int) -> Array:
    """Unit-variance noise: normal, Laplace, t(3) or skewed gamma, one kind a series."""
    kind = rng.choice(4, p=[0.4, 0.2, 0.2, 0.2], size=count)
    out = rng.standard_normal((count, length))
    rows = kind == 1
    out[rows] = rng.laplace(0.0, np.sqrt(0.5), (int(rows.sum()), length))
    rows = kind == 2
    out[rows] = rng.standard_t(3.0, (int(rows.sum()), length)) / np.sqrt(3.0)
    rows = kind == 3
    shape = 1.5
    sign = rng.choice([-1.0, 1.0], p=[0.2, 0.8], size=(int(rows.sum()), 1))
    out[rows] = sign * (rng.gamma(shape, 1.0, (int(rows.sum()), length)) - shape) / np.sqrt(shape)
    return out


def noise(rng: Generator, count: int, length: int, sizes: Array) -> Array:
    """Shocks; 30 % with stochastic volatility, 30 % AR(1), 20 % with a size that depends on the phase.

    Args:
        sizes: (count, length) the logarithm of the size by phase, for those.
    """
    out = shocks(rng, count, length)
    memory = np.where(chance(rng, 0.3, count), rng.uniform(-0.5, 0.9, count), 0.0)
    out = autoregressive(out, memory)
    slow = autoregressive(rng.standard_normal((count, length)), rng.uniform(0.8, 0.995, count))
    out *= np.exp(slow * (chance(rng, 0.3, count) * rng.uniform(0.2, 1.0, count))[:, None])
    sized: Array = out * np.exp(sizes * (0.7 * chance(rng, 0.2, count))[:, None])
    return sized


def bursts(rng: Generator, count: int, length: int) -> Array:
    """Rare jumps that decay, on 15 % of the series; unit size."""
    starts = rng.random((count, length)) < rng.uniform(0.005, 0.03, (count, 1))
    jumps = starts * rng.exponential(1.0, (count, length)) * chance(rng, 0.15, count)[:, None]
    keep = rng.uniform(0.4, 0.95, count)
    out = np.empty_like(jumps)
    out[:, 0] = jumps[:, 0]
    for t in range(1, length):
        out[:, t] = keep * out[:, t - 1] + jumps[:, t]
    return out


def outliers(rng: Generator, count: int, length: int) -> Array:
    """Single wild values on 12 % of the series; unit size."""
    at = rng.random((count, length)) < rng.uniform(0.003, 0.02, (count, 1))
    out: Array = at * rng.standard_t(2.5, (count, length)) * chance(rng, 0.12, count)[:, None]
    return out


def intermittent(rng: Generator, count: int, length: int, sizes: Array) -> Array:
    """Demand that is mostly zero: events with a chance that drifts, of a size like `sizes` (count, length), above 0."""
    drift = walk(rng.standard_normal((count, length))) * lognormal(rng, 0.01, 0.8, count)[:, None]
    often = rng.uniform(0.03, 0.6, (count, 1)) * np.exp(np.clip(drift, -2.0, 0.5))
    demand = 1.0 + rng.poisson(lognormal(rng, 1.5, 1.0, count)[:, None].clip(0.0, 1e4) * sizes)
    out: Array = (rng.random((count, length)) < often) * demand
    return out


def holidays(rng: Generator, series: Array) -> Array:
    """On 20 % of the series 1 to 4 % of the steps (one or two in a row) fall towards the series' 2 % quantile."""
    count, length = series.shape
    at = rng.random((count, length)) < rng.uniform(0.01, 0.04, (count, 1))
    second = np.roll(at, 1, axis=1) & (rng.random((count, length)) < 0.4)
    low = np.quantile(series, 0.02, axis=1, keepdims=True)
    share = rng.uniform(0.5, 1.0, (count, 1)) * ((at | second) & chance(rng, 0.2, count)[:, None])
    out: Array = series + share * (low - series)
    return out
