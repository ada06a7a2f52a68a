"""The rows of each session in a batch, in their order, and how far each session is."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from service.sessions.work import NO_DIGEST, Observe, digest_of_observations, token_of
from service.wire.batch.rows import FORESEEN, Rows
from service.wire.parsing import Observation
from service.wire.problems import ServiceError
from service.wire.schemas import SessionSettings

Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]
TOKEN_BYTES = 16


@dataclass(slots=True)
class Asked:
    """What a batch asks for of all its rows.

    Attributes:
        foreseeing: the body will come without waiting for answers, so that rows are told what is known in advance by
            those that follow.
        failing: sessions of which a row was not settled: what follows it in the batch must not be applied before it.
    """

    creation: SessionSettings | None
    correcting: bool
    foreseeing: bool = False
    failing: dict[str, ServiceError] = field(default_factory=dict)


class Lines:
    """The rows that can be read, by session: line i is that of session i of the batch.

    Attributes:
        names: of the sessions.
        order: numbers of the rows, those of one line together and in their order.
        at, end: (L,) where in `order` the rows of each line that are not settled begin, and end.
        special: (n,) rows with conditions or covariates.
        seen: by line, the position at which the session was read, where its next row is no ordinary one.
        stored: lines whose next row the store was found to know already.
        foreseen: most rows that are looked at for what they tell of the steps after one before them.
    """

    def __init__(self, rows: Rows, asked: Asked, foreseen: int) -> None:
        readable = np.ones(len(rows), bool)
        readable[list(rows.refused)] = False
        numbers = np.flatnonzero(readable)
        sessions = rows.sessions[numbers]
        counts = np.bincount(sessions, minlength=len(rows.names))
        self.rows, self.asked, self.names = rows, asked, rows.names
        self.special = np.zeros(len(rows), bool)
        self.special[[*rows.if_match, *rows.covariates]] = True
        self.order = numbers[np.argsort(sessions, kind="stable")]
        self.end: Integers = np.cumsum(counts)
        self.at: Integers = self.end - counts
        self.seen: dict[int, bytes] = {}
        self.stored: set[int] = set()
        self.foreseen = foreseen
        self._beyond: dict[str, list[int]] | None = None

    def waiting(self) -> list[int]:
        """Lines that have rows which are not settled."""
        lines: list[int] = np.flatnonzero(self.at < self.end).tolist()
        return lines

    def has_more(self, line: int) -> bool:
        """Whether a line has a row that is not settled."""
        return bool(self.at[line] < self.end[line])

    def next_row(self, line: int) -> int:
        """The first row of a line that is not settled."""
        return int(self.order[self.at[line]])

    def rest(self, line: int) -> list[int]:
        """The rows of a line that are not settled."""
        rows: list[int] = self.order[self.at[line] : self.end[line]].tolist()
        return rows

    def settled(self, line: int, count: int) -> None:
        """The next rows of a line are; the one after them is told nothing of what was found for the first."""
        self.at[line] += count
        self.seen.pop(line, None)
        self.stored.discard(line)

    def work(self, line: int) -> Observe:
        """The next row of a line as a single observation."""
        rows, asked, row = self.rows, self.asked, self.next_row(line)
        key = rows.keys[row]
        return Observe(
            self.names[line],
            None if key is None else token_of(key),
            NO_DIGEST if key is None else digest(rows, row, correcting=asked.correcting),
            rows.if_match.get(row),
            line in self.stored,
            observations=[rows.observation(row)],
            listed=False,
            creation=asked.creation,
            correcting=asked.correcting,
            seen=self.seen.get(line),
            following=self._following(line),
        )

    def _following(self, line: int) -> list[Observation]:
        """The rows that come after the next one of a line, as many as tell what is known in advance of it."""
        if not (self.foreseen and self.asked.foreseeing):
            return []
        rows, begin = self.rows, int(self.at[line])
        numbers: list[int] = self.order[begin + 1 : min(begin + 1 + self.foreseen, int(self.end[line]))].tolist()
        found = [(row, rows.observation(row)) for row in numbers]
        if rows.beyond is not None and len(found) < self.foreseen:
            later, start = rows.beyond, rows.beyond.first - rows.first
            numbers = self._lines_beyond(later).get(self.names[line], [])[: self.foreseen - len(found)]
            found += [(start + row, later.observation(row)) for row in numbers]
        limit = self.next_row(line) + FORESEEN
        return [observation for row, observation in found if row < limit]

    def _lines_beyond(self, later: Rows) -> dict[str, list[int]]:
        """By session, the rows that can be read of those that follow in the body."""
        if self._beyond is None:
            self._beyond = {}
            for row, session in enumerate(later.sessions.tolist()):
                if row not in later.refused:
                    self._beyond.setdefault(later.names[session], []).append(row)
        return self._beyond

    def first(self, lines: Integers, most: int) -> tuple[Integers, Integers]:
        """The first rows of these lines that are not settled, `most` of each.

        Returns:
            (n,) their numbers, and (n,) which of the lines given each is of.
        """
        counts = np.minimum(self.end[lines] - self.at[lines], most)
        owners = np.repeat(np.arange(len(lines)), counts)
        within = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.order[self.at[lines][owners] + within], owners


@dataclass(slots=True)
class Keys:
    """The Idempotency-Keys of a batch.

    Attributes:
        sent: (n,) rows that have one.
        again: (n,) rows that have one which an earlier row of the same session has.
        tokens: (n, 16) zeros where there is none.
    """

    sent: NDArray[np.bool_]
    again: NDArray[np.bool_]
    tokens: Bytes

    @classmethod
    def of(cls, rows: Rows) -> "Keys":
        count = len(rows)
        sent = np.array([key is not None for key in rows.keys], bool)
        again, tokens = np.zeros(count, bool), np.zeros((count, TOKEN_BYTES), np.uint8)
        if sent.any():
            numbers = np.flatnonzero(sent).tolist()
            given = [key for key in rows.keys if key is not None]
            named = {key: token_of(key) for key in dict.fromkeys(given)}
            tokens[sent] = np.frombuffer(b"".join([named[key] for key in given]), np.uint8).reshape(-1, TOKEN_BYTES)
            known: set[tuple[int, str]] = set()
            pairs = zip(rows.sessions[sent].tolist(), given, strict=True)
            for number, pair in zip(numbers, pairs, strict=True):
                again[number] = pair in known
                known.add(pair)
        return cls(sent, again, tokens)


def digests(rows: Rows, numbers: Sequence[int], sent: NDArray[np.bool_], *, correcting: bool) -> Bytes:
    """(n, 8) payload digests of these rows; those of rows without a key are zeros."""
    found = np.zeros((len(numbers), len(NO_DIGEST)), np.uint8)
    keyed = np.flatnonzero(sent[numbers])
    if len(keyed):
        written = [digest(rows, numbers[place], correcting=correcting) for place in keyed.tolist()]
        found[keyed] = np.frombuffer(b"".join(written), np.uint8).reshape(len(keyed), -1)
    return found


def digest(rows: Rows, row: int, *, correcting: bool) -> bytes:
    """Of the payload of a row."""
    return digest_of_observations([rows.observation(row)], listed=False, correcting=correcting)
