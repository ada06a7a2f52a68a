"""Answers as frames: unique_id, ds, y, yhat, yhat-lo-80, yhat-hi-80 ...; pandas and polars on demand."""

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas
    import polars

Cell = str | int | float | dt.datetime | None
Row = Mapping[str, Cell]

NAMED_BY = ("unique_id", "ds")
COLUMNS = (*NAMED_BY, "y", "yhat")


class Tabular(ABC):
    """What can be shown as a table, a row for each step of each series.

    `ds` is the time (or step) that a row is about, `yhat` what was forecast for it one or more steps before, `y` what
    came, missing where it has not yet. Times are without zone where the service writes dates alone, else in UTC.
    """

    __slots__ = ()

    @abstractmethod
    def rows(self) -> Iterable[Row]:
        """The rows, with times as the service writes them."""

    def to_pandas(self) -> "pandas.DataFrame":
        """Raises ValueError where some series have timestamps and others count their steps."""
        import pandas

        columns = columns_of(list(self.rows()))
        return pandas.DataFrame(columns).astype({name: "float64" for name in columns if name not in NAMED_BY})

    def to_polars(self) -> "polars.DataFrame":
        """Raises ValueError where some series have timestamps and others count their steps."""
        import polars

        columns = columns_of(list(self.rows()))
        numbers = {name: polars.Float64() for name in columns if name not in NAMED_BY}
        return polars.DataFrame(columns, schema_overrides=numbers)


def columns_of(rows: Sequence[Row]) -> dict[str, list[Cell]]:
    """The columns of rows, those of intervals after the others."""
    names = [*COLUMNS, *dict.fromkeys(name for row in rows for name in row if name not in COLUMNS)]
    columns = {name: [row.get(name) for row in rows] for name in names}
    columns["ds"] = _times([row["ds"] for row in rows])
    return columns


def _times(written: Sequence[Cell]) -> list[Cell]:
    """Timestamps as moments, all of them with a zone (UTC) or none; steps stay as they are."""
    moments = [dt.datetime.fromisoformat(one) for one in written if isinstance(one, str)]
    if not moments:
        return list(written)
    if len(moments) < len(written):
        raise ValueError("some of the series have timestamps and others count steps: make a frame of each kind")
    zoned = any(moment.tzinfo is not None for moment in moments)
    return [_in_utc(moment) if zoned else moment for moment in moments]


def _in_utc(moment: dt.datetime) -> dt.datetime:
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
