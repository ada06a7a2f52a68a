"""The rows of a batch as they were sent: JSON objects and table rows -> columns, each faulty row with its own problem.

A plain row takes the fast way, a typed decoder; whatever that does not plainly accept is read again by the slow way,
which decides and explains, as for single observations.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import isnan, nan
from typing import Annotated

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError

from service.wire import batch_schemas, headers, parsing, schemas
from service.wire.parsing import Covariates, Observation
from service.wire.problems import Fault, InvalidRequest, MalformedRequest, ServiceError, pointer

ROWS_LIMIT = BLOCK = 50_000
"""Rows of one JSON body, and most rows of any that are worked on at once."""
LINE_LIMIT = 64 * 1024
"""Bytes of one line."""
SESSION_IDS = re.compile(r"(?:[A-Za-z0-9._~-]{1,128}\n)*")
OF_TABLES = ("unique_id", "ds", "y", "idempotency_key", "if_match")
"""Columns of a table row; all others are covariates."""

Step = Annotated[int, msgspec.Meta(ge=1, le=schemas.STEP_LIMIT)]
Tags = tuple[str, ...]


class ObjectRow(Observation, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An Observation and its session."""

    session: str
    idempotency_key: str | None = None
    if_match: str | None = None


class TableRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of a table without covariates."""

    unique_id: str
    y: float | None
    ds: str | Step | None = None
    idempotency_key: str | None = None
    if_match: str | None = None


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    observations: list[ObjectRow]


@dataclass(slots=True)
class Rows:
    """Some rows of a batch, as columns of one length.

    Args:
        first: number of the first row in the whole batch.
        values: NaN = missing.
        timestamps, steps: at most one of the two is given for a row.
        covariates: those of the few rows that have any: at the observation, and at the steps that follow.
        tabular: whether a row is to be answered as a table row.
        refused: rows that cannot be read, and why.
        times: type of the column `ds`, where it came from Arrow.
    """

    first: int
    sessions: list[str]
    values: NDArray[np.float64]
    timestamps: Sequence[str | None]
    steps: Sequence[int | None]
    keys: list[str | None]
    if_match: list[Tags | None]
    tabular: list[bool]
    covariates: dict[int, tuple[Covariates | None, list[Covariates] | None]] = field(default_factory=dict)
    refused: dict[int, ServiceError] = field(default_factory=dict)
    times: pa.DataType | None = None

    def __len__(self) -> int:
        return len(self.sessions)

    def observation(self, row: int) -> Observation:
        """A row as the observation that it is."""
        value = float(self.values[row])
        covariates, future = self.covariates.get(row, (None, None))
        return Observation(
            None if isnan(value) else value, self.timestamps[row], self.steps[row], covariates, future
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


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows that follow each other, as one."""
    whole = parts[0]
    for part in parts[1:]:
        before = len(whole.sessions)
        whole.sessions += part.sessions
        whole.timestamps = [*whole.timestamps, *part.timestamps]
        whole.steps = [*whole.steps, *part.steps]
        whole.keys += part.keys
        whole.if_match += part.if_match
        whole.tabular += part.tabular
        whole.covariates |= {before + row: names for row, names in part.covariates.items()}
        whole.refused |= {before + row: problem for row, problem in part.refused.items()}
    whole.values = np.concatenate([part.values for part in parts])
    return whole


class _Row(msgspec.Struct, frozen=True):
    """A row that was read the slow way."""

    session: str
    observation: Observation
    key: str | None
    if_match: str | None
    tabular: bool


class _Refused(msgspec.Struct, frozen=True):
    """A row that cannot be taken; `session` is empty where not even that can be read."""

    problem: ServiceError
    session: str = ""
    tabular: bool | None = None
    """None = it cannot be told."""


_decode_batch = msgspec.json.Decoder(_Batch).decode
_decode_table = msgspec.json.Decoder(TableRow).decode
_decode_object = msgspec.json.Decoder(ObjectRow).decode
_decode_raw_batch = msgspec.json.Decoder(dict[str, list[msgspec.Raw]]).decode
UNDECODED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def of_json(body: bytes) -> Rows:
    """The rows of a JSON body.

    Raises:
        MalformedRequest: it is not JSON.
        InvalidRequest: it is not {"observations": [...]}, or has too many rows.
    """
    try:
        batch = _decode_batch(body)
    except UNDECODED:
        return _explained_json(body)
    _require_few(len(batch.observations))
    if body.count(b'"') != 2 + sum(map(_object_quotes, batch.observations)):
        return _explained_json(body)
    return _of_objects(0, batch.observations)


