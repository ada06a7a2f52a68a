"""What was observed, and what a write of it is answered."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hiddenstate.answers.answer import Answer, shown
from hiddenstate.answers.forecasts import Forecast
from hiddenstate.answers.frames import Row, Tabular


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
    def future(self) -> Sequence[Mapping[str, float | None]]:
        """What was known in advance at it, nearest first."""
        future: Sequence[Mapping[str, float | None]] = self.members.get("future", ())
        return future

    @property
    def at(self) -> str | int:
        """Its time, or its step in a session without times."""
        return self.step if self.timestamp is None else self.timestamp

    def __repr__(self) -> str:
        kind = " imputed" if self.imputed else "" if self.original is None else f" corrected from {self.original:.6g}"
        issued = "" if self.forecast is None else f", forecast {shown(self.forecast.value)}"
        return f"<Record {self.at}: {shown(self.value)}{kind}{issued}>"


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
            yield self.forecast.row(self.session)

    def __repr__(self) -> str:
        observed = f"{self.observed.at}: {shown(self.observed.value)}"
        return f"<Advance {self.session} at step {self.step}, {observed}; next {self.forecast or 'unknown'}>"


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
