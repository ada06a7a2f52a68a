"""The forecasts of many sessions, into a file, in flat memory."""

import io
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from hiddenstate.client import Client
from hiddenstate.files.unreadable import TableError

__all__ = ["TableError", "Written", "write_forecasts"]

FORMATS = (".parquet", ".csv", ".arrow")


class Written(NamedTuple):
    """Rows of the file, those among them that say why a session has no forecast."""

    rows: int
    refused: int


def write_forecasts(client: Client, out: Path, *, prefix: str, horizon: int, levels: Sequence[int]) -> Written:
    """Write the forecasts of all sessions whose id starts with `prefix`: unique_id, ds, cutoff, yhat, yhat-lo-80 ...

    The file appears when it is whole.

    Raises:
        TableError: it cannot be written.
        ProblemError, ServiceUnreachable: the service did not give them.
    """
    if out.suffix not in FORMATS:
        raise TableError(f"unknown format; give a file that ends in {', '.join(FORMATS)}")
    if not out.absolute().parent.is_dir():
        raise TableError(f"there is no folder {out.absolute().parent}; make it, or choose another")
    unfinished = out.with_name(out.name + ".part")
    rows = refused = 0
    try:
        answer = _Stream(client.forecast_table(prefix=prefix, horizon=horizon, levels=levels))
        with pa.ipc.open_stream(answer) as batches, _writer(unfinished, out.suffix, batches.schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
                rows += len(batch)
                refused += len(batch) - batch["problem"].null_count
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
    return Written(rows, refused)


def _writer(path: Path, suffix: str, schema: pa.Schema) -> "AbstractContextManager[Any]":
    if suffix == ".parquet":
        return pyarrow.parquet.ParquetWriter(path, schema)
    if suffix == ".csv":
        return pyarrow.csv.CSVWriter(path, schema)
    return pa.ipc.new_file(str(path), schema)


class _Stream(io.RawIOBase):
    """Pieces of bytes as a file that is read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts = [self._left]
        have = len(self._left)
        while size < 0 or have < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            parts.append(piece)
            have += len(piece)
        data = b"".join(parts)
        cut = len(data) if size < 0 else size
        self._left = data[cut:]
        return data[:cut]
