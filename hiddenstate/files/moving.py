"""The states of many sessions in a file, one document a line: written from a service, and put into one."""

import csv
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TextIO, TypeVar

from hiddenstate.client import Client
from hiddenstate.errors import ProblemError

CONNECTIONS = 8
REASONS = ("session", "line", "problem", "detail")


ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")


class Moved(NamedTuple):
    """How many sessions were written or put, and how many were refused."""

    done: int
    refused: int


class Refusals:
    """Writes to a CSV file why sessions were left out; without any there is no file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self.path.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def add(self, session: str, line: int | None, problem: str, detail: str) -> None:
        if self.count == 0:
            self._file = self._open.enter_context(self.path.open("w", newline="", encoding="utf-8"))
            csv.writer(self._file).writerow(REASONS)
        self.count += 1
        csv.writer(self._file).writerow((session, line, problem, detail))
        self._file.flush()


def export_states(
    client: Client, sessions: Iterable[str], out: TextIO, refusals: Refusals, done: Callable[[int], None]
) -> Moved:
    """Write the states of sessions, in their order. One that is gone meanwhile, or damaged, is refused.

    Args:
        done: is told numbers of sessions that were worked off.
    Raises:
        ProblemError, ServiceUnreachable: the service gives no more; those written stay.
    """
    count = 0
    for session, state in side_by_side(lambda session: refused_or(client.state, session), sessions):
        if isinstance(state, ProblemError):
            refusals.add(session, None, state.slug, state.detail)
        else:
            out.write(json.dumps(state.members, separators=(",", ":"), ensure_ascii=False) + "\n")
            count += 1
        done(1)
    out.flush()
    return Moved(count, refusals.count)


def written_before(unfinished: Path) -> set[str]:
    """The sessions that an interrupted export has written; a line that was cut is taken off."""
    if not unfinished.exists():
        return set()
    found = set()
    with unfinished.open("r+b") as file:
        whole = 0
        for line in file:
            if not line.endswith(b"\n"):
                break
            found.add(str(json.loads(line)["session"]["session"]))
            whole += len(line)
        file.truncate(whole)
    return found


def import_states(
    client: Client, lines: Iterable[str], refusals: Refusals, done: Callable[[int], None]
) -> Moved:
    """Put each state of a file into the service, under the session's own id. Those that are there already stay.

    Raises:
        ServiceUnreachable, or a ProblemError that is retryable: the same again goes on.
    """
    count = 0
    for (number, _), (session, problem) in side_by_side(lambda line: _put(client, line[1]), _numbered(lines)):
        if problem is None:
            count += 1
        else:
            refusals.add(session, number, problem.slug, problem.detail)
        done(1)
    return Moved(count, refusals.count)


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def _put(client: Client, line: str) -> tuple[str, ProblemError | None]:
    """Put the state of a line; its session, and why it was refused."""
    try:
        document = json.loads(line)
        session = str(document["session"]["session"])
    except (ValueError, TypeError, KeyError):
        return "", _unreadable()
    refused = refused_or(lambda name: client.put_state(name, document), session)
    return session, refused if isinstance(refused, ProblemError) else None


def _unreadable() -> ProblemError:
    detail = "the line is no state, or is cut; export the session again"
    return ProblemError(400, {"type": "/problems/malformed-request", "title": "Malformed line", "detail": detail})


def refused_or(call: Callable[[str], AnswerT], session: str) -> AnswerT | ProblemError:
    """The answer, or the refusal of this one session. Raises what concerns all of them."""
    try:
        return call(session)
    except ProblemError as problem:
        if problem.retryable or problem.status in (401, 403):
            raise
        return problem


def side_by_side(
    call: Callable[[ItemT], AnswerT], items: Iterable[ItemT]
) -> Iterator[tuple[ItemT, AnswerT]]:
    """What a call gives for each item, in their order, on some connections at once; few items are held at a time."""
    pool = ThreadPoolExecutor(CONNECTIONS)
    asked: deque[tuple[ItemT, Future[AnswerT]]] = deque()
    try:
        for item in items:
            asked.append((item, pool.submit(call, item)))
            if len(asked) >= 2 * CONNECTIONS:
                first, answer = asked.popleft()
                yield first, answer.result()
        while asked:
            first, answer = asked.popleft()
            yield first, answer.result()
    finally:
        pool.shutdown(cancel_futures=True)
