"""Naive2, which the M4 competition measures by: the last value, by the season's index where the series has a season.

Makridakis, Spiliotis and Assimakopoulos (2020), "The M4 Competition: 100,000 time series and 61 forecasting methods".
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LIMIT = 1.645
"""Standard errors beyond which an autocorrelation counts: 90 % of what is by chance lies within."""

LEAST_SEASONS = 3
"""Fewer whole seasons than this, and a series has none."""


def naive2(known: Array, steps: int, season: int) -> Array:
    """(steps,) forecasts from the end of `known`, which has no missing values; NaN where it is empty.

    Seasons are multiplied in, so a series with values that are not positive is repeated without one.
    """
    if len(known) == 0:
        return np.full(steps, np.nan)
    last = len(known) - 1
    if not has_season(known, season) or (known <= 0.0).any():
        return np.full(steps, known[last])
    index = seasonal_indices(known, season)
    forecasts: Array = known[last] / index[last % season] * index[(last + 1 + np.arange(steps)) % season]
    return forecasts


def has_season(known: Array, season: int) -> bool:
    """Whether the autocorrelation at the season's lag is beyond chance, given those at the lags before it."""
    if season < 2 or len(known) < LEAST_SEASONS * season:
        return False
    deviations = known - known.mean()
    power = float(deviations @ deviations)
    if power == 0.0:
        return False
    *before, last = (float(deviations[lag:] @ deviations[:-lag]) / power for lag in range(1, season + 1))
    error = np.sqrt((1.0 + 2.0 * np.square(before).sum()) / len(known))  # Bartlett's formula
    return bool(abs(last) > LIMIT * error)


def seasonal_indices(known: Array, season: int) -> Array:
    """(season,) by step modulo the season: mean ratio to the centred moving average; their mean is 1."""
    window = np.ones(season + 1 - season % 2)
    if season % 2 == 0:
        window[[0, -1]] = 0.5  # an even season is centred by half a step of both ends
    average = np.convolve(known, window / season, mode="valid")
    begin = len(window) // 2
    ratios = known[begin : begin + len(average)] / average
    phases = (begin + np.arange(len(ratios))) % season
    means = np.bincount(phases, ratios, season) / np.bincount(phases, minlength=season)
    indices: Array = means / means.mean()
    return indices
