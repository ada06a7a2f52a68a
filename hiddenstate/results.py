"""What the service answers, as values with typed attributes that print in a line and turn into frames."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hiddenstate.answers import Answer
from hiddenstate.frames import Row, Tabular

WIDEST_SHOWN = 80
"""Of the intervals a forecast has, its line shows that of this level, else the narrowest."""


@dataclass(frozen=True, slots=True, repr=False)
class Forecast(Answer):
    """What is expected at `step`: `value` is the median, `quantiles` go by exact decimal: 80 % is "0.1" to "0.9"."""

    step: int
    timestamp: str | None
    value: float
    quantiles: Mapping[str, float]

    @property
    def at(self) -> str | int:
        """The time that it is for, or the step of a session without times."""
        return self.step if self.timestamp is None else self.timestamp

    @property
    def levels(self) -> list[int]:
        """The intervals that it has, in percent, narrowest first."""
        return sorted(round(100 * (1 - 2 * float(q))) for q in self.quantiles if float(q) < 0.5)

    def interval(self, level: int) -> tuple[float, float]:
        """Lower and upper end of the interval of `level` percent. Raises KeyError where it was not asked for."""
        bounds = {round(1000 * float(q)): value for q, value in self.quantiles.items()}
        tail = round(1000 * (1 - level / 100) / 2)
        return bounds[tail], bounds[1000 - tail]

    def cells(self) -> dict[str, float | None]:
        """Its part of a table row: yhat, yhat-lo-80, yhat-hi-80 ..."""
        cells: dict[str, float | None] = {"yhat": self.value}
        for level in self.levels:
            cells[f"yhat-lo-{level}"], cells[f"yhat-hi-{level}"] = self.interval(level)
        return cells

    def __str__(self) -> str:
        levels = self.levels
        if not levels:
            return f"{self.at}: {_number(self.value)}"
        level = WIDEST_SHOWN if WIDEST_SHOWN in levels else levels[0]
        lower, upper = self.interval(level)
        return f"{self.at}: {_number(self.value)} ({_number(lower)} to {_number(upper)}, {level} %)"

    def __repr__(self) -> str:
        return f"<Forecast {self}>"


@dataclass(frozen=True, slots=True, repr=False)
class Record(Answer):
    """One observation as it is kept, with the forecast that had been issued for it."""

    step: int
    timestamp: str | None
    value: float | None
    covariates: Mapping[str, float | None]
    imputed: bool
    forecast: Forecast | None
    covered: Mapping[str, bool] | None
    original: float | None
    revised: Forecast | None

    @property
    def at(self) -> str | int:
        """Its time, or its step in a session without times."""
        return self.step if self.timestamp is None else self.timestamp

    def __repr__(self) -> str:
        kind = " imputed" if self.imputed else "" if self.original is None else f" corrected from {self.original:.6g}"
        issued = "" if self.forecast is None else f", forecast {_number(self.forecast.value)}"
        return f"<Record {self.at}: {_number(self.value)}{kind}{issued}>"


@dataclass(frozen=True, slots=True, repr=False)
class Advance(Answer, Tabular):
    """The answer to every write: what was observed last, and the forecast of the next step.

    `forecast` is None only until a first value is known. As a frame: the forecast.
    """

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

    def rows(self) -> Iterator[Row]:
        if self.forecast is not None:
            yield _row(self.session, self.forecast)

    def __repr__(self) -> str:
        observed = f"{self.observed.at}: {_number(self.observed.value)}"
        return f"<Advance {self.session} at step {self.step}, {observed}; next {self.forecast or 'unknown'}>"


@dataclass(frozen=True, slots=True, repr=False)
class Scores(Answer):
    """One step ahead, predict then observe. `mase` below 1 beats repeating the last value."""

    steps: int
    mae: float | None
    mase: float | None
    pinball: float | None
    coverage: Mapping[str, float | None]

    def __repr__(self) -> str:
        inside = self.coverage.get("80")
        covered = "" if inside is None else f", {100 * inside:.0f} % inside 80 %"
        return f"<Scores of {self.steps} steps: MAE {_number(self.mae)}, MASE {_number(self.mase)}{covered}>"


@dataclass(frozen=True, slots=True, repr=False)
class SessionScores(Answer):
    """Since the first value, and over about the last 50; None where the service lacks the session's model."""

    all: Scores | None
    recent: Scores | None

    def __repr__(self) -> str:
        return f"<SessionScores all {self.all}, recent {self.recent}>"


