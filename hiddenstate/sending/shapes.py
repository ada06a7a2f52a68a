"""What is sent, as a type checker sees it; results.py has what is answered, /docs of a running service each call."""

import datetime as dt
from typing import Any, Literal, Protocol, Required, TypedDict, runtime_checkable

OnConflict = Literal["reject", "correct"]
"""What another value for a time that is known does."""


class Observation(TypedDict, total=False):
    """One value of a series. `value: None` is a missing one."""

    value: Required[float | None]
    timestamp: str | dt.date
    step: int
    covariates: dict[str, float | None]
    future: list[dict[str, float | None]]


class BatchObservation(Observation, total=False):
    """An observation, and whose it is."""

    session: Required[str]
    idempotency_key: str
    if_match: str


@runtime_checkable
class Frame(Protocol):
    """A frame of pandas or polars, or an Arrow table: unique_id, ds, y and, beside them, covariates."""

    @property
    def columns(self) -> Any: ...  # noqa: ANN401 - an index, or a list of names


class Settings(TypedDict, total=False):
    """What can be chosen when a session is created, and all but freq, timezone and static changed later."""

    model: str
    freq: str | None
    timezone: str
    static: dict[str, Any]
    gaps: Literal["impute", "reject"]
    max_gap: int
    history: int | Literal["full"]
    minimum: float | None
    maximum: float | None
    ttl_s: float | None
    require_if_match: bool
