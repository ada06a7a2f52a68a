"""Forecasts of many sessions, written as objects, table rows or columns: one row for each session and step."""

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

from service.storage.answers import Label
from service.wire import render
from service.wire.media import Media
from service.wire.problems import ServiceError


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The forecast of one session, or why there is none.

    Args:
        step, last: where the session stands; `last` is the instant of its last observation.
        quantiles: (steps ahead, q), in the order of `render.quantile_keys`.
        answer: renders the answer to GET forecast.
    """

    session: str
    problem: ServiceError | None
    label: Label | None = None
    step: int = 0
    last: int = 0
    quantiles: NDArray[np.float64] | None = None
    answer: Callable[[], bytes] = bytes


@dataclass(frozen=True, slots=True)
class Point:
    """One row of the table: a step of a session, or a session that has none."""

    row: int
    status: int
    session: str
    ds: str | int | None
    cutoff: str | int | None
    numbers: Sequence[float | None]
    problem: str | None
    detail: str | None


class Writer(Protocol):
    """Writes the forecasts of sessions in their order."""

    def part(self, foreseen: Sequence[Foreseen]) -> bytes: ...

    def end(self, problem: ServiceError | None) -> bytes:
        """The end; with a problem, an outcome of no row that says why there are no more."""
        ...


def writer(media: Media, levels: Sequence[int], instance: str | None) -> Writer:
    """A writer of a media type."""
    if media is Media.ARROW:
        return ArrowForecasts(levels)
    return JsonForecasts(instance) if media is Media.JSON else LineForecasts(levels)


class JsonForecasts:
    """One JSON document, with the answer of GET forecast for each session."""

    def __init__(self, instance: str | None) -> None:
        self._instance = instance
        self._counts: Counter[int] = Counter()
        self._count = 0

    def part(self, foreseen: Sequence[Foreseen]) -> bytes:
        written: list[bytes] = []
        for one in foreseen:
            status = 200 if one.problem is None else one.problem.status
            told = one.answer() if one.problem is None else b"null"
            problem = b"null" if one.problem is None else one.problem.render(self._instance)
            row = self._count + len(written)
            written.append(b'{"row":%d,"status":%d,"forecast":%b,"problem":%b}' % (row, status, told, problem))
            self._counts[status] += 1
        return self._listed(written)

    def end(self, problem: ServiceError | None) -> bytes:
        last = b""
        if problem is not None:
            body = problem.render(self._instance)
            last = self._listed([b'{"row":null,"status":%d,"forecast":null,"problem":%b}' % (problem.status, body)])
            self._counts[problem.status] += 1
        counts = {str(status): count for status, count in sorted(self._counts.items())}
        return b'%b%b],"counts":%b}' % (b"" if self._count else b'{"outcomes":[', last, orjson.dumps(counts))

    def _listed(self, written: list[bytes]) -> bytes:
        begin = b"," if self._count else b'{"outcomes":['
        self._count += len(written)
        return begin + b",".join(written)


class LineForecasts:
    """JSON Lines."""

    def __init__(self, levels: Sequence[int]) -> None:
        self._levels = levels
        self._names = columns(levels)
        self._count = 0

    def part(self, foreseen: Sequence[Foreseen]) -> bytes:
        written = [self._line(point) for point in points(self._count, foreseen, self._levels)]
        self._count += len(foreseen)
        return b"".join(written)

    def end(self, problem: ServiceError | None) -> bytes:
        if problem is None:
            return b""
        body = {"row": None, "status": problem.status, "problem": problem.slug, "detail": problem.detail}
        return orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)

    def _line(self, point: Point) -> bytes:
        body: render.Json = {
            "row": point.row,
            "status": point.status,
            "unique_id": point.session,
            "ds": point.ds,
            "cutoff": point.cutoff,
        }
        body.update(zip(self._names, point.numbers, strict=True))
        body.update(problem=point.problem, detail=point.detail)
        return orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE)


class ArrowForecasts:
    """An Arrow IPC stream; times are text in their written form."""

    def __init__(self, levels: Sequence[int]) -> None:
        self._levels = levels
        said: dict[str, pa.DataType] = {"row": pa.int64(), "status": pa.int16()}
        said.update(dict.fromkeys(("unique_id", "ds", "cutoff"), pa.string()))
        said.update(dict.fromkeys(columns(levels), pa.float64()))
        said.update(dict.fromkeys(("problem", "detail"), pa.string()))
        self._schema = pa.schema(list(said.items()))
        self._sink = io.BytesIO()
        self._stream: Any = pa.ipc.new_stream(self._sink, self._schema)
        self._count = 0

    def part(self, foreseen: Sequence[Foreseen]) -> bytes:
        found = list(points(self._count, foreseen, self._levels))
        self._count += len(foreseen)
        self._write(found)
        return self._written()

    def end(self, problem: ServiceError | None) -> bytes:
        if problem is not None:
            blank = [None] * len(columns(self._levels))
            self._write([Point(-1, problem.status, "", None, None, blank, problem.slug, problem.detail)])
        self._stream.close()
        return self._written()

    def _write(self, found: Sequence[Point]) -> None:
        values: list[list[Any]] = [
            [point.row if point.row >= 0 else None for point in found],
            [point.status for point in found],
            [point.session or None for point in found],
            [None if point.ds is None else str(point.ds) for point in found],
            [None if point.cutoff is None else str(point.cutoff) for point in found],
            *([point.numbers[index] for point in found] for index in range(len(columns(self._levels)))),
            [point.problem for point in found],
            [point.detail for point in found],
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(values, self._schema, strict=True)]
        self._stream.write_batch(pa.record_batch(arrays, schema=self._schema))

    def _written(self) -> bytes:
        written = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return written


def columns(levels: Sequence[int]) -> list[str]:
    """Names of the columns of forecasts: the median, then each interval."""
    return ["yhat", *(f"yhat-{end}-{level}" for level in levels for end in ("lo", "hi"))]


def points(first: int, foreseen: Sequence[Foreseen], levels: Sequence[int]) -> Iterator[Point]:
    """The rows of the table; `first` is the number of the first session."""
    order = _order(levels)
    blank = [None] * len(order)
    for row, one in enumerate(foreseen, first):
        if one.problem is not None:
            problem = one.problem
            yield Point(row, problem.status, one.session, None, None, blank, problem.slug, problem.detail)
            continue
        assert one.label is not None, "a session that is forecast has a label"
        assert one.quantiles is not None, "what is no refusal is a forecast"
        grid = one.label.grid
        cutoff = one.step if grid is None else render.written(grid, one.last)
        for ahead, numbers in enumerate(one.quantiles[:, order].tolist(), 1):
            ds = one.step + ahead if grid is None else grid.format(grid.advance(one.last, ahead))
            yield Point(row, 200, one.session, ds, cutoff, numbers, None, None)


def _order(levels: Sequence[int]) -> list[int]:
    """Where the columns stand among the quantiles of the levels."""
    keys = [float(key) for key in render.quantile_keys(tuple(levels))]
    tails = [(100 - level) / 200 for level in levels]
    wanted = [0.5, *(end for tail in tails for end in (tail, 1 - tail))]
    return [int(np.argmin([abs(key - quantile) for key in keys])) for quantile in wanted]
