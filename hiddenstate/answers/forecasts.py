"""What is expected next, with its intervals."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hiddenstate.answers.answer import Answer, shown
from hiddenstate.answers.frames import Row, Tabular

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
        if level not in self.levels:
            there = ", ".join(map(str, self.levels)) or "none"
            raise KeyError(f"no interval of {level} % was asked for (levels={there}); ask with levels=[{level}]")
        return bounds[tail], bounds[1000 - tail]

    def cells(self) -> dict[str, float | None]:
        """Its part of a table row: yhat, yhat-lo-80, yhat-hi-80 ..."""
        cells: dict[str, float | None] = {"yhat": self.value}
        for level in self.levels:
            cells[f"yhat-lo-{level}"], cells[f"yhat-hi-{level}"] = self.interval(level)
        return cells

    def row(self, session: str) -> Row:
        """Its table row; `y` is still to come."""
        return {"unique_id": session, "ds": self.at, "y": None, **self.cells()}

    def __str__(self) -> str:
        levels = self.levels
        if not levels:
            return f"{self.at}: {shown(self.value)}"
        level = WIDEST_SHOWN if WIDEST_SHOWN in levels else levels[0]
        lower, upper = self.interval(level)
        return f"{self.at}: {shown(self.value)} ({shown(lower)} to {shown(upper)}, {level} %)"

    def __repr__(self) -> str:
        return f"<Forecast {self}>"


@dataclass(frozen=True, slots=True, repr=False)
class Forecasts(Answer, Tabular):
    """Forecasts of the steps that follow; those after `direct_horizon` are continued: wider, and not calibrated."""

    session: str
    model: str
    step: int
    etag: str
    warmed_up: bool
    direct_horizon: int
    forecasts: list[Forecast]

    def rows(self) -> Iterator[Row]:
        for forecast in self.forecasts:
            yield forecast.row(self.session)

    def __str__(self) -> str:
        return "\n".join([f"{self.session} after step {self.step}", *(f"  {forecast}" for forecast in self.forecasts)])

    def __repr__(self) -> str:
        first = f", {self.forecasts[0]}" if self.forecasts else ""
        more = f" and {len(self.forecasts) - 1} more" if len(self.forecasts) > 1 else ""
        return f"<Forecasts {self.session} after step {self.step}{first}{more}>"