def _require_few(count: int) -> None:
    if count > ROWS_LIMIT:
        detail = f"must hold at most {ROWS_LIMIT} rows; send JSON Lines or Arrow, which have no limit"
        raise InvalidRequest([Fault(detail, pointer("observations"))])


def _explained_json(body: bytes) -> Rows:
    try:
        raw = _decode_raw_batch(body)
    except UNDECODED:
        raw = {}
    found: list[_Row | _Refused]
    rows = raw.get("observations", ())
    if raw.keys() == {"observations"} and body.count(b'"') == 2 + sum(bytes(row).count(b'"') for row in rows):
        _require_few(len(rows))
        found = [_read(bytes(row), _from_object) for row in rows]
    else:
        tree = parsing.read_json(body)
        if not isinstance(tree, dict) or not isinstance(tree.get("observations"), list):
            raise InvalidRequest([Fault('must be {"observations": [...]}', pointer())])
        unknown = [Fault("unknown key", pointer(name)) for name in tree if name != "observations"]
        if unknown:
            raise InvalidRequest(unknown[: parsing.FAULT_LIMIT])
        _require_few(len(tree["observations"]))
        found = [_or_refusal(row, _from_object) for row in tree["observations"]]
    return _of_found(0, found, tabular=False)


def of_lines(first: int, lines: Sequence[bytes], *, tabular: bool) -> Rows:
    """Rows of JSON Lines.

    Args:
        tabular: whether lines that cannot be read are to be answered as table rows.
    """
    try:
        found = [_decode_table(line) for line in lines]
        if sum([line.count(b'"') for line in lines]) == sum(map(_table_quotes, found)):
            return _of_table(first, found)
    except UNDECODED:
        pass
    return _of_found(first, [_line(line) for line in lines], tabular=tabular)


def _line(line: bytes) -> "_Row | _Refused":
    if len(line) > LINE_LIMIT:
        return _Refused(MalformedRequest(f"the line is longer than {LINE_LIMIT} bytes"))
    try:
        row = _decode_object(line)
        if line.count(b'"') == _object_quotes(row) and (row.timestamp is None or row.step is None):
            observation = Observation(row.value, row.timestamp, row.step, row.covariates, row.future)
            return _Row(row.session, observation, row.idempotency_key, row.if_match, False)
    except UNDECODED:
        pass
    return _read(line, _from_any)


def _table_quotes(row: TableRow) -> int:
    """Fewest quotation marks that this row can have been written with."""
    quotes = 6
    if row.ds is not None:
        quotes += 4 if type(row.ds) is str else 2
    if row.idempotency_key is not None:
        quotes += 4
    if row.if_match is not None:
        quotes += 4
    return quotes


def _object_quotes(row: ObjectRow) -> int:
    return row.quotes + 4 + 4 * ((row.idempotency_key is not None) + (row.if_match is not None))


def _read(text: bytes, made: Callable[[object], _Row]) -> "_Row | _Refused":
    try:
        tree = parsing.read_json(text)
    except ServiceError as refused:
        return _Refused(refused)
    return _or_refusal(tree, made)


def _or_refusal(tree: object, made: Callable[[object], _Row]) -> "_Row | _Refused":
    try:
        return made(tree)
    except ServiceError as refused:
        if not isinstance(tree, dict):
            return _Refused(refused)
        tabular = _is_tabular(tree)
        session = tree.get("unique_id" if tabular else "session")
        return _Refused(refused, session if isinstance(session, str) else "", tabular)


def _from_any(tree: object) -> _Row:
    return _from_table(tree) if isinstance(tree, dict) and _is_tabular(tree) else _from_object(tree)


def _is_tabular(tree: dict[str, object]) -> bool:
    """A row with `session` is an object, one with `unique_id` or another column of tables a table row."""
    return "session" not in tree and not tree.keys().isdisjoint(OF_TABLES[:3])


def _from_object(tree: object) -> _Row:
    try:
        row = batch_schemas.BatchObservation.model_validate(tree)
    except ValidationError as error:
        raise InvalidRequest(parsing.faults(error, batch_schemas.BatchObservation)) from None
    observation = Observation(row.value, row.timestamp, row.step, row.covariates, row.future)
    return _Row(row.session, observation, row.idempotency_key, row.if_match, False)


