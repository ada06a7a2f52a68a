"""Covariates of training windows, as the network sees them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.covariates import Covariates, units
from models.data import DataError, read
from models.mixture import Mixture
from models.times import UTC
from models.training.windows import Windows


def measured(
    path: Path,
    *,
    freq: str,
    test_steps: int,
    past: Sequence[str],
    known: Sequence[str],
    static: Sequence[str],
    timezone: str = UTC,
) -> Covariates:
    """Covariates by name, with centres and widths of the training rows of a file.

    Raises:
        DataError: the file lacks one of the columns, or what is static changes; a name is given twice.
    """
    names = (*past, *known, *static)
    try:
        named = Covariates(tuple(past), tuple(known), tuple(static), (0.0,) * len(names), (1.0,) * len(names))
    except ValueError as error:
        raise DataError(str(error), "name each column once") from error
    if not names:
        return named
    series = read(path, freq=freq, timezone=timezone, test_steps=test_steps, covariates=named)
    observed = np.concatenate([one.covariates for one in series if one.covariates is not None])
    fixed = np.stack([one.static for one in series if one.static is not None])
    columns = dict(zip(names, [*observed.T, *fixed.T], strict=True))
    centres, widths = units(columns)
    return replace(named, centres=centres, widths=widths)


def contexts(module: Mixture, windows: Windows) -> NDArray[np.float32]:
    """(N, T, 5 + ...): calendar features, and what is known of each step and of the one after it."""
    if not module.beside.encoding.width:
        return windows.calendar
    encoding, length = module.beside.encoding, windows.values.shape[1]
    present = encoding.present(windows.beside[:, :length])
    following = encoding.step_ahead(_known(module, windows)[:, 1 : length + 1])
    return np.concatenate([windows.calendar, present, following], axis=2)


def static_rows(windows: Windows) -> NDArray[np.float64]:
    """(N, 2 S): values and flags, as a state keeps them."""
    known = ~np.isnan(windows.static)
    return np.concatenate([np.where(known, windows.static, 0.0), known.astype(np.float64)], axis=1)


def further(
    module: Mixture, windows: Windows, places: NDArray[np.int64], horizons: Sequence[int]
) -> Tensor:
    """(N, P, H, C) float32: covariates of the steps ahead of each place (N, P), as `Beside.further` gives them."""
    shape = (*places.shape, len(horizons))
    if not module.beside.columns:
        return torch.zeros(*shape, 0)
    encoding, rows = module.beside.encoding, np.arange(len(windows))[:, None]
    parts = []
    if encoding.observed:
        present = encoding.present(windows.beside[rows, places])
        ahead = encoding.step_ahead(_known(module, windows)[rows[:, :, None], places[:, :, None] + np.array(horizons)])
        parts = [np.broadcast_to(present[:, :, None], (*shape, encoding.now)), ahead]
    static = module.beside.of_session(torch.from_numpy(static_rows(windows))).numpy()
    parts.append(np.broadcast_to(static[:, None, None], (*shape, static.shape[1])))
    return torch.from_numpy(np.concatenate(parts, axis=3).astype(np.float32))


def _known(module: Mixture, windows: Windows) -> NDArray[np.float64]:
    """(N, T + H, K) what is known in advance; NaN where it is not, or not in time."""
    encoding = module.beside.encoding
    known = windows.beside[:, :, encoding.observed - encoding.known :]
    return np.where(windows.foreseen[:, None, None], known, np.nan)
