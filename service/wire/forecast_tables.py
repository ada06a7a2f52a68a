"""Forecasts of many sessions, written as objects, table rows or columns: one row for each session and step."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from service.storage.answers import Label
from service.wire import render, tables
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


class Writer(Protocol):
    """Writes the forecasts of sessions in their order."""

    def part(self, foreseen: Sequence[Foreseen]) -> bytes: ...

    def end(self, problem: ServiceError | None) -> bytes:
        """The end; with a problem, an outcome of no row that says why there are no more."""
        ...


def writer(media: Media, levels: Sequence[int], instance: str | None) -> Writer:
    """A writer of a media type."""
    return JsonForecasts(instance) if media is Media.JSON else ForecastTable(media, levels)


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


class ForecastTable:
    """A table; in Arrow, times are text in their written form."""

    def __init__(self, media: Media, levels: Sequence[int]) -> None:
        self._levels = levels
        said: dict[str, pa.DataType] = {"row": pa.int64(), "status": pa.int16()}
        said.update(dict.fromkeys(("unique_id", "ds", "cutoff"), pa.string()))
        said.update(dict.fromkeys(columns(levels), pa.float64()))
        said.update(dict.fromkeys(("problem", "detail"), pa.string()))
        self._table = tables.table(media, said)
        self._count = 0

    def part(self, foreseen: Sequence[Foreseen]) -> bytes:
        rows = list(points(self._count, foreseen, self._levels))
        self._count += len(foreseen)
        return self._table.part(rows)

    def end(self, problem: ServiceError | None) -> bytes:
        last = b""
        if problem is not None:
            last = self._table.part([_refused(None, Foreseen("", problem), self._levels)])
        return last + self._table.end()


def columns(levels: Sequence[int]) -> list[str]:
    """Names of the columns of forecasts: the median, then each interval."""
    return ["yhat", *(f"yhat-{end}-{level}" for level in levels for end in ("lo", "hi"))]


def points(first: int, foreseen: Sequence[Foreseen], levels: Sequence[int]) -> Iterator[tables.Row]:
    """The rows of the table: each step of a session, or a session that has none; `first` numbers the first session."""
    places = order(levels)
    for row, one in enumerate(foreseen, first):
        if one.problem is not None:
            yield _refused(row, one, levels)
            continue
        assert one.label is not None, "a session that is forecast has a label"
        assert one.quantiles is not None, "what is no refusal is a forecast"
        grid = one.label.grid
        cutoff = one.step if grid is None else render.written(grid, one.last)
        for ahead, numbers in enumerate(one.quantiles[:, places].tolist(), 1):
            ds = one.step + ahead if grid is None else grid.format(grid.advance(one.last, ahead))
            yield row, 200, one.session, ds, cutoff, *numbers, None, None


def _refused(row: int | None, one: Foreseen, levels: Sequence[int]) -> tables.Row:
    assert one.problem is not None, "it was refused"
    blank = [None] * len(columns(levels))
    return row, one.problem.status, one.session or None, None, None, *blank, one.problem.slug, one.problem.detail


def order(levels: Sequence[int]) -> list[int]:
    """Where the columns stand among the quantiles of the levels."""
    keys = [float(key) for key in render.quantile_keys(tuple(levels))]
    tails = [(100 - level) / 200 for level in levels]
    wanted = [0.5, *(end for tail in tails for end in (tail, 1 - tail))]
    return [int(np.argmin([abs(key - quantile) for key in keys])) for quantile in wanted]
