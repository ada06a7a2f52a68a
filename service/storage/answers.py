"""The numbers of answers as plain values, read from the arrays of a record."""

from functools import lru_cache
from struct import Struct
from typing import Any, NamedTuple

import msgspec

from models.dates.grid import Grid
from service.storage.layout import OutcomeFlag, SlotFlag, Structured, outcome_dtype, slot_dtype

# As plain integers: a flag's own operators cost a microsecond each.
IMPUTED, HAS_ORIGINAL, HAS_REVISED = int(SlotFlag.IMPUTED), int(SlotFlag.HAS_ORIGINAL), int(SlotFlag.HAS_REVISED)
WARMED_UP = int(OutcomeFlag.WARMED_UP)


class Label(NamedTuple):
    """What answers show of a session besides numbers, the same from commit to commit."""

    session: str
    model: str
    grid: Grid | None
    """None where steps are counted and there are no timestamps."""
    covariates: tuple[str, ...] = ()
    """Names of those that come with observations."""
    known: int = 0
    """How many of them, the last ones, are known in advance."""


class Observed(msgspec.Struct, frozen=True, gc=False):  # made three times as fast as a named tuple
    """One SLOT: an observation as it is retained."""

    flags: int
    step: int
    timestamp: int
    """NO_TIME where steps are counted."""
    value: float
    """NaN = missing."""
    original: float
    revision: int
    applied: int
    imputed: int
    issued: tuple[float, ...]
    """As layout.QUANTILES; NaN = no forecast had been issued."""
    revised: tuple[float, ...]
    covariates: tuple[float, ...] = ()


class Answer(msgspec.Struct, frozen=True, gc=False):
    """One OUTCOME: the answer to a write."""

    status: int
    kind: int
    flags: int
    token: bytes
    digest: bytes
    incarnation: bytes
    revision: int
    step: int
    applied: int
    replayed: int
    corrected: int
    imputed: int
    forecast_time: int
    """NO_TIME where steps are counted."""
    forecast: tuple[float, ...]
    """As layout.QUANTILES; NaN = no value is known yet."""
    observed: Observed

    @property
    def warmed_up(self) -> bool:
        return self.flags & WARMED_UP != 0


def read_observed(slots: Structured) -> list[Observed]:
    """(N,) slots -> their numbers."""
    struct = _slot_struct(slots.dtype["covariates"].shape[0])
    return [_observed(fields[1:]) for fields in struct.iter_unpack(slots.tobytes())]


def read_answers(outcomes: Structured) -> list[Answer]:
    """(N,) outcomes -> their numbers."""
    struct = _outcome_struct(outcomes.dtype["observed"]["covariates"].shape[0])
    return [
        # checksum, 13 fields to the forecast's time, 5 of the forecast, then the slot's checksum and fields
        Answer(*fields[1:14], fields[14:19], _observed(fields[20:]))  # type: ignore[call-arg]
        for fields in struct.iter_unpack(outcomes.tobytes())
    ]


def _observed(fields: tuple[Any, ...]) -> Observed:
    return Observed(*fields[:8], fields[8:13], fields[13:18], fields[18:])  # type: ignore[call-arg]


SLOT_FORMAT = "IIQqddQII5d5d"
OUTCOME_FORMAT = "IHBB16s8s8sQQIIIIq5d"


@lru_cache
def _slot_struct(covariates: int) -> Struct:
    struct = Struct(f"<{SLOT_FORMAT}{covariates}d")
    assert struct.size == slot_dtype(covariates).itemsize
    return struct


@lru_cache
def _outcome_struct(covariates: int) -> Struct:
    struct = Struct(f"<{OUTCOME_FORMAT}{SLOT_FORMAT}{covariates}d")
    assert struct.size == outcome_dtype(covariates).itemsize
    return struct
