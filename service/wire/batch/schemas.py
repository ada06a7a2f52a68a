"""Wire types of batches."""

from typing import Annotated, Self

from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from service.wire.schemas import PREFIX, Advance, Covariates, Forecasts, Observation, Problem, Request, Step, Whole


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


class FrameRow(Request):
    """A row of a future frame: a time to forecast for; all its other columns are covariates known in advance."""

    unique_id: str
    ds: Annotated[str | Step | None, WrapValidator(_table_time)] = None
    covariates: Covariates = Field(default_factory=dict)


class ForecastBatch(Request):
    """Which sessions to forecast: those that are named, or all whose id begins with a prefix."""

    sessions: list[str] | None = Field(default=None, max_length=50_000, examples=[["store-42", "store-43"]])
    prefix: str | None = Field(default=None, pattern=PREFIX)
    horizon: Annotated[Whole, Field(ge=1)] = 1
    levels: list[Whole] = Field(default=[80, 95], max_length=20)

    @model_validator(mode="after")
    def _one_kind_of_choice(self) -> Self:
        if (self.sessions is None) == (self.prefix is None):
            raise ValueError("give sessions or a prefix")
        return self


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


class ForecastOutcome(BaseModel):
    """The forecast of one session; `row` is null where no more could be read."""

    row: int | None
    status: int
    forecast: Forecasts | None
    problem: Problem | None


class ForecastOutcomes(BaseModel):
    outcomes: list[ForecastOutcome]
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
