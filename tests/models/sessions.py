"""What the tests of the fold share: difficult series, and how near two forecasts of a session must be."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.artifacts.runtime import Bytes, Doubles, Floats, Model
from models.dates.calendar import CALENDAR
from models.mixture import Mixture

TOLERANCE = 1e-5
"""Of the larger of |forecast| and the session's scale: forecasts cross zero."""


def regular_series(steps: int) -> Doubles:
    """(B, steps) difficult series without a missing value."""
    rng = np.random.default_rng(11)
    walk = 10.0 + rng.standard_normal(steps).cumsum()
    late = np.zeros(steps)
    late[steps // 2] = 3.0
    signs = np.where(np.arange(steps) % 2, 1.0, -1.0)
    return np.stack(
        [
            np.zeros(steps),
            np.full(steps, 5.0),
            late,
            rng.poisson(0.4, steps).astype(np.float64),
            rng.poisson(np.resize([9.0, 8.0, 8.0, 9.0, 14.0, 3.0, 1.0], steps)).astype(np.float64),
            1e-12 * walk,
            1e12 * walk,
            signs * np.abs(walk),
            walk,
        ]
    )


def interrupted_series(steps: int) -> Doubles:
    """(B, steps) series of which the first value is missing, and in one of them others too."""
    rng = np.random.default_rng(12)
    first = 10.0 + rng.standard_normal(steps).cumsum()
    random = first[::-1].copy()
    first[0] = random[0] = np.nan
    random[rng.random(steps) < 0.005] = np.nan
    return np.stack([first, random])


def week_features(batch: int, steps: int) -> Floats:
    """(B, steps, 5): days of known date, a week and a year turning."""
    week, year = (2 * np.pi * np.arange(steps) / period for period in (7, 365.25))
    columns = [np.ones(steps), np.sin(week), np.cos(week), np.sin(year), np.cos(year)]
    return np.broadcast_to(np.stack(columns, axis=1), (batch, steps, CALENDAR)).astype(np.float32)


def scales(model: Model, states: Bytes) -> Doubles:
    """(B, 1): each session's scale, in units of its values."""
    fast, slow, peak = model.spec.layout.view(states, "scale").T
    largest: Doubles = np.maximum.reduce([fast, 0.1 * slow, 1e-6 * peak, np.full_like(fast, 1e-30)])
    return largest[:, None]


def difference(given: npt.NDArray[Any], expected: npt.NDArray[Any], scale: npt.NDArray[Any]) -> float:
    """The largest difference, in units of max(|expected|, scale)."""
    return float((np.abs(given - expected) / np.maximum(np.abs(expected), scale)).max())


def resolutions(model: Model, module: Mixture, states: Bytes) -> Doubles:
    """(B, 1): see `MixtureHead.resolution`."""
    layout = model.spec.layout
    arrays = {field.name: torch.from_numpy(layout.view(states, field.name).copy()) for field in layout.fields}
    found: Doubles = module.head.resolution(module.state_of(arrays)["memory"]).numpy()
    return found


def served(
    model: Model, values: Doubles, calendar: Floats, module: Mixture | None = None
) -> tuple[Doubles, Doubles, Bytes]:
    """Step B sessions one observation at a time: what was issued (B, T, Q), the scales (B, T, 1), the last states.

    Args:
        module: of the model; with it, a scale is at least what makes the tolerance as much as the rounding.
    """
    states = model.initial_state(len(values))
    issued, sizes = [], []
    for t in range(values.shape[1]):
        states, quantiles = model.step(states, np.ascontiguousarray(values[:, t]), calendar[:, t])
        issued.append(quantiles)
        rounding = 0.0 if module is None else resolutions(model, module, states) / model.spec.tolerance
        sizes.append(np.maximum(scales(model, states), rounding))
    return np.stack(issued, axis=1), np.stack(sizes, axis=1), states


def unrolled(module: Mixture, values: Doubles, calendar: Floats, *, window: int = 500) -> tuple[Doubles, Doubles]:
    """Unroll the torch module window by window: next-step quantiles (B, T, Q), and the last fan (B, H, Q)."""
    state = module.initial_state(len(values))
    issued = []
    with torch.no_grad():
        for start in range(0, values.shape[1], window):
            cut = slice(start, start + window)
            fan, state = module.unroll(
                torch.from_numpy(values[:, cut].copy()), torch.from_numpy(calendar[:, cut].copy()), state
            )
            issued.append(fan[:, :, 0].numpy())
    return np.concatenate(issued, axis=1), fan[:, -1].numpy()
