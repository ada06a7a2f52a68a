"""The body of a batch as it comes, in pieces: lines and their rows."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from service.wire.batch.parsing import LINE_LIMIT, of_lines
from service.wire.batch.rows import BLOCK, Rows


class Reader(Protocol):
    """Takes a body piece by piece and gives its rows, as soon as they are whole."""

    def feed(self, piece: bytes) -> Iterator[Rows]:
        """The rows that this piece ends. Raises ServiceError: what follows cannot be read."""
        ...

    def end(self) -> Iterator[Rows]:
        """The rows that the end of the body ends. Raises ServiceError: it ends too early."""
        ...


class Lines(Protocol):
    """Reads lines, of which `first` is the number of the first one."""

    def __call__(self, first: int, lines: Sequence[bytes], *, tabular: bool) -> Rows: ...


class LinesReader:
    """JSON Lines.

    Args:
        skips_blank: whether a blank line is none; else it is one that cannot be read.
    """

    def __init__(self, rows: Lines = of_lines, *, skips_blank: bool = True) -> None:
        self._read = rows
        self._skips_blank = skips_blank
        self._rest = b""
        self._count = 0
        self._tabular = True

    def feed(self, piece: bytes) -> Iterator[Rows]:
        *lines, rest = (self._rest + piece).split(b"\n")
        self._rest = rest[: LINE_LIMIT + 1]  # enough to see that it is too long
        yield from self._rows(lines)

    def end(self) -> Iterator[Rows]:
        lines, self._rest = [self._rest] if self._rest else [], b""
        yield from self._rows(lines)

    def _rows(self, lines: list[bytes]) -> Iterator[Rows]:
        if self._skips_blank:
            lines = [line for line in lines if line and not line.isspace()]
        for at in range(0, len(lines), BLOCK):
            rows = self._read(self._count, lines[at : at + BLOCK], tabular=self._tabular)
            self._count += len(rows)
            self._tabular = bool(rows.tabular[-1])
            yield rows
