"""The rows of a batch as columns, whatever they were sent as; each faulty row has its own problem."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from service.wire import headers, parsing
from service.wire.parsing import Covariates, Observation
from service.wire.problems import Fault, InvalidRequest, MalformedRequest, ServiceError, pointer

ROWS_LIMIT = BLOCK = 50_000
"""Rows of one JSON body, and most rows of any that are worked on at once."""
FORESEEN = BLOCK
"""A row is told what is known in advance by rows less than so many after it in the body, however that arrives."""
SESSION_IDS = re.compile(r"(?:[A-Za-z0-9._~-]{1,128}\n)*")
OF_TABLES = ("unique_id", "ds", "y", "idempotency_key", "if_match")
"""Columns of a table row; all others are covariates."""
OF_FRAMES = ("unique_id", "ds")
"""The same of a future frame, whose rows are steps to forecast: it has no values."""

Integers = NDArray[np.int64]
Tags = tuple[str, ...]
ValueT = TypeVar("ValueT")


@dataclass(slots=True)
class Rows:
    """Some rows of a batch, as columns of one length.

    Args:
        first: number of the first row in the whole batch.
        names: the different sessions; `sessions` (n,) says which of them each row is of.
        values: (n,) NaN = missing.
        texts: the different timestamps as they were sent; `times` (n,) says which of them each row has, -1 = none.
        steps: (n,) 0 = none. A row has a timestamp or a step, never both.
        tabular: (n,) whether a row is to be answered as a table row.
        if_match: of the few rows that have it.
        covariates: those of the few rows that have any: at the observation, and at the steps that follow.
        refused: rows that cannot be read, and why.
        ds: type of the column of that name, where it came from Arrow.
        beyond: rows that follow in the body, and are taken up later.
    """

    first: int
    names: list[str]
    sessions: Integers
    values: NDArray[np.float64]
    texts: list[str]
    times: Integers
    steps: Integers
    keys: list[str | None]
    tabular: NDArray[np.bool_]
    if_match: dict[int, Tags] = field(default_factory=dict)
    covariates: dict[int, tuple[Covariates | None, list[Covariates] | None]] = field(default_factory=dict)
    refused: dict[int, ServiceError] = field(default_factory=dict)
    ds: pa.DataType | None = None
    beyond: "Rows | None" = None

    def __len__(self) -> int:
        return len(self.sessions)

    def observation(self, row: int) -> Observation:
        """A row as the observation that it is."""
        value, time, step = float(self.values[row]), int(self.times[row]), int(self.steps[row])
        covariates, future = self.covariates.get(row, (None, None))
        return Observation(
            None if isnan(value) else value, self.texts[time] if time >= 0 else None, step or None, covariates, future
        )

    def part(self, part: slice) -> "Rows":
        """Some of the rows, as far as their answers depend on them."""
        return replace(
            self,
            first=self.first + part.start,
            sessions=self.sessions[part],
            values=self.values[part],
            tabular=self.tabular[part],
            refused={},
        )

    def give_keys(self, key: str) -> None:
        """Give row i the key KEY/i, where it has none of its own."""
        self.keys = [own or f"{key}/{row}" for row, own in enumerate(self.keys, self.first)]


def coded(texts: Iterable[str | None]) -> tuple[list[str], Integers]:
    """The different texts in the order in which they come first, and (n,) which of them each is; -1 = none."""
    index: dict[str | None, int] = {None: -1}
    codes = [index.setdefault(text, len(index) - 1) for text in texts]
    return [text for text in index if text is not None], np.array(codes, np.int64)


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows that follow each other, as one."""
    if len(parts) == 1:
        return parts[0]
    names, sessions = _joined_codes([(part.names, part.sessions) for part in parts])
    texts, times = _joined_codes([(part.texts, part.times) for part in parts])
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    whole = Rows(
        parts[0].first,
        names,
        sessions,
        np.concatenate([part.values for part in parts]),
        texts,
        times,
        np.concatenate([part.steps for part in parts]),
        [key for part in parts for key in part.keys],
        np.concatenate([part.tabular for part in parts]),
        ds=parts[0].ds,
    )
    for start, part in zip(starts, parts, strict=False):
        whole.if_match |= _moved(part.if_match, start)
        whole.covariates |= _moved(part.covariates, start)
        whole.refused |= _moved(part.refused, start)
    return whole


def _joined_codes(parts: Sequence[tuple[list[str], Integers]]) -> tuple[list[str], Integers]:
    index: dict[str, int] = {}
    codes = []
    for texts, own in parts:
        places = np.array([*(index.setdefault(text, len(index)) for text in texts), -1])
        codes.append(places[own])  # -1, where there is none, is the last
    return list(index), np.concatenate(codes)


def _moved(rows: Mapping[int, ValueT], by: int) -> dict[int, ValueT]:
    return {by + row: value for row, value in rows.items()}


def checked(rows: Rows, conditions: Iterable[tuple[int, str]]) -> Rows:
    """The same rows, with those refused whose session, key or condition cannot be.

    Args:
        conditions: what rows that have it say in `if_match`.
    """
    if SESSION_IDS.fullmatch("".join(f"{name}\n" for name in rows.names)) is None or any("\n" in n for n in rows.names):
        _refuse_sessions(rows)
    read: dict[str, str | None] = {}
    for row, key in enumerate(rows.keys):
        if key is None:
            continue
        try:
            if key not in read:
                read[key] = headers.idempotency_key(key)
            rows.keys[row] = read[key]
        except MalformedRequest as refused:
            rows.refused.setdefault(row, refused)
    for row, tags in conditions:
        try:
            if (wanted := headers.entity_tags(tags, "If-Match")) is not None:
                rows.if_match[row] = wanted
        except MalformedRequest as refused:
            rows.refused.setdefault(row, refused)
    return rows


def _refuse_sessions(rows: Rows) -> None:
    problems: dict[int, ServiceError] = {}
    for number, name in enumerate(rows.names):
        try:
            parsing.session_id(name)
        except InvalidRequest as refused:
            [fault] = refused.errors
            problems[number] = InvalidRequest([Fault(fault.detail, pointer("session"))])
    for row, number in enumerate(rows.sessions.tolist()):
        if number in problems:
            rows.refused.setdefault(row, problems[number])
