"""The document of a session's state, described for OpenAPI; states/document.py reads and writes it."""

from typing import Literal

from pydantic import BaseModel

from service.wire.schemas import Covariates, Record


class StateSettings(BaseModel):
    """The settings of a session but its model, which stands beside them."""

    session: str
    freq: str | None
    timezone: str
    static: Covariates
    gaps: Literal["impute", "reject"]
    max_gap: int
    history: int | Literal["full"]
    minimum: float | None
    maximum: float | None
    ttl_s: float | None
    require_if_match: bool


class StateArray(BaseModel):
    """One array of a state, in the order of its bytes."""

    name: str
    dtype: str
    shape: list[int]


class StateKept(BaseModel):
    """An earlier state, from which corrections are folded; base64."""

    step: int
    data: str


class StateRecord(Record):
    """A Record, and whether its value was corrected: the one before can have been missing."""

    corrected: bool


class State(BaseModel):
    """All that is needed to go on with a session. The checksum covers the document, compact, with an empty checksum."""

    format: Literal[1]
    session: StateSettings
    step: int
    first: str | None
    last: str | None
    flags: list[str]
    model: str
    fingerprint: str
    runtime: str
    """What folded it; another one's forecasts may differ by their rounding."""
    arrays: list[StateArray]
    data: str
    kept: list[StateKept]
    history: list[StateRecord]
    checksum: str