def _from_table(tree: dict[str, object]) -> _Row:
    covariates = {name: number for name, number in tree.items() if name not in OF_TABLES}
    known = {name: tree[name] for name in OF_TABLES if name in tree}
    try:
        row = batch_schemas.TableRow.model_validate({**known, "covariates": covariates})
    except ValidationError as error:
        faults = parsing.faults(error, batch_schemas.TableRow)
        raise InvalidRequest([_in_table(fault) for fault in faults]) from None
    timestamp, step = (row.ds, None) if isinstance(row.ds, str) else (None, row.ds)
    observation = Observation(row.y, timestamp, step, covariates=row.covariates or None)
    return _Row(row.unique_id, observation, row.idempotency_key, row.if_match, True)


COLUMNS = {"/session": "/unique_id", "/timestamp": "/ds", "/step": "/ds", "/value": "/y"}
"""Members of an Observation as the columns of a table row that they are."""


def _in_table(fault: Fault) -> Fault:
    where = fault.pointer or ""
    column = where.removeprefix("/covariates") if where.startswith("/covariates/") else COLUMNS.get(where, where)
    return fault._replace(pointer=column)


def in_table_terms(problem: ServiceError) -> str:
    """A problem's detail as it concerns a table row: columns in place of members."""
    if isinstance(problem, InvalidRequest) and problem.errors and problem.errors[0].pointer:
        first = _in_table(problem.errors[0])
        more = f" (and {len(problem.errors) - 1} more)" if len(problem.errors) > 1 else ""
        return f"{(first.pointer or '').lstrip('/')}: {first.detail}{more}"
    return problem.detail


def _of_table(first: int, found: Sequence[TableRow]) -> Rows:
    times = [row.ds for row in found]
    rows = Rows(
        first,
        [row.unique_id for row in found],
        np.array([row.y for row in found], np.float64),
        [time if type(time) is str else None for time in times],
        [time if type(time) is int else None for time in times],
        [row.idempotency_key for row in found],
        [None] * len(found),
        [True] * len(found),
    )
    return checked(rows, [row.if_match for row in found])


def _of_objects(first: int, found: Sequence[ObjectRow]) -> Rows:
    rows = Rows(
        first,
        [row.session for row in found],
        np.array([row.value for row in found], np.float64),
        [row.timestamp for row in found],
        [row.step for row in found],
        [row.idempotency_key for row in found],
        [None] * len(found),
        [False] * len(found),
    )
    for number, row in enumerate(found):
        if row.covariates or row.future:
            rows.covariates[number] = row.covariates, row.future
        if row.timestamp is not None and row.step is not None:
            rows.refused[number] = InvalidRequest([Fault("give a timestamp or a step, not both", pointer())])
    return checked(rows, [row.if_match for row in found])


def _of_found(first: int, found: "Sequence[_Row | _Refused]", *, tabular: bool) -> Rows:
    read = [one if isinstance(one, _Row) else _blank(one, tabular) for one in found]
    rows = Rows(
        first,
        [row.session for row in read],
        np.array([nan if row.observation.value is None else row.observation.value for row in read], np.float64),
        [row.observation.timestamp for row in read],
        [row.observation.step for row in read],
        [row.key for row in read],
        [None] * len(read),
        [row.tabular for row in read],
    )
    for number, one in enumerate(found):
        if isinstance(one, _Refused):
            rows.refused[number] = one.problem
        elif one.observation.covariates or one.observation.future:
            rows.covariates[number] = one.observation.covariates, one.observation.future
    return checked(rows, [row.if_match for row in read])


def _blank(refused: _Refused, tabular: bool) -> _Row:
    """A row that stands where one was refused."""
    tabular = tabular if refused.tabular is None else refused.tabular
    return _Row(refused.session, Observation(None), None, None, tabular)


def checked(rows: Rows, if_match: Sequence[str | None]) -> Rows:
    """The same rows, with those refused whose session, key or condition cannot be."""
    joined = "\n".join(rows.sessions) + "\n" if rows.sessions else ""
    if SESSION_IDS.fullmatch(joined) is None or joined.count("\n") != len(rows):
        for row, session in enumerate(rows.sessions):
            try:
                parsing.session_id(session)
            except InvalidRequest as refused:
                [fault] = refused.errors
                rows.refused.setdefault(row, InvalidRequest([Fault(fault.detail, pointer("session"))]))
    for row, (key, tags) in enumerate(zip(rows.keys, if_match, strict=True)):
        try:
            if key is not None:
                rows.keys[row] = headers.idempotency_key(key)
            if tags is not None:
                rows.if_match[row] = headers.entity_tags(tags, "If-Match")
        except MalformedRequest as refused:
            rows.refused.setdefault(row, refused)
    return rows
