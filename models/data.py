"""Series from files: CSV, Parquet or Arrow with the columns `unique_id, ds, y`.

Long format, one row per step. Columns:

    unique_id   name of the series (may be absent: then the file is one series, named after the file)
    ds          timestamp of the step (may be absent or empty); a whole number is a step, as in `t`
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
from numpy.typing import NDArray

from models import tables
from models.covariates import Covariates, Encoding
from models.dates.calendar import CALENDAR, features
from models.dates.detection import detect
from models.tables import DataError as DataError
from models.times import UTC, Stamps, Steps, grid_of, on_grid, steps_and_instants, twice, walls

MEANINGS = ("unique_id", "ds", "t", "y", "imputed", "test")
"""Columns with a meaning of their own."""

LEAST_TRAINED = 4
"""At most one step in so many is tested on where the file marks no test part."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series, oldest value first.

    Attributes:
        values: (T,) float64, NaN where missing.
        imputed: (T,) bool, true where the value was filled in by whoever made the file.
        timestamps: (T,) datetime64[s], on the clock of the zone that the file was read in; None where it gives none.
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
    timezone: str = UTC,
    prefixes: Sequence[str] = (),
    test: bool = False,
    test_steps: int = 0,
    covariates: Covariates | None = None,
) -> list[Series]:
    """Read the series of one file, in the order in which they first appear.

    Args:
        path: a file in one of `tables.FORMATS`.
        freq: frequency of the series: timestamps that it has and the file lacks are missing values. Not used where the
            file counts steps; None takes the rows as they follow each other.
        timezone: in which days begin, and timestamps without an offset are read.
        prefixes: keep only series whose `unique_id` up to its first dot is one of these; empty keeps all.
        test: also read the rows whose `test` is true (for scoring, never for fitting).
        test_steps: the last steps of each series that are its test part where the file marks none; at most a quarter.
        covariates: names of columns to read beside the values; a static one has one value in each series.
    Raises:
        DataError: no such file, unknown format, columns absent or of the wrong type, steps out of order.
    """
    points = None if freq is None else grid_of(freq, timezone)
    table = tables.table(path)
    names, codes = _identities(table, path)
    values = tables.values(table, path)
    flags = {name: tables.flags(table, name, path) for name in ("imputed", "test")}
    beside = tables.columns(table, covariates.observed, path) if covariates else None
    fixed = tables.columns(table, covariates.static, path) if covariates else None
    steps, stamps = steps_and_instants(table, path, timezone)
    clock = steps if steps is not None else stamps
    wanted = np.array([not prefixes or name.split(".")[0] in prefixes for name in names], dtype=bool)
    if not (wanted[codes] & (test | ~flags["test"])).any():
        why = f"{path}: no rows left to read{_asked(prefixes)}; it has {some(names)}"
        raise DataError(why, "choose others of these, or leave some rows without test = true")
    series = []
    for part in _parts(np.flatnonzero(wanted[codes]), codes, clock):
        one = _series(names[codes[part[0]]], part, values, flags, clock, stamps, path)
        if covariates and beside is not None and fixed is not None:
            static = _static(one.unique_id, fixed[part], covariates.static, path)
            one = replace(one, covariates=beside[part], static=static)
        if steps is not None:
            one = _without_gaps(one, steps[part] - steps[part[0]], None)
        elif points is not None and one.timestamps is not None:
            one = _without_gaps(one, *on_grid(one.unique_id, one.timestamps, points, path))
        if one.timestamps is not None:
            one = replace(one, timestamps=walls(one.timestamps, timezone))
        if test_steps and not flags["test"].any():
            one = replace(one, test_steps=min(test_steps, len(one) // LEAST_TRAINED))
        if test or one.train_steps:
            series.append(one if test else one.head(one.train_steps))
    return series


def freq_of(path: Path, timezone: str = UTC) -> str | None:
    """The frequency of most of a file's timestamps; None where it has none.

    Raises:
        DataError: it cannot be read, or its timestamps follow none that is known.
    """
    grid_of("D", timezone)
    table = tables.table(path)
    _, codes = _identities(table, path)
    steps, stamps = steps_and_instants(table, path, timezone)
    if stamps is None:
        return None
    shown = walls(stamps, timezone)
    dated = np.flatnonzero(~np.isnat(stamps))
    found = detect([shown[part] for part in _parts(dated, codes, stamps)])
    if found is None and steps is None:
        raise DataError(f"{path}: its times have no frequency that can be told", "give it, such as --freq 15min")
    return found


def _parts(
    rows: NDArray[np.intp], codes: NDArray[np.int64], clock: Stamps | Steps | None
) -> list[NDArray[np.intp]]:
    """The rows of each series, in order."""
    order = np.lexsort((clock[rows], codes[rows])) if clock is not None else np.argsort(codes[rows], kind="stable")
    rows = rows[order]
    return np.split(rows, np.flatnonzero(np.diff(codes[rows])) + 1)


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
    schema = tables.table(path).schema
    return [field.name for field in schema if field.name not in MEANINGS and tables.is_number(field.type)]


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
        why = f"{path}: series {name!r} has two rows for {twice(clock[rows])}"
        raise DataError(why, "keep one row per step and series")
    tested = flags["test"][rows]
    if (tested[:-1] & ~tested[1:]).any():
        raise DataError(f"{path}: series {name!r} has train rows after test rows", "the test part must come last")
    stamp = None if stamps is None or np.isnat(stamps[rows]).any() else stamps[rows]
    return Series(name, values[rows], flags["imputed"][rows], stamp, int(tested.sum()))


def _identities(table: pa.Table, path: Path) -> tuple[list[str], NDArray[np.int64]]:
    if "unique_id" not in table.column_names:
        return [path.name.split(".")[0]], np.zeros(len(table), dtype=np.int64)
    column = pc.cast(table["unique_id"], pa.string()).combine_chunks()
    if column.null_count:
        raise DataError(f"{path}: column 'unique_id' is empty in {column.null_count} rows", "name every row's series")
    encoded: Any = pc.dictionary_encode(column)
    return encoded.dictionary.to_pylist(), np.asarray(encoded.indices, dtype=np.int64)


def _without_gaps(series: Series, where: Steps, stamps: Stamps | None) -> Series:
    """Put a missing value at every step, from the first one on, that has no row.

    Args:
        where: (T,) each row's step.
        stamps: (T',) the time of every step, where a grid says it; else they are interpolated.
    """
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
    if stamps is None and series.timestamps is not None:
        seconds = np.interp(np.arange(length), where, series.timestamps.astype(np.int64))
        stamps = seconds.astype(np.int64).astype("datetime64[s]")
    first_test = where[series.train_steps] if series.test_steps else length
    return Series(series.unique_id, values, imputed, stamps, length - int(first_test), beside, series.static)


def _static(series: str, columns: NDArray[np.float64], names: Sequence[str], path: Path) -> NDArray[np.float64]:
    """(S,) the one value that each static covariate has in a series; NaN where it has none."""
    found = np.full(len(names), np.nan)
    for place, name in enumerate(names):
        values = np.unique(columns[:, place][~np.isnan(columns[:, place])])
        if len(values) > 1:
            raise DataError(f"{path}: column {name!r} changes within series {series!r}", "a static one does not")
        found[place] = values[0] if len(values) else np.nan
    return found


def _asked(prefixes: Sequence[str]) -> str:
    return f" for unique_id prefixes {', '.join(prefixes)}" if prefixes else ""


def some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{len(names)} series: {shown}" + (" ..." if len(names) > 5 else "")
