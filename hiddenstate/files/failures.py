"""The rows that were refused, as a CSV table beside the file they come from: mended, it is pushed like any other."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

COLUMNS = ("unique_id", "ds", "y")
REASONS = ("problem", "detail")


class Refused(NamedTuple):
    """A row, and why it was refused.

    Attributes:
        ds: its timestamp as it was sent, or its step.
        y: None = missing.
        problem: the problem's slug.
    """

    unique_id: str
    ds: str | int
    y: float | None
    covariates: Sequence[float | None]
    problem: str
    detail: str


class Failures:
    """Writes refused rows to `<path>`, in the order in which they are told.

    While rows still come it is `<path>.part`, which a run that was interrupted leaves behind: the next one adds to it
    what it does not hold yet. At the end it takes its name, or is removed where nothing was refused.

    Args:
        covariates: names of the covariate columns.
    """

    def __init__(self, path: Path, covariates: Sequence[str] = ()) -> None:
        self.path = path
        self._unfinished = path.with_name(path.name + ".part")
        self._header = (*COLUMNS, *covariates, *REASONS)
        self._known = self._left_behind()
        self._file = self._unfinished.open("a" if self._known else "w", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file)
        if not self._known:
            self._writer.writerow(self._header)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if error is None:
            self._unfinished.replace(self.path)
            if not self._known:
                self.path.unlink()
        elif not self._known:
            self._unfinished.unlink()

    def __len__(self) -> int:
        return len(self._known)

    def add(self, rows: Iterable[Refused]) -> None:
        """Write down those that are not yet, so that a kill does not lose them."""
        for row in rows:
            key = (row.unique_id, str(row.ds), row.problem)
            if key not in self._known:
                self._known.add(key)
                covariates = ["" if number is None else repr(number) for number in row.covariates]
                y = "" if row.y is None else repr(row.y)
                self._writer.writerow([row.unique_id, row.ds, y, *covariates, row.problem, row.detail])
        self._file.flush()

    def _left_behind(self) -> set[tuple[str, str, str]]:
        """What an interrupted run wrote, its last line left out if that is cut."""
        try:
            text = self._unfinished.read_text(encoding="utf-8")
        except FileNotFoundError:
            return set()
        whole = text[: text.rfind("\n") + 1]
        self._unfinished.write_text(whole, encoding="utf-8")
        rows = csv.DictReader(io.StringIO(whole))
        if tuple(rows.fieldnames or ()) != self._header:
            return set()
        return {(row["unique_id"], row["ds"], row["problem"]) for row in rows}
