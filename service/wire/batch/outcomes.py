"""What became of the rows of a batch, and how it is written: objects, table rows, or columns."""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy

import numpy as np
import orjson
from numpy.typing import NDArray

from models.dates.grid import Grid
from service.storage.answers import Answer, Label
from service.storage.layout import NO_TIME, QUANTILES, Structured
from service.wire import render
from service.wire.batch import rendering as batch_rendering
from service.wire.batch.parsing import in_table_terms
from service.wire.batch.rows import Rows
from service.wire.problems import ServiceError
from service.wire.tables import MEDIAN_FIRST, YHAT

OPEN = 0
"""Status of a row that is not settled yet."""


class Answers:
    """The numbers of answers, of which each has a place."""

    def __init__(self) -> None:
        self._arrays: list[Structured] = []
        self._count = 0

    def add(self, outcomes: Structured) -> int:
        """Returns the place of the first one; the others follow it."""
        self._arrays.append(outcomes)
        self._count += len(outcomes)
        return self._count - len(outcomes)

    def at(self, places: NDArray[np.int64]) -> Structured:
        """(n,) those at these places."""
        if len(self._arrays) > 1:
            self._arrays = [np.concatenate(self._arrays)]
        outcomes: Structured = self._arrays[0].take(places)
        return outcomes


class Outcomes:
    """One outcome of each row, as columns.

    Attributes:
        status: (n,) HTTP statuses; OPEN = not settled.
        step, revision, incarnation, time, cutoff, forecast: of the answers; `time` is that of the step forecast for.
        labels: of sessions; `label` (n,) says which of them is that of each answer, -1 = there is none.
    """

    def __init__(self, rows: Rows) -> None:
        count = len(rows)
        self.rows = rows
        self.status = np.zeros(count, np.int16)
        self.replayed = np.zeros(count, bool)
        self.step = np.zeros(count, np.int64)
        self.revision = np.zeros(count, np.int64)
        self.incarnation = np.zeros((count, 8), np.uint8)
        self.time = np.full(count, NO_TIME)
        self.cutoff = np.full(count, NO_TIME)
        self.forecast = np.full((count, len(QUANTILES)), np.nan)
        self.labels: list[Label] = []
        self.label = np.full(count, -1)
        self.problems: dict[int, ServiceError] = {}
        self._bodies: dict[int, bytes] = {}
        self._answers = Answers()
        self._place = np.full(count, -1)
        for row, problem in rows.refused.items():
            self.refuse(row, problem)

    def refuse(self, row: int, problem: ServiceError) -> None:
        """This row was refused."""
        self.status[row], self.problems[row] = problem.status, problem

    def put(self, row: int, status: int, body: bytes, told: tuple[Label, Answer], *, replayed: bool) -> None:
        """The answer to this row, as it was given to a single observation."""
        label, answer = told
        self.status[row], self.replayed[row], self.label[row] = status, replayed, len(self.labels)
        self.labels.append(label)
        self.step[row], self.revision[row] = answer.step, answer.revision
        self.incarnation[row] = np.frombuffer(answer.incarnation, np.uint8)
        self.time[row], self.cutoff[row] = answer.forecast_time, answer.observed.timestamp
        self.forecast[row] = answer.forecast
        self._bodies[row] = body

    def put_many(
        self,
        rows: NDArray[np.int64],
        labels: Sequence[Label],
        owners: NDArray[np.int64],
        outcomes: Structured,
        *,
        replayed: bool,
    ) -> None:
        """The answers (n,) to these rows (n,), of which none is a correction.

        Args:
            owners: (n,) whose of the labels each is.
        """
        self.status[rows], self.replayed[rows] = outcomes["status"], replayed
        self.step[rows], self.revision[rows] = outcomes["step"], outcomes["revision"]
        self.incarnation[rows] = outcomes["incarnation"]
        self.time[rows], self.cutoff[rows] = outcomes["forecast_time"], outcomes["observed"]["timestamp"]
        self.forecast[rows] = outcomes["forecast"]
        self.label[rows] = owners + len(self.labels)
        self.labels += labels
        self._place[rows] = self._answers.add(outcomes) + np.arange(len(rows))

    def parts(self, size: int) -> "Iterator[Outcomes]":
        """The same outcomes, so many at a time."""
        for at in range(0, len(self.status), size):
            yield self._part(slice(at, min(at + size, len(self.status))))

    def _part(self, part: slice) -> "Outcomes":
        outcomes = copy(self)
        outcomes.rows = self.rows.part(part)
        for name in COLUMNS:
            setattr(outcomes, name, getattr(self, name)[part])
        outcomes.problems = {row - part.start: self.problems[row] for row in _within(self.problems, part)}
        outcomes._bodies = {row - part.start: self._bodies[row] for row in _within(self._bodies, part)}
        return outcomes

    def bodies(self) -> dict[int, bytes]:
        """The Advance of each row that was not refused."""
        rows = np.flatnonzero(self._place >= 0)
        if len(rows):
            labels = [self.labels[label] for label in self.label[rows].tolist()]
            written = batch_rendering.advances(labels, self._answers.at(self._place[rows]))
            self._bodies.update(zip(rows.tolist(), written, strict=True))
        return self._bodies


