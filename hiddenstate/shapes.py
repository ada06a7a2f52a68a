"""The shapes that go over the wire, as a type checker sees them; /docs of a running service describes each call."""

from typing import Any, Literal, NotRequired, Required, TypedDict

Quantiles = dict[str, float]
"""By exact decimal: level 80 is "0.1" and "0.9"; "0.5" is always there."""


class Observation(TypedDict, total=False):
    """One value of a series. `value: None` is a missing one."""

    value: Required[float | None]
    timestamp: str
    step: int
    covariates: dict[str, float | None]
    future: list[dict[str, float | None]]


class BatchObservation(Observation):
    """An observation, and whose it is."""

    session: Required[str]


class Forecast(TypedDict):
    """What is expected at `step`: `value` is the median."""

    step: int
    timestamp: str | None
    value: float
    quantiles: Quantiles


class Record(TypedDict):
    """One observation as it is kept, with the forecast that had been issued for it."""

    step: int
    timestamp: str | None
    value: float | None
    covariates: dict[str, float | None]
    imputed: bool
    forecast: Forecast | None
    covered: dict[str, bool] | None
    original: float | None
    revised: Forecast | None


class Advance(TypedDict):
    """The answer to every write: what was observed last, and the forecast of the next step."""

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


class Scores(TypedDict):
    """One step ahead, predict then observe. `mase` below 1 beats repeating the last value."""

    steps: int
    mae: float | None
    mase: float | None
    pinball: float | None
    coverage: dict[str, float | None]


class SessionScores(TypedDict):
    """Since the first value, and over about the last 50; None where the service lacks the session's model."""

    all: Scores | None
    recent: Scores | None


class Session(TypedDict):
    """A series folded so far: its settings, where it stands and how well it is forecast."""

    session: str
    model: str
    fingerprint: str
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
    step: int
    etag: str
    last: str | None
    next: str | None
    retained_from: str | int | None
    warmed_up: bool | None
    scores: SessionScores
    drift: dict[str, Any]
    warnings: list[dict[str, str]]
    created_at: str
    updated_at: str
    expires_at: str | None


class SessionPage(TypedDict):
    """Part of a list; an empty `next_page_token` ends it. The total may lag a few seconds."""

    sessions: list[Session]
    next_page_token: str
    total_size: int


class Settings(TypedDict, total=False):
    """What can be chosen when a session is created."""

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


class Forecasts(TypedDict):
    """Forecasts of the steps that follow; those after `direct_horizon` continue from the medians, uncalibrated."""

    session: str
    model: str
    step: int
    etag: str
    warmed_up: bool
    direct_horizon: int
    forecasts: list[Forecast]


class BatchOutcome(TypedDict):
    """What became of one row: `advance` where it was taken, else `problem`."""

    row: int | None
    status: int
    replayed: bool
    advance: Advance | None
    problem: dict[str, Any] | None


class BatchOutcomes(TypedDict):
    """One outcome of each row, in order; `counts` by status."""

    outcomes: list[BatchOutcome]
    counts: dict[str, int]


class BatchForecast(TypedDict):
    """The forecasts of one session: `forecast` where there are some, else `problem`."""

    row: int | None
    status: int
    forecast: Forecasts | None
    problem: dict[str, Any] | None


class BatchForecasts(TypedDict):
    """One outcome of each session, in order."""

    outcomes: list[BatchForecast]


class Verification(TypedDict):
    """Whether folding the retained observations again gives the state that is live."""

    session: str
    step: int
    observations: int
    identical: bool
    max_rel_difference: float
    tolerance: float
    ok: bool


class Status(TypedDict):
    """The service as a whole; `reasons` says why it is not ready."""

    version: str
    ready: bool
    reasons: list[str]
    store: dict[str, Any]
    sessions: dict[str, int | None]
    models: list[str]
    queue: dict[str, int]
    limits: NotRequired[dict[str, Any]]
