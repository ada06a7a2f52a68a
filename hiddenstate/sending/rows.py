"""The rows of batches and streams, in each form in which callers have them: objects, table rows, frames."""

import math
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, cast

from hiddenstate.sending.shapes import BatchObservation, Frame

OF_TABLES = ("unique_id", "ds", "y")
EXAMPLE = "a row is {'session': 'store-1', 'timestamp': '2026-11-21', 'value': 5.0}, or has unique_id, ds and y"

Rows = Iterable[BatchObservation] | Frame


def rows_of(rows: Rows) -> Iterator[BatchObservation]:
    """One after another, as the service takes them.

    Raises:
        TypeError: they are no rows.
        ValueError: a frame or a row has no columns that say whose it is.
    """
    if isinstance(rows, Frame):
        return map(_of_table, _records(rows))
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise TypeError(f"rows are a list or a frame with unique_id, ds and y, and no {type(rows).__name__}; {EXAMPLE}")
    return map(_row, rows)


async def each_of(rows: Rows | AsyncIterable[BatchObservation]) -> AsyncIterator[BatchObservation]:
    """The same of rows that may come asynchronously."""
    if isinstance(rows, AsyncIterable):
        async for row in rows:
            yield _row(row)
    else:
        for row in rows_of(rows):
            yield row


def _records(frame: Frame) -> list[Mapping[str, Any]]:
    """The rows of a frame of pandas or polars, or of an Arrow table."""
    names = list(map(str, getattr(frame, "column_names", frame.columns)))
    if lacking := [name for name in OF_TABLES if name not in names]:
        raise ValueError(f"the frame has no column {', '.join(lacking)}, it has {', '.join(names)}")
    listed: Any = getattr(frame, "to_dicts", None) or getattr(frame, "to_pylist", None)
    pandas: Any = getattr(frame, "to_dict", None)
    return list(listed() if listed is not None else pandas("records"))


def _row(row: object) -> BatchObservation:
    if not isinstance(row, Mapping):
        raise TypeError(f"a {type(row).__name__} is no row; {EXAMPLE}")
    if "session" in row:
        return cast(BatchObservation, row)
    if "unique_id" not in row or "y" not in row:
        raise ValueError(f"the row with {', '.join(map(str, row)) or 'nothing'} names no session; {EXAMPLE}")
    return _of_table(row)


def _of_table(row: Mapping[str, Any]) -> BatchObservation:
    """What is missing in a frame is NaN or None; columns beside those of a series are covariates."""
    made: BatchObservation = {"session": str(row["unique_id"]), "value": _number(row["y"])}
    at = row.get("ds")
    if isinstance(at, int):
        made["step"] = at
    elif at is not None:
        made["timestamp"] = at
    own = {name: row[name] for name in ("idempotency_key", "if_match") if name in row}
    if beside := {name: _number(row[name]) for name in row if name not in (*OF_TABLES, *own)}:
        made["covariates"] = beside
    return cast(BatchObservation, {**made, **own})


def _number(value: Any) -> Any:  # noqa: ANN401 - whatever a frame holds; the service says what it cannot take
    return None if isinstance(value, float) and math.isnan(value) else value
