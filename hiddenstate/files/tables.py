"""Files of series, read in parts of bounded size: CSV, Parquet or Arrow with the columns `unique_id, ds, y`.

`ds` is a timestamp or a whole number, the step; where the column is absent, the step is the row's number in its series.
All other columns are covariates. Series may be mixed, but the rows of each stand oldest first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from hiddenstate.files.unreadable import NEEDED, TableError, explained, separated_otherwise

FORMATS = (".csv", ".csv.gz", ".parquet", ".arrow", ".feather")
PART_ROWS = 65_536
OF_SERIES = ("unique_id", "ds", "y")
PANDAS_INDEX = "__index_level_"
"""Begins the names of columns that hold a frame's index."""
CSV_BLOCK_BYTES = 4 * 2**20
UNREADABLE = int(np.iinfo(np.int64).min)
EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)

Column = Any
"""An Arrow array or chunked array, of whatever type a file has."""
pc: Any = pyarrow.compute
Integers = NDArray[np.int64]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a file.

    Attributes:
        first: number of the first row in the file, from 0 on.
        table: unique_id (text), ds (a timestamp or text; int64 where steps are counted), y (float64), covariates.
        names: the different series, in order of appearance; `codes` (R,) is each row's place among them.
        values: (R,) NaN = missing. What the file calls NaN, or infinite, is no missing value: both are infinite here.
        moments: the different timestamps as texts; None where steps are counted.
        where: (R,) each row's place in `moments`, or its step.
        times: (R,) what orders the rows of a series: steps, or microseconds since 1970, UTC where there is no offset;
            UNREADABLE where a text is no timestamp.
    """

    first: int
    table: pa.Table
    names: list[str]
    codes: Integers
    values: Doubles
    moments: list[str] | None
    where: Integers
    times: Integers

    def __len__(self) -> int:
        return len(self.codes)

    def times_in(self, zone: tzinfo, rows: Integers) -> Integers:
        """`times` of some rows, read in a zone where they have no offset."""
        if self.moments is None or zone == UTC:
            return self.times[rows]
        places, inverse = np.unique(self.where[rows], return_inverse=True)
        return instants_in(zone, [self.moments[place] for place in places.tolist()])[inverse]


class SeriesFile:
    """A file of series.

    Attributes:
        covariates: names of the columns beside those of a series.
        is_dated: whether `ds` holds timestamps.
        rows: how many there are; of a CSV file, how many lines.
    Raises:
        TableError: no such file, unknown format, no column y or columns of types that cannot be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kind = _kind(path)
        with explained(path):
            schema = self._schema()
            self.rows = self._count()
        if "y" not in schema.names:
            have = ", ".join(schema.names)
            otherwise = separated_otherwise(path) if self._kind == "csv" else None
            raise TableError(f"{path}: {otherwise or f'no column y, it has {have}; {NEEDED}'}")
        self._own = [name for name in OF_SERIES if name in schema.names]
        self.covariates = [name for name in schema.names if name not in OF_SERIES and not name.startswith(PANDAS_INDEX)]
        self._step_given = "ds" in self._own and pa.types.is_integer(schema.field("ds").type)
        self.is_dated = "ds" in self._own and not self._step_given

    def parts(self, covariates: Sequence[str] = ()) -> Iterator[Part]:
        """All rows, with these covariates. The same parts each time.

        Raises:
            TableError: a value that is not of its column's type; no rows.
        """
        first, counted = 0, _Counter()
        with explained(self.path):
            for table in self._tables([*self._own, *covariates]):
                for at in range(0, len(table), PART_ROWS):
                    part = self._part(first, self._normal(table.slice(at, PART_ROWS)), counted)
                    yield part
                    first += len(part)
        if not first:
            raise TableError(f"{self.path}: it has no rows; give a file with a row for each step")

    def _normal(self, table: pa.Table) -> pa.Table:
        """The same rows with the types of a Part, and without ds where the file has none."""
        columns: dict[str, Column] = {name: table[name].combine_chunks() for name in table.column_names}
        ids = columns.pop("unique_id", pa.array([_stem(self.path)] * len(table)))
        times = {"ds": _times(columns.pop("ds"))} if "ds" in columns else {}
        numbers = {name: pc.cast(column, pa.float64()) for name, column in columns.items()}
        return pa.table({"unique_id": pc.fill_null(pc.cast(ids, pa.string()), ""), **times, **numbers})

    def _part(self, first: int, table: pa.Table, counted: "_Counter") -> Part:
        series: Column = table["unique_id"].combine_chunks().dictionary_encode()
        names, codes = series.dictionary.to_pylist(), np.asarray(series.indices, np.int64)
        values = _values(table["y"])
        if self.is_dated:
            times: Column = table["ds"].combine_chunks().dictionary_encode(null_encoding="encode")
            moments, where = _texts(times.dictionary), np.asarray(times.indices, np.int64)
            return Part(first, table, names, codes, values, moments, where, instants_in(UTC, moments)[where])
        steps = np.asarray(table["ds"], np.int64) if self._step_given else counted.steps(names, codes)
        table = table if self._step_given else table.append_column("ds", pa.array(steps))
        return Part(first, table, names, codes, values, None, steps, steps)

    def _schema(self) -> pa.Schema:
        if self._kind == "parquet":
            return pyarrow.parquet.read_schema(self.path)
        if self._kind == "arrow":
            schema: pa.Schema = _open_arrow(self.path).schema
            return schema
        types: dict[str, pa.DataType] = {"unique_id": pa.string(), "y": pa.float64()}
        options = pyarrow.csv.ConvertOptions(column_types=types)
        with pyarrow.csv.open_csv(self.path, convert_options=options) as reader:
            return reader.schema

    def _count(self) -> int:
        if self._kind == "parquet":
            return int(pyarrow.parquet.read_metadata(self.path).num_rows)
        if self._kind == "arrow":
            return sum(len(batch) for batch in _batches(_open_arrow(self.path)))
        with pa.input_stream(self.path) as stream:
            lines, last = 0, b"\n"
            while block := stream.read(CSV_BLOCK_BYTES):
                lines += block.count(b"\n")
                last = block[-1:]
        return lines - (last == b"\n")

    def _tables(self, columns: list[str]) -> Iterator[pa.Table]:
        if self._kind == "parquet":
            with pyarrow.parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(PART_ROWS, columns=columns):
                    yield pa.table(batch)
        elif self._kind == "csv":
            types: dict[str, pa.DataType] = {name: pa.float64() for name in columns}
            types |= {"unique_id": pa.string(), "ds": pa.int64() if self._step_given else pa.string()}
            options = pyarrow.csv.ConvertOptions(
                column_types=types, include_columns=columns, strings_can_be_null=True, quoted_strings_can_be_null=False
            )
            read = pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES)
            with pyarrow.csv.open_csv(self.path, read_options=read, convert_options=options) as reader:
                for batch in reader:
                    yield pa.table(batch)
        else:
            for batch in _batches(_open_arrow(self.path)):
                yield pa.table(batch).select(columns)


