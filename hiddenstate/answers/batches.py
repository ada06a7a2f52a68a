"""What the service answers to many rows or sessions at once: an outcome for each, in their order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hiddenstate.answers.answer import Answer
from hiddenstate.answers.forecasts import Forecasts
from hiddenstate.answers.frames import Row, Tabular
from hiddenstate.answers.observations import Advance
from hiddenstate.errors import ProblemError


@dataclass(frozen=True, slots=True, repr=False)
class BatchOutcome(Answer):
    """What became of one row: `advance` where it was taken, else `problem`, an error that was not raised."""

    row: int | None
    status: int
    replayed: bool
    advance: Advance | None
    problem: ProblemError | None

    def __repr__(self) -> str:
        return f"<BatchOutcome row {self.row}: {self.status}, {self.advance or self.problem}>"


@dataclass(frozen=True, slots=True, repr=False)
class BatchForecast(Answer):
    """The forecasts of one session: `forecast` where there are some, else `problem`, an error that was not raised."""

    row: int | None
    status: int
    forecast: Forecasts | None
    problem: ProblemError | None

    def __repr__(self) -> str:
        return f"<BatchForecast row {self.row}: {self.status}, {self.forecast or self.problem}>"


@dataclass(frozen=True, slots=True, repr=False)
class BatchOutcomes(Tabular):
    """One outcome of each row, in order. As a frame: the forecast that followed each row that was taken."""

    outcomes: Sequence[BatchOutcome]

    @property
    def advances(self) -> list[Advance]:
        return [outcome.advance for outcome in self.outcomes if outcome.advance is not None]

    @property
    def refused(self) -> list[BatchOutcome]:
        return [outcome for outcome in self.outcomes if outcome.problem is not None]

    def rows(self) -> Iterator[Row]:
        for advance in self.advances:
            yield from advance.rows()

    def __repr__(self) -> str:
        return f"<BatchOutcomes of {len(self.outcomes)} rows, {len(self.refused)} refused>"


@dataclass(frozen=True, slots=True, repr=False)
class BatchForecasts(Answer, Tabular):
    """One outcome of each session, in order. As a frame: the forecasts of those that have some."""

    outcomes: list[BatchForecast]

    @property
    def refused(self) -> list[BatchForecast]:
        return [outcome for outcome in self.outcomes if outcome.problem is not None]

    def rows(self) -> Iterator[Row]:
        for outcome in self.outcomes:
            if outcome.forecast is not None:
                yield from outcome.forecast.rows()

    def __repr__(self) -> str:
        return f"<BatchForecasts of {len(self.outcomes)} sessions, {len(self.refused)} refused>"
