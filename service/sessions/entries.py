"""What a commit adds to a record: its slots, and the outcome that a replay is rendered from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.covariates import Encoding
from models.dates.calendar import CALENDAR, UNKNOWN, features
from models.dates.grid import Grid
from models.dates.zones import zone
from service.sessions.registry import LoadedModel
from service.storage.answers import IMPUTED, WARMED_UP
from service.storage.layout import HEAD_BYTES, NO_TIME, AnswerKind, Bytes, Layout, Structured
from service.storage.record import find_foreign, heads_of

Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The minimum and maximum that forecasts of N sessions are cut to; (N,), NaN = none."""

    minimum: Doubles
    maximum: Doubles

    @classmethod
    def of(cls, heads: Structured) -> "Bounds":
        return cls(heads["minimum"], heads["maximum"])

    def rows(self, rows: Integers | slice) -> "Bounds":
        """Those of some of the sessions."""
        return Bounds(self.minimum[rows], self.maximum[rows])

    def cut(self, forecasts: Doubles) -> Doubles:
        """(N, ...) forecasts, or with one session any number of them; NaN (no forecast) stays."""
        if np.isnan(self.minimum).all() and np.isnan(self.maximum).all():
            return forecasts
        shape = (-1, *(1,) * (forecasts.ndim - 1))
        inside = np.fmin(np.fmax(forecasts, self.minimum.reshape(shape)), self.maximum.reshape(shape))
        return np.where(np.isnan(forecasts), np.nan, inside)


def issued(loaded: LoadedModel, states: Bytes, seen: Doubles | None = None) -> Doubles:
    """(B, 5): the next step's quantiles that are kept, uncut; NaN before a first value is known.

    Args:
        seen: (B,) of the states, where that is at hand.
    """
    quantiles: Doubles = loaded.model.issued(states).take(loaded.stored, axis=1)
    known = (loaded.model.seen(states) if seen is None else seen) > 0
    if not known.all():
        quantiles[~known] = np.nan
    return quantiles


def are_sound(loaded: LoadedModel, states: Bytes, steps: Structured) -> NDArray[np.bool_]:
    """(B,) whether states (B, S) can be those of sessions at steps (B,): finite, and having seen no more than that."""
    layout = loaded.spec.layout
    counts = [loaded.model.seen(states), *(layout.view(states, name)[:, 0] for name in ("scores.all", "scores.recent"))]
    sound = loaded.model.finite(states)
    for count in counts:
        sound &= (count >= 0) & (count <= steps)
    return sound


def find_unsound(loaded: LoadedModel, rows: Bytes) -> NDArray[np.bool_]:
    """(B,) True where heads and states (B, at least their bytes) cannot be those of this model's sessions.

    The graphs must not be given such states: they look places up by what a state has counted.
    """
    heads = heads_of(rows)
    states = rows[:, HEAD_BYTES : loaded.layout.live_bytes]
    return find_foreign(heads, loaded.layout) | ~are_sound(loaded, states, heads["step"])


def context(
    loaded: LoadedModel, grid: Grid | None, instants: Sequence[int], numbers: Doubles | None = None
) -> NDArray[np.float32]:
    """(T, 5 + W) what a step takes beside the values at these instants: calendar, and covariates where there are any.

    Args:
        numbers: (T, C) as slots keep them; None = nothing is known of any.
    """
    return with_covariates(loaded, calendar(grid, instants), numbers)


def with_covariates(
    loaded: LoadedModel, features: NDArray[np.float32], numbers: Doubles | None = None
) -> NDArray[np.float32]:
    """(..., 5 + W) of calendar features (..., 5) and the numbers (..., C) that slots keep of covariates."""
    encoding = loaded.encoding
    if not encoding.width:
        return features
    rows = np.zeros((*features.shape[:-1], encoding.width), np.float32) if numbers is None else encoding.rows(numbers)
    return np.concatenate([features, rows], axis=-1)


def converted(slots: Structured, before: Encoding | None, after: LoadedModel) -> Structured:
    """(N,) slots as another model keeps them: of the covariates, those that both take.

    Args:
        before: of the numbers that are kept; None = what they are is not known.
    """
    known = [] if before is None else places(before)
    if slots.dtype == after.layout.slot and known == places(after.encoding):
        return slots
    array = np.zeros(len(slots), after.layout.slot)
    for name in array.dtype.names or ():
        if name != "covariates":
            array[name] = slots[name]
    array["covariates"] = np.nan
    for place, key in enumerate(places(after.encoding)):
        if key in known:
            array["covariates"][:, place] = slots["covariates"][:, known.index(key)]
    return array


