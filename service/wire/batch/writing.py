"""The answer to a batch, piece by piece, in the media type that was asked for."""

import io
from collections import Counter
from typing import Any, Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute
import pyarrow.ipc
from numpy.typing import NDArray

from service.wire.batch.arrow_tables import time_column, time_type
from service.wire.batch.outcomes import (
    Outcomes,
    minimal,
    objects,
    refusal,
    step_of,
    table_rows,
)
from service.wire.batch.rows import Rows
from service.wire.problems import ServiceError
from service.wire.tables import MEDIAN_FIRST, YHAT

pc: Any = pyarrow.compute
"""Its stubs do not know all of it."""


class Writer(Protocol):
    """Writes outcomes in the order of their rows.

    Attributes:
        at_once: outcomes that take less than a millisecond.
    """

    at_once: int

    def part(self, outcomes: Outcomes) -> bytes:
        """The next outcomes."""
        ...

    def end(self, problem: ServiceError | None) -> bytes:
        """The end; with a problem, an outcome of no row that says why not all of the body was taken up."""
        ...


class JsonWriter:
    """One JSON document, with the counts of the statuses at its end."""

    at_once: int = 256

    def __init__(self, instance: str | None, *, is_minimal: bool) -> None:
        self._instance = instance
        self._is_minimal = is_minimal
        self._begun = False
        self._counts: Counter[int] = Counter()

    def part(self, outcomes: Outcomes) -> bytes:
        self._counts.update(outcomes.status.tolist())
        return self._listed(minimal(outcomes) if self._is_minimal else objects(outcomes, self._instance))

    def end(self, problem: ServiceError | None) -> bytes:
        last = b""
        if problem is not None:
            self._counts[problem.status] += 1
            last = self._listed([of_no_row(problem, self._instance, is_minimal=self._is_minimal)])
        counts = {str(status): count for status, count in sorted(self._counts.items())}
        begin = b"" if self._begun else b'{"outcomes":['
        return b'%b%b],"counts":%b}' % (begin, last, orjson.dumps(counts))

    def _listed(self, written: list[bytes]) -> bytes:
        begin = b"," if self._begun else b'{"outcomes":['
        self._begun = True
        return begin + b",".join(written)


class LinesWriter:
    """JSON Lines: objects for rows that were objects, table rows for table rows."""

    at_once: int = 256

    def __init__(self, instance: str | None, *, is_minimal: bool) -> None:
        self._instance = instance
        self._is_minimal = is_minimal
        self._tabular = True

    def part(self, outcomes: Outcomes) -> bytes:
        tabular = outcomes.rows.tabular.tolist()
        self._tabular = tabular[-1]
        if self._is_minimal:
            written = minimal(outcomes)
        elif all(tabular):
            written = table_rows(outcomes)
        elif not any(tabular):
            written = objects(outcomes, self._instance)
        else:
            pairs = zip(table_rows(outcomes), objects(outcomes, self._instance), tabular, strict=True)
            written = [flat if is_flat else nested for flat, nested, is_flat in pairs]
        return b"\n".join(written) + b"\n"

    def end(self, problem: ServiceError | None) -> bytes:
        if problem is None:
            return b""
        is_flat = self._tabular or self._is_minimal
        return of_no_row(problem, self._instance, is_minimal=is_flat) + b"\n"


def of_no_row(problem: ServiceError, instance: str | None, *, is_minimal: bool) -> bytes:
    """The outcome that ends a batch of which not all was taken up."""
    said: dict[str, object] = {"row": None, "status": problem.status, "replayed": False}
    if is_minimal:
        said |= {"step": None, **refusal(problem, tabular=True)}
    else:
        said |= {"advance": None, "problem": problem.body(instance)}
    return orjson.dumps(said)


