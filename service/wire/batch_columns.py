"""The rows of a batch that come as columns: Arrow record batches -> the same rows as those of JSON."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.wire import schemas
from service.wire.arrow_messages import ArrowMessages
from service.wire.batch_rows import BLOCK, OF_TABLES, Rows, checked
from service.wire.problems import Fault, InvalidRequest, ServiceError, pointer

Column = Any
"""A pyarrow.Array; its stubs do not know all of it."""


class ArrowReader:
    """An Arrow IPC stream."""

    def __init__(self) -> None:
        self._messages = ArrowMessages()
        self._count = 0

    def feed(self, piece: bytes) -> Iterator[Rows]:
        arrived: list[pa.RecordBatch] = []
        problem: ServiceError | None = None
        try:
            arrived.extend(self._messages.feed(piece))
        except ServiceError as refused:
            problem = refused
        for batch in _joined(arrived):
            for at in range(0, batch.num_rows, BLOCK):
                rows = of_arrow(self._count, batch.slice(at, BLOCK))
                self._count += len(rows)
                yield rows
        if problem is not None:
            raise problem

    def end(self) -> Iterator[Rows]:
        self._messages.end()
        return iter(())


def _joined(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """The rows of many small batches as one: those of one session then share a commit."""
    if len(batches) < 2:
        return batches
    return pa.Table.from_batches(batches).unify_dictionaries().combine_chunks().to_batches()


def of_arrow(first: int, batch: pa.RecordBatch) -> Rows:
    """The rows of a record batch whose offsets and texts were checked."""
    return _Columns(first, batch).rows()


class _Columns:
    def __init__(self, first: int, batch: pa.RecordBatch) -> None:
        self._first = first
        self._count = batch.num_rows
        names: list[str] = batch.schema.names
        self._twice = sorted({name for name in names if names.count(name) > 1})
        self._given = {name: _plain(batch.column(names.index(name))) for name in names if name not in self._twice}
        self._refused: dict[int, ServiceError] = {}

    def rows(self) -> Rows:
        for name in self._twice:
            self._refuse_all(name, "given twice")
        timestamps, steps = self._times()
        times = self._given.get("ds")
        rows = Rows(
            self._first,
            self._sessions(),
            self._values(),
            timestamps,
            steps,
            self._texts("idempotency_key"),
            [None] * self._count,
            [True] * self._count,
            refused=self._refused,
            times=None if times is None else times.type,
        )
        conditions = self._texts("if_match")
        self._take_covariates(rows)
        return checked(rows, conditions)

    def _refuse(self, row: int, name: str, detail: str) -> None:
        self._refused.setdefault(row, InvalidRequest([Fault(detail, pointer(name))]))

    def _refuse_all(self, name: str, detail: str) -> None:
        problem = InvalidRequest([Fault(detail, pointer(name))])
        for row in range(self._count):
            self._refused.setdefault(row, problem)

    def _sessions(self) -> list[str]:
        column = self._given.get("unique_id")
        if column is None or not (_is_text(column.type) or pa.types.is_integer(column.type)):
            self._refuse_all("session", "required" if column is None else "must be text or a whole number")
            return [""] * self._count
        sessions: list[Any] = column.to_pylist()
        if pa.types.is_integer(column.type):
            sessions = [None if number is None else str(number) for number in sessions]
        if column.null_count:
            for row, session in enumerate(sessions):
                if session is None:
                    self._refuse(row, "session", "required")
                    sessions[row] = ""
        return sessions

    def _values(self) -> NDArray[np.float64]:
        """(n,) float64, NaN = missing."""
        column = self._given.get("y")
        if column is None or not _is_number(column.type):
            self._refuse_all("value", "required" if column is None else "must be a number")
            return np.full(self._count, np.nan)
        numbers = column.cast(pa.float64(), safe=False)
        values: NDArray[np.float64] = numbers.to_numpy(zero_copy_only=False)
        infinite = ~np.isfinite(values)
        if infinite.any():
            sent = numbers.is_valid().to_numpy(zero_copy_only=False)
            for row in np.flatnonzero(infinite & sent).tolist():
                self._refuse(row, "value", "must be finite")
        return values

    def _times(self) -> tuple[list[str | None], list[int | None]]:
        """Timestamps and steps; None where there is none."""
        column = self._given.get("ds")
        nothing: list[Any] = [None] * self._count
        if column is None or pa.types.is_null(column.type):
            return nothing, nothing
        if pa.types.is_integer(column.type):
            steps = column.to_pylist()
            for row, step in enumerate(steps):
                if step is not None and not 1 <= step <= schemas.STEP_LIMIT:
                    self._refuse(row, "step", "must be 1 or more")
            return nothing, steps
        if _is_text(column.type):
            return column.to_pylist(), nothing
        if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
            return self._written(column), nothing
        self._refuse_all("timestamp", "must be a timestamp, a date, text, or a step (a whole number from 1)")
        return nothing, nothing

    def _written(self, column: Column) -> list[str | None]:
        """Dates and times as texts; each different one is written once."""
        if pa.types.is_timestamp(column.type):
            column = self._in_microseconds(column)
        distinct = column.dictionary_encode()
        texts: list[str | None] = []
        unread = set()
        for number, moment in enumerate(distinct.dictionary):
            try:
                texts.append(moment.as_py().isoformat())
            except (ValueError, OverflowError):
                texts.append(None)
                unread.add(number)
        indices = distinct.indices.to_pylist()
        for row, index in enumerate(indices if unread else ()):
            if index in unread:
                self._refuse(row, "timestamp", "must lie in the years 1 to 9999")
        return [None if index is None else texts[index] for index in indices]

    def _in_microseconds(self, column: Column) -> Column:
        """Times in a unit, and where they have an offset in a zone, that anyone can write."""
        unit = pa.timestamp("us", None if column.type.tz is None else "UTC")
        coarse = column.cast(unit, safe=False)
        if column.type.unit == "ns":
            for row in np.flatnonzero(_differ(coarse.cast(column.type, safe=False), column)).tolist():
                self._refuse(row, "timestamp", "finer than a microsecond")
        return coarse

    def _texts(self, name: str) -> list[str | None]:
        column = self._given.get(name)
        if column is not None and not (_is_text(column.type) or pa.types.is_null(column.type)):
            self._refuse_all(name, "must be text")
            column = None
        return [None] * self._count if column is None else column.to_pylist()

    def _take_covariates(self, rows: Rows) -> None:
        columns = {name: column for name, column in self._given.items() if name not in OF_TABLES}
        for name, column in columns.items():
            if not (_is_number(column.type) or pa.types.is_null(column.type)):
                self._refuse_all(name, "unknown column, and no covariate, which is a number")
        numbers = {name: column.to_pylist() for name, column in columns.items() if _is_number(column.type)}
        for row in range(self._count if numbers else 0):
            rows.covariates[row] = {name: numbers[name][row] for name in numbers}, None


def _plain(column: Column) -> Column:
    """A column without its dictionary."""
    kind: Any = column.type
    return column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _differ(one: Column, other: Column) -> NDArray[np.bool_]:
    """(n,) whether two columns of times differ; where there is none, they do not."""
    numbers = [column.cast(pa.int64()).fill_null(0).to_numpy() for column in (one, other)]
    differ: NDArray[np.bool_] = numbers[0] != numbers[1]
    return differ
