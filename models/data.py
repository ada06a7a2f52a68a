"""Series from files: CSV, Parquet or Arrow with the columns `unique_id, ds, y`.

Long format, one row per step. Columns:

    unique_id   name of the series (may be absent: then the file is one series, named after the file)
    ds          timestamp of the step, in UTC where it has an offset (may be absent or empty)
    t           whole-numbered step; where given, it orders the rows and its gaps are missing values, else `ds` does
    y           the value; empty = missing
    imputed     true where the source had no value and one was filled in (optional)
    test        true on the last rows of a series, which no fitting may see (optional)
    others      covariates, where they are asked for by name

The train split is the only default: `read` leaves rows with `test` true out unless they are asked for.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
from numpy.typing import NDArray

from models.covariates import Covariates, Encoding
from models.dates.calendar import CALENDAR, features
from models.dates.grid import grid

FORMATS = (".csv", ".csv.gz", ".parquet", ".arrow", ".feather")

MEANINGS = ("unique_id", "ds", "t", "y", "imputed", "test")
"""Columns with a meaning of their own."""

LEAST_TRAINED = 4
"""At most one step in so many is tested on where the file marks no test part."""


class DataError(ValueError):
    """A data file that cannot be used; the message says why and what to do about it."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series, oldest value first.

    Attributes:
        values: (T,) float64, NaN where missing.
        imputed: (T,) bool, true where the value was filled in by whoever made the file.
        timestamps: (T,) datetime64[s], or None where the file gives no calendar time.
        test_steps: how many of the last steps are the test part; 0 where only the train split was read.
        covariates: (T, P + N) float64, past and known ones, NaN where missing; None where none were asked for.
        static: (S,) float64, NaN where missing.
    """

    unique_id: str
    values: NDArray[np.float64]
    imputed: NDArray[np.bool_]
    timestamps: NDArray[np.datetime64] | None = None
    test_steps: int = 0
    covariates: NDArray[np.float64] | None = None
    static: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def train_steps(self) -> int:
        return len(self.values) - self.test_steps

    def head(self, steps: int) -> "Series":
        """The first `steps` steps, as a series without a test part."""
        stamps = None if self.timestamps is None else self.timestamps[:steps]
        beside = None if self.covariates is None else self.covariates[:steps]
        return Series(self.unique_id, self.values[:steps], self.imputed[:steps], stamps, 0, beside, self.static)


def read(
    path: Path,
    *,
    freq: str | None = None,
    prefixes: Sequence[str] = (),
    test: bool = False,
    test_steps: int = 0,
    covariates: Covariates | None = None,
) -> list[Series]:
    """Read the series of one file, in the order in which they first appear.

    Args:
        path: a file in one of `FORMATS`.
        freq: frequency of the series: timestamps that it has and the file lacks are missing values. Not used where the
            file has a column `t`; None takes the rows as they follow each other.
        prefixes: keep only series whose `unique_id` up to its first dot is one of these; empty keeps all.
        test: also read the rows whose `test` is true (for scoring, never for fitting).
        test_steps: the last steps of each series that are its test part where the file marks none; at most a quarter.
        covariates: names of columns to read beside the values; a static one has one value in each series.
    Raises:
        DataError: no such file, unknown format, columns absent or of the wrong type, steps out of order.
    """
    table = _table(path)
    names, codes = _identities(table, path)
    values = _floats(table, path)
    flags = {name: _flags(table, name, path) for name in ("imputed", "test")}
    beside = _columns(table, covariates.observed, path) if covariates else None
    fixed = _columns(table, covariates.static, path) if covariates else None
    steps, stamps = _steps(table, path)
    clock = steps if steps is not None else stamps
    wanted = np.array([not prefixes or name.split(".")[0] in prefixes for name in names], dtype=bool)
    if not (wanted[codes] & (test | ~flags["test"])).any():
        raise DataError(f"{path}: no rows left to read{_asked(prefixes)}; it has {_some(names)}")
    rows = np.flatnonzero(wanted[codes])
    order = np.lexsort((clock[rows], codes[rows])) if clock is not None else np.argsort(codes[rows], kind="stable")
    rows = rows[order]
    cuts = np.flatnonzero(np.diff(codes[rows])) + 1
    series = []
    for part in np.split(rows, cuts):
        one = _series(names[codes[part[0]]], part, values, flags, clock, stamps, path)
        if covariates and beside is not None and fixed is not None:
            static = _static(one.unique_id, fixed[part], covariates.static, path)
            one = replace(one, covariates=beside[part], static=static)
        where = steps[part] - steps[part[0]] if steps is not None else _on_grid(one, freq, path)
        whole = one if where is None else _without_gaps(one, where)
        if test_steps and not flags["test"].any():
            whole = replace(whole, test_steps=min(test_steps, len(whole) // LEAST_TRAINED))
        if test or whole.train_steps:
            series.append(whole if test else whole.head(whole.train_steps))
    return series


def digest(series: Iterable[Series]) -> str:
    """SHA-256 (hex) of the rows of `series`, the same for the same rows whatever file format they came from.

    Per series: the name's length in bytes as little-endian u4, the name in UTF-8, the number of steps as u8, then
    the timestamps in seconds since 1970 as i8 (the minimum of i8 where there is none), the values as f8 (every
    missing one as the same quiet NaN) and the imputed flags as u1, each as one little-endian array; then, where they
    were read, the covariates of each step and the static ones, as f8.
    """
    sha = hashlib.sha256()
    for one in series:
        name = one.unique_id.encode()
        sha.update(len(name).to_bytes(4, "little") + name + len(one).to_bytes(8, "little"))
        none = np.full(len(one), np.iinfo(np.int64).min)
        stamps = none if one.timestamps is None else one.timestamps.astype("datetime64[s]").astype(np.int64)
        sha.update(stamps.astype("<i8").tobytes())
        sha.update(np.where(np.isnan(one.values), np.nan, one.values).astype("<f8").tobytes())
        sha.update(one.imputed.astype("u1").tobytes())
        for beside in (one.covariates, one.static):
            if beside is not None:
                sha.update(np.where(np.isnan(beside), np.nan, beside).astype("<f8").tobytes())
    return sha.hexdigest()


def calendar_of(series: Series) -> NDArray[np.float32]:
    """(T, 5) calendar features of every step; zeros where the series has no timestamps."""
    if series.timestamps is None:
        return np.zeros((len(series), CALENDAR), dtype=np.float32)
    moments, where = np.unique(series.timestamps, return_inverse=True)
    table = np.array([features(moment) for moment in moments.astype("datetime64[s]").tolist()], dtype=np.float32)
    return table[where]


def context_of(series: Series, encoding: Encoding) -> NDArray[np.float32]:
    """(T, 5 + W) calendar features of every step, and its row of covariates of models that take any.

    What is known in advance of the steps ahead is what the series has there; beyond its end nothing is.
    """
    calendar = calendar_of(series)
    if not encoding.width or series.covariates is None:
        return np.concatenate([calendar, np.zeros((len(series), encoding.width), np.float32)], axis=1)
    known = series.covariates[:, encoding.observed - encoding.known :]
    beyond = np.concatenate([known, np.full((encoding.horizon, encoding.known), np.nan)])
    steps = np.arange(1, len(series) + 1)[:, None] + np.arange(encoding.horizon)
    numbers = np.concatenate([series.covariates, beyond[steps].reshape(len(series), -1)], axis=1)
    return np.concatenate([calendar, encoding.rows(numbers)], axis=1)


def static_of(series: Sequence[Series], encoding: Encoding) -> NDArray[np.float64]:
    """(N, 2 S) the static covariates of each series, as states keep them."""
    kept = np.zeros((len(series), 2 * encoding.static))
    for row, one in enumerate(series):
        if one.static is not None:
            given = dict(zip(encoding.covariates.static, one.static.tolist(), strict=True))
            kept[row] = encoding.of_session(given)
    return kept


def numeric_columns(path: Path) -> list[str]:
    """Columns of a file that hold numbers and have no meaning of their own: what can be covariates."""
    table = _table(path)
    return [field.name for field in table.schema if field.name not in MEANINGS and _is_number(field.type)]


def _series(
    name: str,
    rows: NDArray[np.intp],
    values: NDArray[np.float64],
    flags: dict[str, NDArray[np.bool_]],
    clock: NDArray[Any] | None,
    stamps: NDArray[np.datetime64] | None,
    path: Path,
) -> Series:
    if clock is not None and (np.diff(clock[rows].astype(np.int64)) <= 0).any():
        raise DataError(
            f"{path}: series {name!r} has two rows for {_twice(clock[rows])}; keep one row per step and series"
        )
    tested = flags["test"][rows]
    if (tested[:-1] & ~tested[1:]).any():
        raise DataError(f"{path}: series {name!r} has train rows after test rows; the test part must come last")
    stamp = None if stamps is None or np.isnat(stamps[rows]).any() else stamps[rows]
    return Series(name, values[rows], flags["imputed"][rows], stamp, int(tested.sum()))


def _on_grid(series: Series, freq: str | None, path: Path) -> NDArray[np.int64] | None:
    """(T,) each row's step on the grid of `freq` from the first timestamp on; None without freq or timestamps."""
    if freq is None or series.timestamps is None:
        return None
    instants = (series.timestamps.astype(np.int64) * 1_000_000).tolist()
    points = grid(freq).anchored(instants[0])
    for instant, stamp in zip(instants, series.timestamps, strict=True):
        if not points.is_on(instant):
            raise DataError(
                f"{path}: series {series.unique_id!r} has {stamp}, which {freq} does not; give the data's own --freq"
            )
    return np.array([points.steps_between(instants[0], instant) for instant in instants])


