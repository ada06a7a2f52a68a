"""The answer to a batch, piece by piece, in the media type that was asked for."""

from collections import Counter
from typing import Protocol

import orjson

from service.wire.batch_outcomes import Outcomes, minimal, objects, refusal, table_rows
from service.wire.problems import ServiceError


class Writer(Protocol):
    """Writes outcomes in the order of their rows."""

    def part(self, outcomes: Outcomes) -> bytes:
        """The next outcomes."""
        ...

    def end(self, problem: ServiceError | None) -> bytes:
        """The end; with a problem, an outcome of no row that says why not all of the body was taken up."""
        ...


class JsonWriter:
    """One JSON document, with the counts of the statuses at its end."""

    def __init__(self, instance: str | None, *, is_minimal: bool) -> None:
        self._instance = instance
        self._is_minimal = is_minimal
        self._begun = False
        self._counts: Counter[int] = Counter()

    def part(self, outcomes: Outcomes) -> bytes:
        self._counts.update(outcomes.status.tolist())
        return self._listed(minimal(outcomes) if self._is_minimal else objects(outcomes, self._instance))

    def end(self, problem: ServiceError | None) -> bytes:
        last = b""
        if problem is not None:
            self._counts[problem.status] += 1
            last = self._listed([of_no_row(problem, self._instance, is_minimal=self._is_minimal)])
        counts = {str(status): count for status, count in sorted(self._counts.items())}
        begin = b"" if self._begun else b'{"outcomes":['
        return b'%b%b],"counts":%b}' % (begin, last, orjson.dumps(counts))

    def _listed(self, written: list[bytes]) -> bytes:
        begin = b"," if self._begun else b'{"outcomes":['
        self._begun = True
        return begin + b",".join(written)


class LinesWriter:
    """JSON Lines: objects for rows that were objects, table rows for table rows."""

    def __init__(self, instance: str | None, *, is_minimal: bool) -> None:
        self._instance = instance
        self._is_minimal = is_minimal
        self._tabular = True

    def part(self, outcomes: Outcomes) -> bytes:
        tabular = outcomes.rows.tabular
        self._tabular = tabular[-1]
        if self._is_minimal:
            written = minimal(outcomes)
        elif all(tabular):
            written = table_rows(outcomes)
        elif not any(tabular):
            written = objects(outcomes, self._instance)
        else:
            pairs = zip(table_rows(outcomes), objects(outcomes, self._instance), tabular, strict=True)
            written = [flat if is_flat else nested for flat, nested, is_flat in pairs]
        return b"\n".join(written) + b"\n"

    def end(self, problem: ServiceError | None) -> bytes:
        if problem is None:
            return b""
        is_flat = self._tabular or self._is_minimal
        return of_no_row(problem, self._instance, is_minimal=is_flat) + b"\n"


def of_no_row(problem: ServiceError, instance: str | None, *, is_minimal: bool) -> bytes:
    """The outcome that ends a batch of which not all was taken up."""
    said: dict[str, object] = {"row": None, "status": problem.status, "replayed": False}
    if is_minimal:
        said |= {"step": None, **refusal(problem, tabular=True)}
    else:
        said |= {"advance": None, "problem": problem.body(instance)}
    return orjson.dumps(said)
