"""Random series from Gaussian processes with composed kernels: one fifth of the synthetic training series."""

import numpy as np

from models.synthetic.components import Array, Generator
from models.synthetic.seasons import Rhythm

DRAWS_PER_KERNEL = 6
"""A Cholesky factor costs far more than a draw, so each is used several times."""

OTHER_PERIODS = (5.0, 14.0, 30.4, 91.0, 365.25)
"""Beside the rhythm's own."""


def draw(rng: Generator, count: int, length: int, rhythm: Rhythm) -> Array:
    """(count, length) series: 2 to 4 kernels joined by + or x, plus white noise; 30 % exponentiated."""
    time = np.arange(length, dtype=np.float64)
    out = np.empty((count, length))
    for start in range(0, count, DRAWS_PER_KERNEL):
        stop = min(start + DRAWS_PER_KERNEL, count)
        kernel = _composed(rng, time, rhythm)
        noise = 10.0 ** rng.uniform(-3.0, 0.0)
        kernel[np.diag_indices(length)] += noise + 1e-6
        out[start:stop] = rng.standard_normal((stop - start, length)) @ np.linalg.cholesky(kernel).T
    grow = rng.random(count) < 0.3
    out[grow] = np.exp(np.clip(out[grow] * rng.uniform(0.2, 1.0, (int(grow.sum()), 1)), -20.0, 20.0))
    return out


def _composed(rng: Generator, time: Array, rhythm: Rhythm) -> Array:
    kernel = _kernel(rng, time, rhythm)
    for _ in range(int(rng.integers(1, 4))):
        other = _kernel(rng, time, rhythm)
        kernel = kernel + other if rng.random() < 0.65 else kernel * other
    return kernel / np.mean(np.diag(kernel))


def _kernel(rng: Generator, time: Array, rhythm: Rhythm) -> Array:
    """One positive semi-definite kernel with a mean variance near 1, times a random weight."""
    apart = np.abs(time[:, None] - time[None, :])
    if rng.random() < 0.35:
        longer = rhythm.longer > 0 and rng.random() < 0.4
        kernel = _periodic(rng, apart, float(rhythm.longer if longer else rhythm.season))
    else:
        kind = int(rng.integers(6))
        reach = 10.0 ** rng.uniform(0.3, 2.5)
        if kind == 0:
            kernel = np.exp(-0.5 * (apart / reach) ** 2)
        elif kind == 1:
            kernel = np.exp(-apart / reach)
        elif kind == 2:
            kernel = _periodic(rng, apart, float(rng.choice(OTHER_PERIODS)))
        elif kind == 3:
            kernel = (np.minimum(time[:, None], time[None, :]) + 1.0) / len(time) * 2.0
        elif kind == 4:
            line = (time - rng.uniform(0.0, len(time))) / len(time) * 2.0
            kernel = line[:, None] * line[None, :] + 1e-3
        else:
            kernel = np.eye(len(time))
    return kernel * rng.lognormal(0.0, 0.7)


def _periodic(rng: Generator, apart: Array, period: float) -> Array:
    smoothness = 10.0 ** rng.uniform(-0.5, 0.4)
    kernel: Array = np.exp(-2.0 * (np.sin(np.pi * apart / period) / smoothness) ** 2)
    return kernel