def places(encoding: Encoding) -> list[tuple[int, str]]:
    """What the numbers kept with an observation are: steps ahead of it, and the name of the covariate."""
    here = [(0, name) for name in encoding.covariates.observed]
    return here + [(ahead, name) for ahead in range(1, encoding.horizon + 1) for name in encoding.covariates.known]


def calendar(grid: Grid | None, instants: Sequence[int]) -> NDArray[np.float32]:
    """(T, 5) calendar features of the instants; zeros where steps are counted."""
    if grid is None:
        return np.zeros((len(instants), CALENDAR), np.float32)
    timezone = grid.timezone
    return _joined([_local_features(timezone, instant) for instant in instants])


def calendars(grids: Sequence[Grid | None], instants: Sequence[int]) -> NDArray[np.float32]:
    """(B, 5) calendar features of one instant of each of B sessions."""
    return _joined(
        [
            _NO_FEATURES if grid is None else _local_features(grid.timezone, instant)
            for grid, instant in zip(grids, instants, strict=True)
        ]
    )


@lru_cache(maxsize=2**16)
def _local_features(timezone: str, instant: int) -> bytes:
    return np.array(features(zone(timezone).local(instant)), np.float32).tobytes()


def _joined(pieces: Sequence[bytes]) -> NDArray[np.float32]:
    return np.frombuffer(b"".join(pieces), np.float32).reshape(-1, CALENDAR)


_NO_FEATURES = np.array(UNKNOWN, np.float32).tobytes()


def slots(
    layout: Layout,
    *,
    steps: Integers,
    instants: Sequence[int],
    values: Sequence[float],
    imputed: Sequence[bool],
    issued: Doubles,
    covariates: Doubles | None = None,
) -> Structured:
    """(N,) slots of newly folded observations; who writes them, and their place in its answer, is filled in after.

    Args:
        issued: (N, 5) the forecasts that had been issued for these steps, as answered.
        covariates: (N, C); None = nothing is known of any.
    """
    array = np.zeros(len(steps), layout.slot)
    array["step"], array["timestamp"], array["value"] = steps, instants, values
    array["flags"] = np.where(imputed, IMPUTED, 0)
    array["original"] = array["revised"] = np.nan
    array["covariates"] = np.nan if covariates is None else covariates
    array["issued"] = issued
    return array


def outcomes(
    layout: Layout,
    heads: Structured,
    observed: Structured,
    *,
    status: int,
    tokens: Bytes,
    digests: Bytes,
    replayed: Sequence[int],
    times: Sequence[int],
    forecasts: Doubles,
    warmed_up: NDArray[np.bool_],
) -> Structured:
    """(B,) outcomes of advances.

    Args:
        heads: (B,) of the sessions after the advance.
        observed: (B,) the slot that each answer shows, filled in.
        tokens, digests: (B, 16) and (B, 8).
        times: (B,) the instants of the steps forecast for; NO_TIME where steps are counted.
        forecasts: (B, 5) as answered; NaN = none.
    """
    array = np.zeros(len(heads), layout.outcome)
    array["status"], array["kind"] = status, AnswerKind.ADVANCE
    array["token"], array["digest"] = tokens, digests
    for name in ("incarnation", "revision", "step"):
        array[name] = heads[name]
    array["applied"], array["imputed"], array["replayed"] = observed["applied"], observed["imputed"], replayed
    array["forecast_time"], array["forecast"] = times, forecasts
    array["flags"] = np.where(warmed_up, WARMED_UP, 0)
    array["observed"] = observed
    array["observed"]["crc"] = 0
    return array


@lru_cache(maxsize=2**16)
def time_after(grid: Grid | None, last: int) -> int:
    """The instant of the step after the last one."""
    return NO_TIME if grid is None or last == NO_TIME else grid.next(last)


def is_warmed_up(loaded: LoadedModel, states: Bytes) -> NDArray[np.bool_]:
    """(B,) whether a session has seen as many steps as its model needs."""
    warm: NDArray[np.bool_] = loaded.model.seen(states) >= loaded.spec.warm_up
    return warm