class OldestFirst:
    """Sees that the rows of each series stand oldest first, from part to part."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def check(self, part: Part) -> None:
        """Raises TableError at the first row that is older than the one before it in its series."""
        times = part.times
        readable = np.flatnonzero(times != UNREADABLE)
        rows = readable[np.argsort(part.codes[readable], kind="stable")]
        codes, times = part.codes[rows], times[rows]
        begins = np.flatnonzero(np.diff(codes, prepend=-1))
        before = np.roll(times, 1)
        for at in begins.tolist():
            before[at] = self._last.get(part.names[codes[at]], UNREADABLE)
        back = np.flatnonzero(times < before)
        if len(back):
            row = int(rows[back].min())
            raise TableError(
                f"row {part.first + row + 1}, of series {part.names[part.codes[row]]!r}, is older than the one before "
                "it; the rows of each series must stand oldest first: sort the file by ds"
            )
        ends = np.append(begins[1:], len(rows)) - 1
        self._last |= {part.names[codes[at]]: int(times[at]) for at in ends.tolist()} if len(rows) else {}


class _Counter:
    """Numbers the rows of each series from 1 on."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def steps(self, names: Sequence[str], codes: Integers) -> Integers:
        before = np.array([self._counts.get(name, 0) for name in names], np.int64)
        order = np.argsort(codes, kind="stable")
        counts = np.bincount(codes, minlength=len(names))
        steps = np.empty(len(codes), np.int64)
        steps[order] = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
        self._counts |= dict(zip(names, (before + counts).tolist(), strict=True))
        return steps + before[codes]