class ArrowWriter:
    """An Arrow IPC stream of table rows, one record batch for each part; times have the type that they were sent in."""

    at_once: int = 1024

    def __init__(self, *, is_minimal: bool) -> None:
        self._is_minimal = is_minimal
        self._sink = io.BytesIO()
        self._stream: Any = None
        self._schema = pa.schema([])

    def part(self, outcomes: Outcomes) -> bytes:
        self._begin(outcomes.rows.ds)
        columns = _columns(outcomes, self._schema)
        self._stream.write_batch(pa.record_batch(columns, schema=self._schema))
        return self._written()

    def end(self, problem: ServiceError | None) -> bytes:
        self._begin(None)
        if problem is not None:
            said = {"status": problem.status, "replayed": False, **refusal(problem, tabular=True)}
            values = [[said.get(name)] for name in self._schema.names]
            columns = [pa.array(value, kind.type) for value, kind in zip(values, self._schema, strict=True)]
            self._stream.write_batch(pa.record_batch(columns, schema=self._schema))
        self._stream.close()
        return self._written()

    def _begin(self, times: pa.DataType | None) -> None:
        if self._stream is None:
            self._schema = _schema(time_type(times), is_minimal=self._is_minimal)
            self._stream = pa.ipc.new_stream(self._sink, self._schema)

    def _written(self) -> bytes:
        written = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return written


def _schema(times: pa.DataType, *, is_minimal: bool) -> pa.Schema:
    said: dict[str, pa.DataType] = {"row": pa.int64(), "status": pa.int16(), "replayed": pa.bool_()}
    if is_minimal:
        said["step"] = pa.int64()
    else:
        said |= {"unique_id": pa.string(), "step": pa.int64(), "etag": pa.string(), "ds": times, "cutoff": times}
        said |= dict.fromkeys(YHAT, pa.float64())
    said |= {"problem": pa.string(), "detail": pa.string()}
    return pa.schema(list(said.items()))


def _columns(outcomes: Outcomes, schema: pa.Schema) -> list[Any]:
    rows, problems, count = outcomes.rows, outcomes.problems, len(outcomes.rows)
    steps: Any = pa.array(outcomes.step)
    slugs: Any = pa.nulls(count, pa.string())
    details: Any = slugs
    if problems:
        known: list[Any] = outcomes.step.tolist()
        said: list[list[str | None]] = [[None] * count, [None] * count]
        for row, problem in problems.items():
            said[0][row], said[1][row] = refusal(problem, tabular=True).values()
            known[row] = step_of(problem)
        steps = pa.array(known, pa.int64())
        slugs, details = (pa.array(column, pa.string()) for column in said)
    columns: dict[str, Any] = {
        "row": pa.array(np.arange(rows.first, rows.first + count)),
        "status": pa.array(outcomes.status),
        "replayed": pa.array(outcomes.replayed),
        "step": steps,
        "problem": slugs,
        "detail": details,
    }
    if "etag" in schema.names:
        told = outcomes.revision > 0
        columns["unique_id"] = _names(rows)
        columns["etag"] = _etags(outcomes, told)
        kind = schema.field("ds").type
        grids = [outcomes.labels[label].grid if label >= 0 else None for label in outcomes.label.tolist()]
        columns["ds"] = time_column(kind, grids, outcomes.time, outcomes.step + 1, told)
        columns["cutoff"] = time_column(kind, grids, outcomes.cutoff, outcomes.step, told)
        for name, quantile in zip(YHAT, MEDIAN_FIRST, strict=True):
            numbers = outcomes.forecast[:, quantile]
            columns[name] = pa.array(numbers, mask=np.isnan(numbers))
    return [columns[name] for name in schema.names]


def _etags(outcomes: Outcomes, told: NDArray[np.bool_]) -> Any:  # noqa: ANN401 - a pyarrow.Array
    """(n,) as `render.etag` writes them; null where a row was refused."""
    lives = outcomes.incarnation.tobytes().hex().encode()
    ends = np.arange(len(told) + 1, dtype=np.int32) * 2 * outcomes.incarnation.shape[1]
    texts = pa.StringArray.from_buffers(len(told), pa.py_buffer(ends.tobytes()), pa.py_buffer(lives))
    revisions = pc.cast(pa.array(outcomes.revision), pa.string())
    return pc.if_else(pa.array(told), pc.binary_join_element_wise(texts, revisions, "-"), None)


def _names(rows: Rows) -> Any:  # noqa: ANN401 - a pyarrow.Array
    """(n,) the session of each row; null where it could not be read."""
    return pa.array([rows.names[session] or None for session in rows.sessions.tolist()], pa.string())
