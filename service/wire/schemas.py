"""Wire types. Requests are validated by theirs; answers are written by render.py and described here for OpenAPI."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
    model_validator,
)

from models.dates.frequencies import FrequencyError, frequency
from models.dates.zones import ZoneError, zone

SESSION_ID = r"^[A-Za-z0-9._~-]{1,128}$"
PREFIX = r"^[A-Za-z0-9._~-]{0,128}$"
MODEL = r"^[a-z0-9][a-z0-9._-]*(@[1-9][0-9]{0,8})?$"
HISTORY_LIMIT = 10_000
STEP_LIMIT = 2**63 - 1



def _whole(number: object) -> object:
    """3.0 is an integer in JSON."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


Whole = Annotated[int, BeforeValidator(_whole)]
Step = Annotated[Whole, Field(ge=1, le=STEP_LIMIT)]
Covariates = dict[str, float | None]
SessionId = Annotated[str, Field(pattern=SESSION_ID, examples=["store-42"])]


def known_freq(name: str) -> str:
    try:
        return frequency(name).name
    except FrequencyError as error:
        raise ValueError(str(error)) from None


def _known_zone(name: str) -> str:
    try:
        return zone(name).name
    except ZoneError as error:
        raise ValueError(str(error)) from None


def _history(sent: object, handler: ValidatorFunctionWrapHandler) -> object:
    try:
        return handler(sent)
    except ValidationError:  # one fault instead of one for each kind of history
        raise ValueError(f'must be a whole number of 0 to {HISTORY_LIMIT}, or "full"') from None


History = Annotated[Annotated[Whole, Field(ge=0, le=HISTORY_LIMIT)] | Literal["full"], WrapValidator(_history)]


class Request(BaseModel):
    """No unknown keys, no strings or booleans for numbers, nothing that is not finite."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    FIXED: ClassVar[frozenset[str]] = frozenset()
    """Members that are refused because they cannot change, not because nobody knows them."""


class Observation(Request):
    """One observation: a value with its timestamp, or, in a session without freq, its step."""

    value: float | None = Field(examples=[121.5])
    """null = missing."""
    timestamp: str | None = Field(default=None, examples=["2026-11-21"])
    step: Step | None = None
    covariates: Covariates | None = None
    future: list[Covariates] | None = None
    """What is known now of the steps that follow, nearest first; where it is left out, what those say that follow in
    the same request."""

    @model_validator(mode="after")
    def _one_kind_of_time(self) -> Self:
        if self.timestamp is not None and self.step is not None:
            raise ValueError("give a timestamp or a step, not both")
        return self


class Correction(Request):
    """What is corrected of an observation; what is left out stays."""

    value: float | None = None
    covariates: Covariates | None = None
    future: list[Covariates] | None = None
    """What was known of the steps that follow, nearest first; of rows and names that are left out, what was given."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("give a value, covariates or future")
        return self


class Rewind(Request):
    """The last observation to keep, by its timestamp or its step."""

    timestamp: str | None = Field(default=None, examples=["2026-11-20"])
    step: Annotated[Whole, Field(ge=0, le=STEP_LIMIT)] | None = None

    @model_validator(mode="after")
    def _one_kind_of_time(self) -> Self:
        if (self.timestamp is None) == (self.step is None):
            raise ValueError("give the timestamp or the step of the last observation to keep")
        return self


class WhatIf(Request):
    """Steps to forecast, and what is assumed to be known of them: covariates, nearest first.

    `future` may be ten times as long as the model's horizon, which is how far forecasts reach.
    """

    horizon: Annotated[Whole, Field(ge=1, le=HISTORY_LIMIT)] | None = None
    """Steps ahead; as many as `future` has, else 1."""
    levels: Annotated[list[Whole], Field(max_length=50)] = [80, 95]
    future: list[Covariates] = []
    """Without any, what the last observation knew."""

    @property
    def steps(self) -> int:
        """Steps ahead to forecast."""
        return self.horizon or max(len(self.future), 1)


class Purge(Request):
    """The sessions to delete: those whose id begins with `prefix`. Without `force` they are only counted."""

    prefix: str = Field(pattern=PREFIX, examples=["store-"])
    force: bool = False


class Nothing(Request):
    """The body of a call that takes none."""


class _Changeable(Request):
    model: str | None = Field(default=None, pattern=MODEL, max_length=64)
    """name@version; a name alone means its newest version."""
    gaps: Literal["impute", "reject"] = "impute"
    max_gap: Annotated[Whole, Field(ge=0, le=HISTORY_LIMIT)] | None = None
    """Most steps imputed at once; default half of history."""
    history: History = 64
    """Observations retained; "full" = all of them."""
    minimum: float | None = None
    """Forecasts are cut below it."""
    maximum: float | None = None
    ttl_s: Annotated[float, Field(ge=1, le=1e10)] | None = None
    """Seconds after its last commit at which the session is forgotten; null = never."""
    require_if_match: bool = False

    @field_validator("maximum")
    @classmethod
    def _bounds_in_order(cls, maximum: float | None, before: ValidationInfo) -> float | None:
        minimum = before.data.get("minimum")
        if maximum is not None and minimum is not None and maximum < minimum:
            raise ValueError("must not be below minimum")
        return maximum