def _kind(path: Path) -> str:
    name = path.name.lower()
    if not name.endswith(FORMATS):
        raise TableError(f"{path}: unknown format; give a file that ends in {', '.join(FORMATS)}")
    if not path.is_file():
        raise TableError(f"{path}: no such file; check the path")
    if name.endswith((".csv", ".csv.gz")):
        return "csv"
    return "parquet" if name.endswith(".parquet") else "arrow"


def _stem(path: Path) -> str:
    """The name of a file's only series, where it has no column for it."""
    return path.name.split(".")[0]


def _open_arrow(path: Path) -> Any:  # noqa: ANN401 - a reader of the file or of the stream format
    try:
        return pa.ipc.open_file(pa.memory_map(str(path)))
    except pa.ArrowInvalid:
        return pa.ipc.open_stream(pa.memory_map(str(path)))


def _batches(reader: Any) -> Iterator[pa.RecordBatch]:  # noqa: ANN401 - as _open_arrow
    if isinstance(reader, pa.ipc.RecordBatchFileReader):
        yield from (reader.get_batch(index) for index in range(reader.num_record_batches))
    else:
        yield from reader


def _values(column: Column) -> Doubles:
    given = np.asarray(pc.fill_null(column, 0.0), np.float64)
    return np.where(np.asarray(column.is_null()), np.nan, np.where(np.isfinite(given), given, np.inf))


def _times(column: Column) -> Column:
    """A column ds as a Part has it; what is empty is refused by whoever takes the rows."""
    kind = column.type
    if pa.types.is_integer(kind):
        return pc.fill_null(pc.cast(column, pa.int64()), 0)
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return pc.cast(column, pa.timestamp("us", tz=getattr(kind, "tz", None)))
    return pc.fill_null(pc.cast(column, pa.string()), "")


def _texts(moments: Column) -> list[str]:
    """Timestamps as ISO 8601: the date alone at midnight, Z where the column has a zone; "" = none."""
    if not pa.types.is_timestamp(moments.type):
        return list(moments.to_pylist())
    numbers = np.asarray(pc.fill_null(pc.cast(moments, pa.int64()), UNREADABLE), np.int64)
    texts = [text.removesuffix(".000000") for text in np.datetime_as_string(numbers.view("datetime64[us]")).tolist()]
    if moments.type.tz is not None:
        return [text + "Z" if text != "NaT" else "" for text in texts]
    return [text.removesuffix("T00:00:00") if text != "NaT" else "" for text in texts]


def instants_in(zone: tzinfo, moments: Sequence[str]) -> Integers:
    """Timestamps in microseconds since 1970 UTC, read in the zone where they have no offset; UNREADABLE where not."""
    return np.array([instant_in(zone, text) for text in moments], np.int64)


def instant_in(zone: tzinfo, text: str) -> int:
    """As `instants_in`, of one timestamp."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return UNREADABLE
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
    return (aware - EPOCH) // MICROSECOND