def _without_gaps(series: Series, where: NDArray[np.int64]) -> Series:
    """Put a missing value at every step, from the first one on, that has no row; `where` (T,) is each row's step."""
    length = int(where[-1]) + 1
    if length == len(where):
        return series
    values, imputed = np.full(length, np.nan), np.zeros(length, dtype=bool)
    values[where], imputed[where] = series.values, series.imputed
    beside = series.covariates
    if beside is not None:
        whole = np.full((length, beside.shape[1]), np.nan)
        whole[where] = beside
        beside = whole
    stamps = series.timestamps
    if stamps is not None:
        seconds = np.interp(np.arange(length), where, stamps.astype(np.int64))
        stamps = seconds.astype(np.int64).astype("datetime64[s]")
    first_test = where[series.train_steps] if series.test_steps else length
    return Series(series.unique_id, values, imputed, stamps, length - int(first_test), beside, series.static)


def _table(path: Path) -> pa.Table:
    name = path.name.lower()
    if not name.endswith(FORMATS):
        raise DataError(f"{path}: unknown format; give a file that ends in {', '.join(FORMATS)}")
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path")
    try:
        if name.endswith((".csv", ".csv.gz")):
            options = pyarrow.csv.ConvertOptions(column_types={"unique_id": pa.string()}, strings_can_be_null=True)
            return pyarrow.csv.read_csv(path, convert_options=options)
        if name.endswith(".parquet"):
            return pyarrow.parquet.read_table(path)
        return pyarrow.feather.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as {path.suffix[1:]} ({error})") from error