class SessionPatch(_Changeable):
    """Settings to change: those given (`model_fields_set`)."""

    FIXED = frozenset(("freq", "timezone", "static"))


class SessionSettings(_Changeable):
    """Settings of a new session: those given (`model_fields_set`)."""

    freq: Annotated[str, AfterValidator(known_freq)] | None = Field(default=None, max_length=16, examples=["D"])
    """null = steps are counted."""
    timezone: Annotated[str, AfterValidator(_known_zone)] = Field(default="UTC", max_length=40)
    static: Covariates = {}


class SessionPut(SessionSettings):
    """A new session: its settings, and what was observed so far.

    A day that the zone never had, as Pacific/Apia had no 2011-12-30, is no step.
    """

    observations: list[Observation] | None = None
    """Its history, oldest first."""


# ---------------------------------------------------------------- answers


class Forecast(BaseModel):
    """A forecast for one step; value is the median, quantiles are keyed by exact decimals."""

    step: int
    timestamp: str | None
    value: float
    quantiles: dict[str, float]


class Record(BaseModel):
    """One retained observation, with the forecast as it had been issued for it."""

    step: int
    timestamp: str | None
    value: float | None
    covariates: Covariates
    imputed: bool
    forecast: Forecast | None
    covered: dict[str, bool] | None
    original: float | None
    revised: Forecast | None
    future: list[Covariates] = []
    """What was known in advance at it, nearest first; only where the model knows any covariate in advance."""


class Advance(BaseModel):
    """The answer to every write: the last observation and the forecast that follows it."""

    session: str
    model: str
    step: int
    etag: str
    warmed_up: bool
    applied: int
    replayed: int
    corrected: int
    imputed: int
    observed: Record
    forecast: Forecast | None


class Scores(BaseModel):
    """One step ahead, predict then observe; a ratio is null where its denominator is zero.

    Scores are of the model's own forecasts, before `minimum` and `maximum` cut what is answered, while `covered` of a
    record is of its forecast as it was answered: where bounds are set, the two can differ.
    """

    steps: int
    mae: float | None
    mase: float | None
    pinball: float | None
    coverage: dict[str, float | None]


class SessionScores(BaseModel):
    """Over the whole life, and over about the last 50 steps; null where the model is not here."""

    all: Scores | None
    recent: Scores | None


class Drift(BaseModel):
    """Whether the one-step errors are no longer what they were: they lean to one side, or have grown.

    It ends when errors have settled: after 32 known values without another alarm. A model that cannot tell never
    detects any; `daily@1` is one.
    """

    detected: bool
    since: str | None
    """The observation that raised the alarm: its timestamp, or its step where steps are counted."""


class SessionWarning(BaseModel):
    type: Literal["freq-untrained", "short-rebuild", "model-superseded", "model-unavailable", "model-mismatch"]
    detail: str


class Session(BaseModel):
    """A session: its settings, where it stands, how well it is forecast."""

    session: str
    model: str
    fingerprint: str
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
    step: int
    etag: str
    last: str | None
    next: str | None
    retained_from: str | None
    warmed_up: bool | None
    """null where the model is not here."""
    scores: SessionScores
    drift: Drift
    warnings: list[SessionWarning]
    created_at: str
    updated_at: str
    expires_at: str | None


class SessionList(BaseModel):
    """Order and total may lag a few seconds."""

    sessions: list[Session]
    next_page_token: str
    total_size: int


class ObservationList(BaseModel):
    session: str
    observations: list[Record]
    next_page_token: str


class Forecasts(BaseModel):
    """Points up to `direct_horizon` are the model's own. Later ones are continued and not calibrated: their medians are
    those that follow where the medians before them are observed, their intervals widen further as the model's own do.
    """

    session: str
    model: str
    step: int
    etag: str
    warmed_up: bool
    direct_horizon: int
    forecasts: list[Forecast]


class Verification(BaseModel):
    """Single steps bitwise against the live state, and the unrolled pass within the tolerance."""

    session: str
    step: int
    observations: int
    identical: bool
    max_rel_difference: float
    tolerance: float
    ok: bool


class Purged(BaseModel):
    """How many sessions were, or would be, deleted, and some of their ids."""

    purge_count: int
    purge_sample: list[str]


class Fault(BaseModel):
    """One thing to mend: where (a JSON pointer into the body, or a parameter) and what."""

    pointer: str | None = None
    parameter: str | None = None
    detail: str


class Problem(BaseModel):
    """RFC 9457. `retryable`: send the same request again, unchanged, after Retry-After."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    retryable: bool
    instance: str | None
    detail: str
    errors: list[Fault]
    session: str | None
    step: int | None
    last: str | None