@dataclass(frozen=True, slots=True, repr=False)
class Session(Answer):
    """A series folded so far: its settings, where it stands and how well it is forecast."""

    session: str
    model: str
    fingerprint: str
    freq: str | None
    timezone: str
    static: Mapping[str, Any]
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
    drift: Mapping[str, Any]
    warnings: Sequence[Mapping[str, str]]
    created_at: str
    updated_at: str
    expires_at: str | None

    def __repr__(self) -> str:
        last = "" if self.last is None else f", last {self.last}"
        recent = self.scores.recent
        score = "" if recent is None or recent.mase is None else f", MASE {_number(recent.mase)}"
        return f"<Session {self.session}: {self.model}, freq {self.freq or 'none'}, step {self.step}{last}{score}>"


@dataclass(frozen=True, slots=True, repr=False)
class SessionPage(Answer):
    """Part of a list; an empty `next_page_token` ends it. The total may lag a few seconds."""

    sessions: list[Session]
    next_page_token: str
    total_size: int

    def __repr__(self) -> str:
        return f"<SessionPage of {len(self.sessions)}, {self.total_size} in all>"


@dataclass(frozen=True, slots=True, repr=False)
class RecordPage(Answer):
    """Part of a history; an empty `next_page_token` ends it."""

    session: str
    observations: list[Record]
    next_page_token: str

    def __repr__(self) -> str:
        return f"<RecordPage of {len(self.observations)}: {self.session}>"


@dataclass(frozen=True, slots=True, repr=False)
class History(Tabular):
    """The retained observations of a session, oldest first; as a frame each with the forecast issued for it."""

    session: str
    observations: Sequence[Record]

    def rows(self) -> Iterator[Row]:
        for record in self.observations:
            issued = {"yhat": None} if record.forecast is None else record.forecast.cells()
            yield {"unique_id": self.session, "ds": record.at, "y": record.value, **issued}

    def __repr__(self) -> str:
        ends = f", {self.observations[0].at} to {self.observations[-1].at}" if self.observations else ""
        return f"<History {self.session}: {len(self.observations)} observations{ends}>"


@dataclass(frozen=True, slots=True, repr=False)
class Forecasts(Answer, Tabular):
    """Forecasts of the steps that follow; those after `direct_horizon` continue from the medians, uncalibrated."""

    session: str
    model: str
    step: int
    etag: str
    warmed_up: bool
    direct_horizon: int
    forecasts: list[Forecast]

    def rows(self) -> Iterator[Row]:
        for forecast in self.forecasts:
            yield _row(self.session, forecast)

    def __str__(self) -> str:
        return "\n".join([f"{self.session} after step {self.step}", *(f"  {forecast}" for forecast in self.forecasts)])

    def __repr__(self) -> str:
        first = f", {self.forecasts[0]}" if self.forecasts else ""
        more = f" and {len(self.forecasts) - 1} more" if len(self.forecasts) > 1 else ""
        return f"<Forecasts {self.session} after step {self.step}{first}{more}>"


@dataclass(frozen=True, slots=True, repr=False)
class Verification(Answer):
    """Whether folding the retained observations again gives the state that is live."""

    session: str
    step: int
    observations: int
    identical: bool
    max_rel_difference: float
    tolerance: float
    ok: bool

    def __repr__(self) -> str:
        return f"<Verification {self.session} at step {self.step}: {'ok' if self.ok else 'NOT ok'}>"


@dataclass(frozen=True, slots=True, repr=False)
class Model(Answer):
    """A model that the service has, and what it takes."""

    model: str
    name: str
    version: int
    fingerprint: str
    latest: bool
    freqs: Sequence[str]
    horizon: int
    levels: Sequence[int]
    covariates: Mapping[str, Sequence[str]]
    warm_up: int
    state_bytes: int
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]
    sessions: int | None

    def __repr__(self) -> str:
        return f"<Model {self.model}: freqs {', '.join(self.freqs)}, horizon {self.horizon}>"


@dataclass(frozen=True, slots=True, repr=False)
class Models(Answer):
    """All of them."""

    models: list[Model]


@dataclass(frozen=True, slots=True, repr=False)
class Status(Answer):
    """The service as a whole; `reasons` says why it is not ready."""

    version: str
    ready: bool
    reasons: Sequence[str]
    store: Mapping[str, Any]
    sessions: Mapping[str, int | None]
    models: Sequence[str]
    queue: Mapping[str, int]
    limits: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<Status {self.version}: {'ready' if self.ready else '; '.join(self.reasons)}>"


def _row(session: str, forecast: Forecast) -> Row:
    return {"unique_id": session, "ds": forecast.at, "y": None, **forecast.cells()}


def _number(value: float | None) -> str:
    return "missing" if value is None else f"{value:.6g}"