def _identities(table: pa.Table, path: Path) -> tuple[list[str], NDArray[np.int64]]:
    if "unique_id" not in table.column_names:
        return [path.name.split(".")[0]], np.zeros(len(table), dtype=np.int64)
    column = pc.cast(table["unique_id"], pa.string()).combine_chunks()
    if column.null_count:
        raise DataError(f"{path}: column 'unique_id' is empty in {column.null_count} rows; name every row's series")
    encoded: Any = pc.dictionary_encode(column)
    return encoded.dictionary.to_pylist(), np.asarray(encoded.indices, dtype=np.int64)


def _floats(table: pa.Table, path: Path) -> NDArray[np.float64]:
    if "y" not in table.column_names:
        have = ", ".join(table.column_names)
        raise DataError(f"{path}: no column 'y'; it has {have}. Needed: unique_id, ds, y")
    return _numbers(table, "y", path)


def _numbers(table: pa.Table, name: str, path: Path) -> NDArray[np.float64]:
    column = table[name]
    if pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.int8())
    if not _is_number(column.type):
        raise DataError(f"{path}: column {name!r} is {column.type}; it must hold numbers (empty = missing)")
    numbers: Any = pc.cast(column, pa.float64())
    values = np.asarray(numbers.fill_null(np.nan), dtype=np.float64)
    if np.isinf(values).any():
        raise DataError(f"{path}: column {name!r} has infinite values; leave them empty if they are missing")
    return values


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)


