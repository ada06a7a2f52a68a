"""Rows over one connection after another: which are under way, which are sent again, and what their outcomes mean.

Neither network nor clock nor lock is touched here, so that threads and tasks stream in the same way.

The service knows the last eight idempotency keys of a session, so no more rows of one session are ever under way. Each
has a key of its own that it keeps: when a connection ends, all that has no outcome is sent again over the next one, in
its order, and what had been applied is found to have been.
"""

import json
import logging
import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlencode

import httpx2
from websockets.exceptions import InvalidStatus, WebSocketException

from hiddenstate.answers.answer import NotAnAnswer
from hiddenstate.answers.batches import BatchOutcome
from hiddenstate.errors import HiddenstateError, ServiceUnreachable, StreamInterrupted
from hiddenstate.sending.exchange import ATTEMPTS, LONGEST_WAIT_S, Lost, backoff_s, dumped, failure, new_key
from hiddenstate.sending.shapes import BatchObservation

OF_ONE_SESSION: Final = 8
"""Rows of one session that are under way at once."""
ROWS: Final = 1024
LINE_BYTES: Final = 2**20
"""Rows, and bytes of their lines, that are under way at once: the service takes in as much without an outcome read."""
PATIENCE_S: Final = 60.0
"""For so long nothing has to be settled until the stream gives up."""
LONGEST_BACKOFF: Final = 6
QUIET = logging.getLogger("hiddenstate.websockets")
"""What ends a connection is dealt with here; the library also logs some of it, such as bytes after its end."""
QUIET.setLevel(logging.CRITICAL)
CONNECTION: Final[dict[str, Any]] = {"compression": None, "close_timeout": 1.0, "max_size": None, "logger": QUIET}
"""Of every connection: outcomes are short, and what is lost is sent again."""
BROKEN: Final = (OSError, WebSocketException)
"""What a connection ends with, or does not begin."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One row that was handed over: its number, and the line that it is sent as, always the same."""

    number: int
    sent: BatchObservation
    line: str

    @property
    def session(self) -> str:
        return self.sent["session"]


class Streaming:
    """One stream.

    Args:
        query: of the connection: what to create sessions with, and what another value for a known time does.
        key: the keys of rows that have none begin with it; None = one that was never used.
        url: of the service.
    """

    def __init__(self, query: Mapping[str, str], key: str | None, url: str) -> None:
        self._url = url
        self._query = query
        self._prefix = key or new_key()
        self._count = 0
        self._under_way: deque[_Row] = deque()
        self._refused: list[_Row] = []
        self._answered = 0
        self._of_session: Counter[str] = Counter()
        self._bytes = 0
        self.was_connected = False
        self.has_ended = False
        """Whether no more rows will be added."""
        self._trouble: HiddenstateError | None = None
        self._since_s = math.inf
        self._attempt = 0

    @property
    def address(self) -> str:
        """Of the connection."""
        return f"ws{self._url.removeprefix('http')}/v1/stream?{urlencode(self._query)}"

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to send, and nothing to wait for."""
        return self.has_ended and not self._under_way and not self._refused

    @property
    def must_reconnect(self) -> bool:
        """Whether only another connection brings what is not settled any further.

        Where the service could not settle a row, it takes no later one of its session over the same connection.
        """
        return bool(self._refused) and not self._under_way

    def has_room(self, row: BatchObservation) -> bool:
        """Whether a row may be sent now."""
        return (
            not self._refused
            and len(self._under_way) < ROWS
            and self._bytes < LINE_BYTES
            and self._of_session[row["session"]] < OF_ONE_SESSION
        )

    def add(self, row: BatchObservation) -> str:
        """The line to send. Raises ValueError or TypeError: it has what JSON has not, such as NaN."""
        keyed: BatchObservation = {"idempotency_key": f"{self._prefix}/{self._count}", **row}
        added = _Row(self._count, keyed, dumped(keyed).decode())
        if len(added.line) > LINE_BYTES:
            raise ValueError(f"row {self._count} is longer than {LINE_BYTES} bytes")
        self._count += 1
        self._under_way.append(added)
        self._of_session[added.session] += 1
        self._bytes += len(added.line)
        return added.line

    def opened(self) -> list[str]:
        """A new connection is open: the lines to send first, which have no outcome."""
        self._under_way = deque(sorted([*self._refused, *self._under_way], key=lambda row: row.number))
        self._refused.clear()
        self._answered = 0
        self.was_connected = True
        if not self._under_way:
            self._is_well()
        return [row.line for row in self._under_way]

    def take(self, line: str | bytes, now_s: float) -> BatchOutcome | None:
        """The outcome that settles a row, under its number; None: it will be sent again.

        Raises:
            ServiceUnreachable: what came is no outcome of it.
        """
        try:
            outcome = BatchOutcome.of(json.loads(line))
        except (ValueError, NotAnAnswer) as error:
            raise ServiceUnreachable(self._url, f"what answers there sends no outcomes ({error})") from None
        if outcome.row is None:  # the end of the connection follows
            return None
        if outcome.row != self._answered or not self._under_way:
            raise ServiceUnreachable(self._url, "what answers there sends outcomes of other rows")
        self._answered += 1
        row = self._under_way.popleft()
        if outcome.problem is not None and outcome.problem.retryable:
            self._refused.append(row)
            self._is_in_trouble(outcome.problem, now_s)
            return None
        self._forget(row)
        self._is_well()
        return replace(outcome, row=row.number)

    def wait_s(self, ended_by: Exception | None, now_s: float) -> float:
        """Seconds until another connection makes sense.

        Args:
            ended_by: what the last one ended with, or did not begin; None: it brought nothing further.
        Raises:
            ProblemError, ServiceUnreachable: there was none, and will be none.
            StreamInterrupted: there is none any more, or nothing was settled for PATIENCE_S.
        """
        self._attempt += 1
        wait_s = backoff_s(min(self._attempt, LONGEST_BACKOFF))
        if ended_by is not None:
            error, wait_s = failure(_answer(ended_by), self._url, min(self._attempt, LONGEST_BACKOFF))
            if not self.was_connected and (wait_s > LONGEST_WAIT_S or self._attempt == ATTEMPTS):
                raise error
            self._is_in_trouble(error, now_s)
        if wait_s > LONGEST_WAIT_S or now_s > self._since_s + PATIENCE_S:
            rows = [row.sent for row in sorted([*self._refused, *self._under_way], key=lambda row: row.number)]
            raise StreamInterrupted(rows) from self._trouble
        return wait_s

    def _forget(self, row: _Row) -> None:
        self._bytes -= len(row.line)
        self._of_session[row.session] -= 1
        if not self._of_session[row.session]:
            del self._of_session[row.session]

    def _is_in_trouble(self, error: HiddenstateError, now_s: float) -> None:
        self._since_s = min(self._since_s, now_s)
        self._trouble = error

    def _is_well(self) -> None:
        self._trouble, self._since_s, self._attempt = None, math.inf, 0


def _answer(error: Exception) -> httpx2.Response | Lost:
    if isinstance(error, InvalidStatus):
        refused = error.response
        headers, body = list(refused.headers.raw_items()), bytes(refused.body or b"")
        return httpx2.Response(refused.status_code, headers=headers, content=body)
    return Lost(str(error) or type(error).__name__)