COLUMNS = (
    *("status", "replayed", "step", "revision", "incarnation", "time", "cutoff", "forecast", "label", "_place"),
)


def _within(rows: Mapping[int, object], part: slice) -> list[int]:
    return [row for row in range(part.start, part.stop) if row in rows] if rows else []


def objects(outcomes: Outcomes, instance: str | None) -> list[bytes]:
    """One JSON object of each row, with its whole Advance or Problem."""
    status, replayed = outcomes.status.tolist(), outcomes.replayed.tolist()
    bodies, problems = outcomes.bodies(), outcomes.problems
    written = []
    for row, number in enumerate(range(outcomes.rows.first, outcomes.rows.first + len(status))):
        body = bodies.get(row, b"null")
        problem = problems[row].render(instance) if row in problems else b"null"
        again = b"true" if replayed[row] else b"false"
        written.append(
            b'{"row":%d,"status":%d,"replayed":%b,"advance":%b,"problem":%b}'
            % (number, status[row], again, body, problem)
        )
    return written


def minimal(outcomes: Outcomes) -> list[bytes]:
    """One JSON object of each row that says no more than whether it was taken."""
    first, problems, tabular = outcomes.rows.first, outcomes.problems, outcomes.rows.tabular.tolist()
    status, replayed, step = outcomes.status.tolist(), outcomes.replayed.tolist(), outcomes.step.tolist()
    written = []
    for row in range(len(status)):
        if row in problems:
            stands = step_of(problems[row])
            said = {"row": first + row, "status": status[row], "replayed": False, "step": stands}
            written.append(orjson.dumps(said | refusal(problems[row], tabular=tabular[row])))
        else:
            again = b"true" if replayed[row] else b"false"
            written.append(
                b'{"row":%d,"status":%d,"replayed":%b,"step":%d,"problem":null,"detail":null}'
                % (first + row, status[row], again, step[row])
            )
    return written


def table_rows(outcomes: Outcomes) -> list[bytes]:
    """One flat JSON object of each row."""
    rows, problems = outcomes.rows, outcomes.problems
    numbers = zip(
        range(rows.first, rows.first + len(rows)),
        outcomes.status.tolist(),
        outcomes.replayed.tolist(),
        [rows.names[session] for session in rows.sessions.tolist()],
        outcomes.step.tolist(),
        etags(outcomes),
        *times(outcomes),
        outcomes.forecast[:, MEDIAN_FIRST].tolist(),
        strict=True,
    )
    written = []
    for row, (number, status, again, session, step, etag, ds, cutoff, forecast) in enumerate(numbers):
        problem = problems.get(row)
        said: render.Json = {
            "row": number,
            "status": status,
            "replayed": again,
            "unique_id": session or None,
            "step": step if problem is None else step_of(problem),
            "etag": etag,
            "ds": ds,
            "cutoff": cutoff,
        }
        said.update(zip(YHAT, forecast, strict=True))  # NaN is written as null
        said.update(NO_REFUSAL if problem is None else refusal(problem, tabular=True))
        written.append(orjson.dumps(said))
    return written


def etags(outcomes: Outcomes) -> list[str | None]:
    """(n,) of the sessions after each row; None where it was refused."""
    lives, revisions = outcomes.incarnation.tobytes().hex(), outcomes.revision.tolist()
    return [
        f"{lives[16 * row : 16 * row + 16]}-{revision}" if revision else None for row, revision in enumerate(revisions)
    ]


def times(outcomes: Outcomes) -> tuple[list[str | int | None], list[str | int | None]]:
    """(n,) the time forecast for, and the last observed one: text, or the step where steps are counted."""
    steps, labels = outcomes.step.tolist(), outcomes.label.tolist()
    grids = [outcomes.labels[label].grid if label >= 0 else None for label in labels]
    return (
        _times(labels, grids, outcomes.time.tolist(), [step + 1 for step in steps]),
        _times(labels, grids, outcomes.cutoff.tolist(), steps),
    )


def _times(
    labels: Sequence[int], grids: Sequence[Grid | None], instants: Sequence[int], steps: Sequence[int]
) -> list[str | int | None]:
    return [
        None if label < 0 else step if grid is None else render.written(grid, instant)
        for label, grid, instant, step in zip(labels, grids, instants, steps, strict=True)
    ]


def step_of(problem: ServiceError) -> int | None:
    """Where the session stands that refused a row, if that is known."""
    return None if problem.at is None else problem.at.step


NO_REFUSAL = {"problem": None, "detail": None}


def refusal(problem: ServiceError, *, tabular: bool) -> dict[str, str]:
    """A problem in two texts: its slug, and what was wrong."""
    return {"problem": problem.slug, "detail": in_table_terms(problem) if tabular else problem.detail}
