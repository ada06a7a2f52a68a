"""The law: a session's bits do not depend on who shares its batch, nor on where its series is cut.

Checked on every artifact when it is published and when it is loaded: an operator whose bits change with the batch size
would make a replayed series differ from the served one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.artifacts.runtime import Bytes, Doubles, Floats, Model
from models.dates.calendar import CALENDAR

BATCH_SIZES = (*range(1, 65), 100, 128, 200, 256, 512)
FIRST_SIZES = (1, 2, 3, 5, 17, 64, 512)
"""Of new sessions: the graphs are the same, so all sizes are tried once, with sessions under way."""
FANS = 64
"""Sessions of each step whose fans must be finite, some of every kind of series; of the last step it is all of them."""
STEPS = 12
"""Observations that sessions fold one by one before they are compared: past the first whole season."""
NOT_FINITE = "a forecast is not finite"


class LawBroken(ValueError):
    """The artifact's graphs give a session other bits in other company, or numbers that are not finite."""


def check(model: Model, *, steps: int = STEPS, seed: int = 0) -> None:
    """Raise LawBroken unless stepping, batching and the fan agree bit by bit and stay finite."""
    rng = np.random.default_rng(seed)
    sessions = max(BATCH_SIZES)
    values, observed = difficult_series(rng, sessions, steps), contexts(model, rng, sessions, steps)
    encoding = model.encoding
    static = np.concatenate([rng.standard_normal((sessions, encoding.static)), np.ones((sessions, encoding.static))], 1)
    states = model.initial_state(sessions, static)
    for t in range(steps):
        before = states
        states, issued = model.step(states, values[:, t], observed[:, t])
        if not (np.isfinite(issued).all() and np.isfinite(model.forecast(states[:FANS])).all()):
            raise LawBroken(NOT_FINITE)
        if sizes := {0: FIRST_SIZES, steps - 1: BATCH_SIZES}.get(t):
            _in_any_company(model, before, values[:, t], observed[:, t], states, sizes, rng)
    for row in rng.choice(sessions, 4, replace=False):
        alone, _ = model.fold(model.initial_state(1, static[row])[0], values[row], observed[row])
        if not np.array_equal(alone, states[row]):
            raise LawBroken("a session folded alone differs from the same session folded in a batch")


def _in_any_company(
    model: Model,
    before: Bytes,
    values: Doubles,
    calendar: Floats,
    after: Bytes,
    sizes: Sequence[int],
    rng: np.random.Generator,
) -> None:
    fan, encoding = model.forecast(after), model.encoding
    if not np.isfinite(fan).all():
        raise LawBroken(NOT_FINITE)
    future = rng.standard_normal((len(after), encoding.horizon, encoding.known))
    other = model.forecast(after, future)
    if not np.array_equal(fan[:, 0], model.issued(after)):
        raise LawBroken("the fan's first step is not the forecast that the step issued")
    for size in sizes:
        rows = rng.permutation(len(before))[:size]
        states, _ = model.step(before[rows], values[rows], calendar[rows])
        same = np.array_equal(states, after[rows]) and np.array_equal(model.forecast(after[rows]), fan[rows])
        if not same or (encoding.known and not np.array_equal(model.forecast(after[rows], future[rows]), other[rows])):
            raise LawBroken(f"{size} sessions in a batch have other bits than in other company")


def contexts(model: Model, rng: np.random.Generator, count: int, steps: int) -> Floats:
    """(count, steps, 5 + W): any calendar, and covariates of which a quarter is missing."""
    calendar = rng.standard_normal((count, steps, CALENDAR)).astype(np.float32)
    if not model.encoding.width:
        return calendar
    numbers = rng.standard_normal((count, steps, model.encoding.numbers))
    numbers[rng.random(numbers.shape) < 0.25] = np.nan
    return np.concatenate([calendar, model.encoding.rows(numbers)], axis=2)


def difficult_series(rng: np.random.Generator, count: int, steps: int) -> Doubles:
    """(count, steps): random walks and every kind of series that breaks a careless fold, in turn."""
    walks = rng.standard_normal((count, steps)).cumsum(axis=1) + 10.0
    counts = rng.poisson(0.3, (count, steps)).astype(np.float64)
    late = np.where(np.arange(steps) < steps // 2, 0.0, counts + 1.0)
    first_missing, gappy = walks.copy(), walks.copy()
    first_missing[:, 0] = np.nan
    gappy[rng.random((count, steps)) < 0.3] = np.nan
    signs = walks * np.where(np.arange(steps) % 2, 1.0, -1.0)
    kinds = [walks, np.zeros_like(walks), np.full_like(walks, 5.0), late, first_missing, np.full_like(walks, np.nan)]
    spiked = np.where(rng.random((count, steps)) < 0.02, 1e9, walks)
    kinds += [1e-12 * walks, 1e12 * walks, signs, gappy, counts, spiked]
    return np.stack([kinds[row % len(kinds)][row] for row in range(count)])
