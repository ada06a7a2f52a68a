"""The rows of a batch that come as columns: Arrow record batches -> the same rows as those of JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.wire import schemas
from service.wire.batch.arrow_messages import ArrowMessages
from service.wire.batch.rows import BLOCK, OF_TABLES, Integers, Rows, checked
from service.wire.problems import Fault, InvalidRequest, ServiceError, pointer

Column = Any
"""A pyarrow.Array; its stubs do not know all of it."""


class ArrowReader:
    """An Arrow IPC stream.

    Args:
        known: the columns that are no covariates.
    """

    def __init__(self, known: Sequence[str] = OF_TABLES) -> None:
        self._known = known
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
                rows = of_arrow(self._count, batch.slice(at, BLOCK), self._known)
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


def of_arrow(first: int, batch: pa.RecordBatch, known: Sequence[str]) -> Rows:
    """The rows of a record batch whose offsets and texts were checked."""
    return _Columns(first, batch, known).rows()


class _Columns:
    def __init__(self, first: int, batch: pa.RecordBatch, known: Sequence[str]) -> None:
        self._first = first
        self._known = known
        self._count = batch.num_rows
        names: list[str] = batch.schema.names
        self._twice = sorted({name for name in names if names.count(name) > 1})
        self._given = {name: _plain(batch.column(names.index(name))) for name in names if name not in self._twice}
        self._refused: dict[int, ServiceError] = {}

    def rows(self) -> Rows:
        for name in self._twice:
            self._refuse_all(name, "given twice")
        names, sessions = self._sessions()
        texts, times, steps = self._times()
        ds = self._given.get("ds")
        rows = Rows(
            self._first,
            names,
            sessions,
            self._values(),
            texts,
            times,
            steps,
            self._texts("idempotency_key"),
            np.ones(self._count, bool),
            refused=self._refused,
            ds=None if ds is None else ds.type,
        )
        conditions = [(row, tags) for row, tags in enumerate(self._texts("if_match")) if tags is not None]
        self._take_covariates(rows)
        return checked(rows, conditions)

    def _refuse(self, row: int, name: str, detail: str) -> None:
        self._refused.setdefault(row, InvalidRequest([Fault(detail, pointer(name))]))

    def _refuse_all(self, name: str, detail: str) -> None:
        problem = InvalidRequest([Fault(detail, pointer(name))])
        for row in range(self._count):
            self._refused.setdefault(row, problem)

    def _sessions(self) -> tuple[list[str], Integers]:
        """The different ones, and (n,) which of them each row is of."""
        column = self._given.get("unique_id")
        if column is None or not (_is_text(column.type) or pa.types.is_integer(column.type)):
            self._refuse_all("session", "required" if column is None else "must be text or a whole number")
            return [""], np.zeros(self._count, np.int64)
        names, sessions = _coded(column)
        texts = [str(name) for name in names.to_pylist()]
        if column.null_count:
            for row in np.flatnonzero(sessions < 0).tolist():
                self._refuse(row, "session", "required")
            texts, sessions = [*texts, ""], np.where(sessions < 0, len(texts), sessions)
        return texts, sessions

    def _values(self) -> NDArray[np.float64]:
        """(n,) float64, NaN = missing."""
        if "y" not in self._known:
            return np.full(self._count, np.nan)
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

    def _times(self) -> tuple[list[str], Integers, Integers]:
        """The different timestamps, (n,) which of them each row has (-1 = none), and (n,) steps (0 = none)."""
        column = self._given.get("ds")
        texts: list[str] = []
        times, steps = np.full(self._count, -1), np.zeros(self._count, np.int64)
        if column is None or pa.types.is_null(column.type):
            return texts, times, steps
        if pa.types.is_integer(column.type):
            steps = column.cast(pa.int64(), safe=False).fill_null(0).to_numpy(zero_copy_only=False)
            sent = column.is_valid().to_numpy(zero_copy_only=False)
            for row in np.flatnonzero(sent & ((steps < 1) | (steps > schemas.STEP_LIMIT))).tolist():
                self._refuse(row, "step", "must be 1 or more")
        elif _is_text(column.type):
            different, times = _coded(column)
            texts = different.to_pylist()
        elif pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
            texts, times = self._written(column)
        else:
            self._refuse_all("timestamp", "must be a timestamp, a date, text, or a step (a whole number from 1)")
        return texts, times, steps

    def _written(self, column: Column) -> tuple[list[str], Integers]:
        """Dates and times as texts; each different one is written once."""
        if pa.types.is_timestamp(column.type):
            column = self._in_microseconds(column)
        different, times = _coded(column)
        texts: list[str] = []
        unread = set()
        for number, moment in enumerate(different):
            try:
                texts.append(moment.as_py().isoformat())
            except (ValueError, OverflowError):
                texts.append("")
                unread.add(number)
        for row, number in enumerate(times.tolist() if unread else ()):
            if number in unread:
                self._refuse(row, "timestamp", "must lie in the years 1 to 9999")
        return texts, times

    def _in_microseconds(self, column: Column) -> Column:
        """Times in a unit, and where they have an offset in a zone, that anyone can write."""
        unit = pa.timestamp("us", None if column.type.tz is None else "UTC")
        coarse = column.cast(unit, safe=False)
        if column.type.unit == "ns":
            for row in np.flatnonzero(_differ(coarse.cast(column.type, safe=False), column)).tolist():
                self._refuse(row, "timestamp", "finer than a microsecond")
        return coarse

    def _texts(self, name: str) -> list[str | None]:
        column = self._given.get(name) if name in self._known else None
        if column is not None and not (_is_text(column.type) or pa.types.is_null(column.type)):
            self._refuse_all(name, "must be text")
            column = None
        return [None] * self._count if column is None else column.to_pylist()

    def _take_covariates(self, rows: Rows) -> None:
        columns = {name: column for name, column in self._given.items() if name not in self._known}
        for name, column in columns.items():
            if not (_is_number(column.type) or pa.types.is_null(column.type)):
                self._refuse_all(name, "unknown column, and no covariate, which is a number")
        numbers = {name: column.to_pylist() for name, column in columns.items() if _is_number(column.type)}
        for row in range(self._count if numbers else 0):
            rows.covariates[row] = {name: numbers[name][row] for name in numbers}, None


def _coded(column: Column) -> tuple[Column, Integers]:
    """The different values of a column, and (n,) which of them each row has; -1 = none."""
    if pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    found = column.dictionary_encode()
    codes: Integers = found.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return found.dictionary, codes


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
