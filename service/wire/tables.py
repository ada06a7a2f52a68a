"""Tables on the wire, part by part: JSON Lines or an Arrow IPC stream."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import orjson
import pyarrow as pa
import pyarrow.ipc

from service.storage.answers import Label, Observed
from service.storage.layout import QUANTILES
from service.wire import render
from service.wire.media import Media

Row = Sequence[object]
"""Values in the order of the columns; None = null."""
YHAT = ("yhat", "yhat-lo-80", "yhat-hi-80", "yhat-lo-95", "yhat-hi-95")
MEDIAN_FIRST = [QUANTILES.index(quantile) for quantile in (0.5, 0.1, 0.9, 0.025, 0.975)]
"""Where the columns of YHAT stand among the stored quantiles."""


class Table(Protocol):
    def part(self, rows: Sequence[Row]) -> bytes: ...

    def end(self) -> bytes: ...


def table(media: Media, columns: Mapping[str, pa.DataType]) -> Table:
    """An empty table of these columns."""
    return ArrowTable(columns) if media is Media.ARROW else LineTable(columns)


class LineTable:
    """One flat JSON object a row."""

    def __init__(self, columns: Mapping[str, pa.DataType]) -> None:
        self._names = list(columns)

    def part(self, rows: Sequence[Row]) -> bytes:
        named = (dict(zip(self._names, row, strict=True)) for row in rows)
        return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in named)

    def end(self) -> bytes:
        return b""


class ArrowTable:
    """One record batch for each part. In columns of text whatever is no text is written as such."""

    def __init__(self, columns: Mapping[str, pa.DataType]) -> None:
        self._schema = pa.schema(list(columns.items()))
        self._sink = io.BytesIO()
        self._stream: Any = pa.ipc.new_stream(self._sink, self._schema)

    def part(self, rows: Sequence[Row]) -> bytes:
        values = [[row[index] for row in rows] for index in range(len(self._schema))]
        arrays = [_column(column, field.type) for column, field in zip(values, self._schema, strict=True)]
        self._stream.write_batch(pa.record_batch(arrays, schema=self._schema))
        return self._written()

    def end(self) -> bytes:
        self._stream.close()
        return self._written()

    def _written(self) -> bytes:
        written = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return written


def _column(values: list[Any], kind: pa.DataType) -> Any:  # noqa: ANN401 - a pyarrow.Array
    if pa.types.is_string(kind):
        values = [None if value is None else str(value) for value in values]
    return pa.array(values, kind)


OBSERVED: dict[str, pa.DataType] = {
    "unique_id": pa.string(),
    "ds": pa.string(),
    "y": pa.float64(),
    "cutoff": pa.string(),
    **dict.fromkeys(YHAT, pa.float64()),
}
"""Columns of retained observations: a frame of one-step forecasts and what came of them."""


def observed(label: Label, records: Sequence[Observed]) -> list[Row]:
    """Retained observations, each with the forecast that had been issued for it."""
    return [_observed(label, record) for record in records]


def _observed(label: Label, record: Observed) -> Row:
    grid = label.grid
    ds: str | int | None = record.step if grid is None else render.written(grid, record.timestamp)
    numbers = [_number(record.issued[index]) for index in MEDIAN_FIRST]
    cutoff: str | int | None = None
    if numbers[0] is not None:
        cutoff = record.step - 1 if grid is None else grid.format(grid.advance(record.timestamp, -1))
    return label.session, ds, _number(record.value), cutoff, *numbers


def _number(value: float) -> float | None:
    return None if value != value else value
