"""Why a file of series cannot be read, in the words of whoever made it: its columns, lines and separator."""

import csv
import gzip
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from models.tables import separator

NEEDED = "needed are the columns unique_id, ds, y with commas between them"
LOOKED_AT_BYTES = 4096
OTHER_VALUE = re.compile(r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error to (\w+): invalid value '(.*)'")
OTHER_COUNT = re.compile(r"CSV parse error: (?:Row #\d+: )?Expected (\d+) columns, got (\d+)")


class TableError(ValueError):
    """A file that cannot be used; the message says why, and after a semicolon what to do about it."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Tell what Arrow cannot read as a TableError."""
    try:
        yield
    except TableError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        text = str(error).partition("\n")[0]
        of_text = path.name.lower().endswith((".csv", ".csv.gz"))
        raise TableError(f"{path}: {_of_csv(path, text) if of_text else _of_binary(path, text)}") from error


def separated_otherwise(path: Path) -> str | None:
    """What stands between the columns of a CSV file, and what to do, where that is no comma."""
    name = separator(path)
    if name is None:
        return None
    return (
        f"its columns are separated by {name}, not by commas; "
        "write it with commas, and with points in the numbers, where it comes from"
    )


def _of_csv(path: Path, text: str) -> str:
    if _is_binary(path):
        return "it is no text, whatever its name says; give a CSV file, or its right name (.parquet, .arrow)"
    if otherwise := separated_otherwise(path):
        return otherwise
    if value := OTHER_VALUE.search(text):
        return _other_value(path, int(value[1]), value[3])
    if count := OTHER_COUNT.search(text):
        return _other_count(path, int(count[1]), int(count[2]))
    if "Empty CSV" in text:
        return f"it has no rows; {NEEDED}"
    return f"it cannot be read ({_plain(text)}); {NEEDED}"


def _of_binary(path: Path, text: str) -> str:
    kind = "Parquet" if path.suffix.lower() == ".parquet" else "Arrow"
    return f"it is no whole {kind} file ({_plain(text)}); write it again, or give it the ending of what it is"


def _other_value(path: Path, column: int, value: str) -> str:
    header, *_ = _lines(path, 1)
    name = header[1][column] if column < len(header[1]) else f"number {column + 1}"
    found = (line for line, cells in _lines(path) if line > 1 and cells[column : column + 1] == [value])
    where = next((f"line {line}" for line in found), "some line")
    return (
        f"column {name} has {_plain(value)!r} in {where}, which is no number; "
        "write numbers with a point, and leave a missing value empty"
    )


def _other_count(path: Path, expected: int, got: int) -> str:
    found = (line for line, cells in _lines(path) if cells and len(cells) != expected)
    where = next((f"line {line}" for line in found), "some line")
    return f"{where} has {got} columns and the first line {expected}; a decimal comma may be one too many: write points"


def _lines(path: Path, most: int | None = None) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file with the number of the line on which each ends, from 1 on."""
    with _opened(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="") as text:
        reader = csv.reader(text)
        for number, cells in enumerate(reader):
            if number == most:
                return
            yield reader.line_num, cells


def _is_binary(path: Path) -> bool:
    with _opened(path) as raw:
        return b"\0" in raw.read(LOOKED_AT_BYTES)


def _opened(path: Path) -> "io.BufferedReader | gzip.GzipFile":
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")


def _plain(text: str) -> str:
    """What can be printed, without the mark between a reason and its cure."""
    return "".join(sign if sign.isprintable() else "?" for sign in text).replace(";", ",")
