"""Wire types of batches."""

from typing import Annotated

from pydantic import BaseModel, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from service.wire.schemas import Advance, Covariates, Observation, Problem, Request, Step


class BatchObservation(Observation):
    """An observation and its session; the last two do what the headers of the same name do."""

    session: str = Field(examples=["store-42"])
    idempotency_key: str | None = None
    if_match: str | None = None


class ObservationBatch(Request):
    """Observations of any sessions; those of one session are applied in this order."""

    observations: list[BatchObservation]


def _table_time(sent: object, handler: ValidatorFunctionWrapHandler) -> object:
    try:
        return handler(sent)
    except ValidationError:  # one fault instead of one for each kind of time
        raise ValueError("must be a timestamp (text) or a step (a whole number from 1)") from None


class TableRow(Request):
    """A row of a table; all its other columns are covariates."""

    unique_id: str
    y: float | None
    ds: Annotated[str | Step | None, WrapValidator(_table_time)] = None
    idempotency_key: str | None = None
    if_match: str | None = None
    covariates: Covariates = Field(default_factory=dict)


# ---------------------------------------------------------------- answers


class ObservationOutcome(BaseModel):
    """What became of one row; `row` is null where the batch could not be read, or taken up, any further."""

    row: int | None
    status: int
    replayed: bool
    advance: Advance | None
    problem: Problem | None


class ObservationOutcomes(BaseModel):
    """One outcome of each row, in their order, and how many there are of each status."""

    outcomes: list[ObservationOutcome]
    counts: dict[str, int]


class MinimalOutcome(BaseModel):
    """The same with `Prefer: return=minimal`; a problem is its slug."""

    row: int | None
    status: int
    replayed: bool
    step: int | None
    problem: str | None
    detail: str | None


class MinimalOutcomes(BaseModel):
    outcomes: list[MinimalOutcome]
    counts: dict[str, int]