def _columns(table: pa.Table, names: Sequence[str], path: Path) -> NDArray[np.float64]:
    """(rows, n): columns of covariates."""
    if lacking := [name for name in names if name not in table.column_names]:
        have = ", ".join(table.column_names)
        raise DataError(f"{path}: no column {', '.join(map(repr, lacking))}; it has {have}")
    return np.stack([_numbers(table, name, path) for name in names], axis=1) if names else np.empty((len(table), 0))


def _static(series: str, columns: NDArray[np.float64], names: Sequence[str], path: Path) -> NDArray[np.float64]:
    """(S,) the one value that each static covariate has in a series; NaN where it has none."""
    found = np.full(len(names), np.nan)
    for place, name in enumerate(names):
        values = np.unique(columns[:, place][~np.isnan(columns[:, place])])
        if len(values) > 1:
            raise DataError(f"{path}: column {name!r} changes within series {series!r}; a static one does not")
        found[place] = values[0] if len(values) else np.nan
    return found


def _flags(table: pa.Table, name: str, path: Path) -> NDArray[np.bool_]:
    if name not in table.column_names:
        return np.zeros(len(table), dtype=bool)
    column = table[name]
    if not (pa.types.is_boolean(column.type) or pa.types.is_integer(column.type)):
        raise DataError(f"{path}: column {name!r} is {column.type}; it must hold true or false")
    flags: Any = pc.cast(column, pa.bool_())
    return np.asarray(flags.fill_null(False), dtype=np.bool_)


def _steps(table: pa.Table, path: Path) -> tuple[NDArray[np.int64] | None, NDArray[np.datetime64] | None]:
    """The whole-numbered steps and the timestamps, each None where the file does not give it."""
    steps = stamps = None
    if "t" in table.column_names:
        column = table["t"]
        if not pa.types.is_integer(column.type) or column.null_count:
            raise DataError(f"{path}: column 't' must hold a whole number in every row")
        steps = np.asarray(pc.cast(column, pa.int64()), dtype=np.int64)
    if "ds" in table.column_names and table["ds"].null_count < len(table):
        stamps = _timestamps(table["ds"], path)
        if steps is None and np.isnat(stamps).any():
            raise DataError(f"{path}: column 'ds' is empty in some rows; give every row a timestamp, or a step in 't'")
    return steps, stamps


def _timestamps(column: "pa.ChunkedArray[Any]", path: Path) -> NDArray[np.datetime64]:
    if not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
        raise DataError(f"{path}: column 'ds' is {column.type}; write timestamps as 2024-01-31 or 2024-01-31T06:00:00")
    naive = pc.cast(column, pa.timestamp("s", tz=getattr(column.type, "tz", None)), safe=False)
    return np.asarray(naive.to_numpy().astype("datetime64[s]"))


def _twice(clock: NDArray[Any]) -> str:
    """The first step or time, of those in order, that comes a second time."""
    first = clock[1:][np.diff(clock.astype(np.int64)) <= 0][0]
    return f"step {first}" if np.issubdtype(clock.dtype, np.integer) else str(first)


def _asked(prefixes: Sequence[str]) -> str:
    return f" for unique_id prefixes {', '.join(prefixes)}" if prefixes else ""


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{len(names)} series: {shown}" + (" ..." if len(names) > 5 else "")
