"""Tables from data files, as CSV, Parquet or Arrow, and their columns of numbers and flags."""

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
from numpy.typing import NDArray

FORMATS = (".csv", ".csv.gz", ".parquet", ".arrow", ".feather")

NEEDED = "give a file with the columns unique_id, ds, y; see 'Your own model' in README.md"
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""Other than the comma, that CSV files come with."""

HEADER_BYTES = 65_536
LISTED = 8
"""Columns that a message names."""


class DataError(ValueError):
    """A data file that cannot be used.

    Args:
        why: what is wrong with which file.
        cure: what to do about it.
    """

    def __init__(self, why: str, cure: str = NEEDED) -> None:
        super().__init__(f"{why}; {cure}")
        self.why, self.cure = why, cure


def table(path: Path) -> pa.Table:
    """All columns of a file in one of FORMATS, with at least one row.

    Raises:
        DataError: it cannot be read.
    """
    name = path.name.lower()
    if not name.endswith(FORMATS):
        raise DataError(f"{path}: unknown format", f"give a file that ends in {', '.join(FORMATS)}")
    if not path.is_file():
        raise DataError(f"{path}: no such file", "check the path")
    try:
        read = _csv(path) if name.endswith((".csv", ".csv.gz")) else _binary(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as {path.suffix[1:]} ({error})") from error
    if len(read) == 0:
        raise DataError(f"{path}: it has a header and no rows", "give one row for each step of each series")
    return read


def _csv(path: Path) -> pa.Table:
    if separated := separator(path):
        cure = "write it with commas, and with points in the numbers"
        raise DataError(f"{path}: its columns are separated by {separated}, not by commas", cure)
    options = pyarrow.csv.ConvertOptions(column_types={"unique_id": pa.string()}, strings_can_be_null=True)
    return pyarrow.csv.read_csv(path, convert_options=options)


def _binary(path: Path) -> pa.Table:
    if path.suffix.lower() == ".parquet":
        return pyarrow.parquet.read_table(path)
    return pyarrow.feather.read_table(path)


def separator(path: Path) -> str | None:
    """What stands between the columns of a CSV file, in words, where it is not the comma."""
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as raw:
        header = raw.readline(HEADER_BYTES).decode(errors="replace")
    return next((name for sign, name in SEPARATORS.items() if sign in header and "," not in header), None)


def values(read: pa.Table, path: Path) -> NDArray[np.float64]:
    """The column y."""
    if "y" in read.column_names:
        return numbers(read, "y", path)
    have = ", ".join(read.column_names[:LISTED]) + (" ..." if read.num_columns > LISTED else "")
    cure = "name the columns unique_id, ds, y: the series, the time, the value"
    of_series = [field.name for field in read.schema if is_number(field.type)]
    if "unique_id" not in read.column_names and len(of_series) > 1:
        first = next((name for name in read.column_names if name not in of_series), "ds")
        renamed = "" if first == "ds" else f".rename(columns={{{first!r}: 'ds'}})"
        cure += (
            f"; where each column of numbers is a series, make one row of each value: pandas.read_csv({path.name!r})"
            f"{renamed}.melt('ds', var_name='unique_id', value_name='y').to_csv('long.csv', index=False)"
        )
    raise DataError(f"{path}: no column 'y'; it has {have}", cure)


def numbers(read: pa.Table, name: str, path: Path) -> NDArray[np.float64]:
    """A column of numbers; NaN where it is empty."""
    column = read[name]
    if pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.int8())
    if not is_number(column.type):
        raise DataError(f"{path}: column {name!r} is {column.type}", "it must hold numbers (empty = missing)")
    doubles: Any = pc.cast(column, pa.float64())
    found = np.asarray(doubles.fill_null(np.nan), dtype=np.float64)
    if np.isinf(found).any():
        raise DataError(f"{path}: column {name!r} has infinite values", "leave them empty if they are missing")
    return found


def is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)


def flags(read: pa.Table, name: str, path: Path) -> NDArray[np.bool_]:
    """A column of true and false; false where it is empty, or is not there."""
    if name not in read.column_names:
        return np.zeros(len(read), dtype=bool)
    column = read[name]
    if not (pa.types.is_boolean(column.type) or pa.types.is_integer(column.type)):
        raise DataError(f"{path}: column {name!r} is {column.type}", "it must hold true or false")
    found: Any = pc.cast(column, pa.bool_())
    return np.asarray(found.fill_null(False), dtype=np.bool_)


def columns(read: pa.Table, names: Sequence[str], path: Path) -> NDArray[np.float64]:
    """(rows, n): columns of covariates."""
    if lacking := [name for name in names if name not in read.column_names]:
        have = ", ".join(read.column_names)
        raise DataError(f"{path}: no column {', '.join(map(repr, lacking))}; it has {have}", "name columns that it has")
    return np.stack([numbers(read, name, path) for name in names], axis=1) if names else np.empty((len(read), 0))
