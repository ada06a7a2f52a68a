"""Classical rivals, where their library is installed: exponential smoothing and Theta, fitted to each series.

They forecast the whole horizon from the end of the training part, and only that: fitted anew at each step they would
take seconds for each series.
"""

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from models.data import Series
from models.evaluation.scoring import Issued, last_known

Array = NDArray[np.float64]
ETS, THETA = "ETS", "Theta"
LIBRARY = "statsmodels"
FITTED = 1000
"""Training steps that a method is fitted to, at most: the last ones."""

SEASONS = 2
"""Fewer whole seasons than this in the training part, and a method is fitted without one."""

UNFIT = (ValueError, ArithmeticError, IndexError, np.linalg.LinAlgError)
"""Raised for series that are too short or constant: they are left out of the comparison."""

Method = Callable[[Array, int, int | None], Array]
"""Forecasts of so many steps ahead of values without a gap, with a season (None = without)."""


def is_installed() -> bool:
    """Whether there is the library that fits them."""
    return find_spec(LIBRARY) is not None


def forecasts(series: Sequence[Series], *, horizon: int, seasons: Sequence[int]) -> dict[str, list[Issued]]:
    """By method, the fans of all series; NaN where a method cannot be fitted.

    Args:
        seasons: steps of one, of each series.
    """
    return {
        name: [_issued(method, one, horizon, season) for one, season in zip(series, seasons, strict=True)]
        for name, method in {ETS: _smoothed, THETA: _theta}.items()
    }


def _issued(method: Method, series: Series, horizon: int, season: int) -> Issued:
    fan, nothing = np.full((horizon, 1), np.nan), np.empty((0, 1))
    known = last_known(series.values[: series.train_steps])[-FITTED:]
    known = known[~np.isnan(known)]
    has_season = 1 < season <= len(known) // SEASONS
    with warnings.catch_warnings(), np.errstate(all="ignore"), suppress(*UNFIT):
        warnings.simplefilter("ignore")  # how far an optimiser came is judged by the forecasts
        fan[:, 0] = method(known, horizon, season if has_season else None)
    return Issued(nothing, fan)


def _smoothed(known: Array, horizon: int, season: int | None) -> Array:
    """Exponential smoothing (Holt 1957, Winters 1960) with damped trend and additive season."""
    from statsmodels.tsa.api import ExponentialSmoothing

    seasonal = None if season is None else "add"
    model = ExponentialSmoothing(known, trend="add", damped_trend=True, seasonal=seasonal, seasonal_periods=season)
    return np.asarray(model.fit().forecast(horizon), dtype=np.float64)


def _theta(known: Array, horizon: int, season: int | None) -> Array:
    """The Theta method (Assimakopoulos and Nikolopoulos 2000)."""
    from statsmodels.tsa.forecasting.theta import ThetaModel

    model = ThetaModel(known, period=season or 1, deseasonalize=season is not None, method="additive")
    return np.asarray(model.fit().forecast(horizon), dtype=np.float64)
