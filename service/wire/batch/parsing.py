"""JSON objects and table rows -> the rows of a batch.

A plain row takes the fast way, a typed decoder; whatever that does not plainly accept is read again by the slow way,
which decides and explains, as for single observations.
"""

from collections.abc import Callable, Sequence
from math import nan
from typing import Annotated, TypeVar

import msgspec
import numpy as np
from pydantic import ValidationError

from service.wire import parsing, schemas
from service.wire.batch import schemas as batch_schemas
from service.wire.batch.rows import OF_FRAMES, OF_TABLES, ROWS_LIMIT, Rows, checked, coded
from service.wire.parsing import Observation
from service.wire.problems import Fault, InvalidRequest, MalformedRequest, ServiceError, pointer

LINE_LIMIT = 64 * 1024
"""Bytes of one line."""

RowT = TypeVar("RowT", batch_schemas.TableRow, batch_schemas.FrameRow)
Step = Annotated[int, msgspec.Meta(ge=1, le=schemas.STEP_LIMIT)]


class ObjectRow(Observation, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """An Observation and its session."""

    session: str
    idempotency_key: str | None = None
    if_match: str | None = None


class TableRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A row of a table without covariates."""

    unique_id: str
    y: float | None
    ds: str | Step | None = None
    idempotency_key: str | None = None
    if_match: str | None = None


class FrameRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A row of a future frame without covariates."""

    unique_id: str
    ds: str | Step | None = None

    @property
    def quotes(self) -> int:
        """Fewest quotation marks that this row can have been written with."""
        return 4 if self.ds is None else 8 if type(self.ds) is str else 6


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    observations: list[ObjectRow]


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
_decode_frame = msgspec.json.Decoder(FrameRow).decode
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
    rows = _of_objects(0, batch.observations)
    plain = 2 + _plain_quotes(rows) + 4 * sum([row.if_match is not None for row in batch.observations])
    further = sum([_further_quotes(batch.observations[row]) for row in rows.covariates])
    return rows if body.count(b'"') == plain + further else _explained_json(body)


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
        found = [_read(bytes(row), _from_object, called="row") for row in rows]
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
        rows = _of_table(first, found)
        plain = _plain_quotes(rows) + 4 * sum([row.if_match is not None for row in found])
        if sum([line.count(b'"') for line in lines]) == plain:
            return rows
    except UNDECODED:
        pass
    return _of_found(first, [_line(line) for line in lines], tabular=tabular)


def of_frame(first: int, lines: Sequence[bytes], *, tabular: bool) -> Rows:
    """Rows of a future frame in JSON Lines, without values."""
    try:
        found = [_decode_frame(line) for line in lines]
        if sum([line.count(b'"') for line in lines]) == sum([row.quotes for row in found]):
            return _of_frame(first, found)
    except UNDECODED:
        pass
    read = [_too_long(line) or _read(line, _from_frame) for line in lines]
    return _of_found(first, read, tabular=tabular)


def _too_long(line: bytes) -> "_Refused | None":
    if len(line) <= LINE_LIMIT:
        return None
    return _Refused(MalformedRequest(f"the line is longer than {LINE_LIMIT} bytes"))


def _line(line: bytes) -> "_Row | _Refused":
    if (refused := _too_long(line)) is not None:
        return refused
    try:
        row = _decode_object(line)
        if line.count(b'"') == _object_quotes(row) and (row.timestamp is None or row.step is None):
            observation = Observation(row.value, row.timestamp, row.step, row.covariates, row.future)
            return _Row(row.session, observation, row.idempotency_key, row.if_match, False)
    except UNDECODED:
        pass
    return _read(line, _from_any)


def _plain_quotes(rows: Rows) -> int:
    """Fewest quotation marks that rows can have been written with, all but their conditions and covariates."""
    keyed = len(rows) - rows.keys.count(None)
    return 6 * len(rows) + 4 * int((rows.times >= 0).sum()) + 2 * int((rows.steps > 0).sum()) + 4 * keyed


def _further_quotes(row: ObjectRow) -> int:
    """Those of a row's covariates."""
    return row.quotes - Observation(row.value, row.timestamp, row.step).quotes


def _object_quotes(row: ObjectRow) -> int:
    return row.quotes + 4 + 4 * ((row.idempotency_key is not None) + (row.if_match is not None))


def _read(text: bytes, made: Callable[[object], _Row], *, called: str = "line") -> "_Row | _Refused":
    try:
        tree = parsing.read_json(text, called=called)
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
    row = _validated(tree, batch_schemas.TableRow, OF_TABLES)
    timestamp, step = (row.ds, None) if isinstance(row.ds, str) else (None, row.ds)
    observation = Observation(row.y, timestamp, step, covariates=row.covariates or None)
    return _Row(row.unique_id, observation, row.idempotency_key, row.if_match, True)


def _from_frame(tree: object) -> _Row:
    if not isinstance(tree, dict):
        raise InvalidRequest([Fault("must be an object", pointer())])
    row = _validated(tree, batch_schemas.FrameRow, OF_FRAMES)
    timestamp, step = (row.ds, None) if isinstance(row.ds, str) else (None, row.ds)
    observation = Observation(None, timestamp, step, covariates=row.covariates or None)
    return _Row(row.unique_id, observation, None, None, True)


def _validated(tree: dict[str, object], model: type[RowT], names: Sequence[str]) -> RowT:
    """A row of a table. Raises InvalidRequest, in its terms."""
    covariates = {name: number for name, number in tree.items() if name not in names}
    known = {name: tree[name] for name in names if name in tree}
    try:
        return model.model_validate({**known, "covariates": covariates})
    except ValidationError as error:
        raise InvalidRequest([_in_table(fault) for fault in parsing.faults(error, model)]) from None


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
    names, sessions = coded(row.unique_id for row in found)
    texts, times = coded(row.ds if type(row.ds) is str else None for row in found)
    rows = Rows(
        first,
        names,
        sessions,
        np.array([row.y for row in found], np.float64),
        texts,
        times,
        np.array([row.ds if type(row.ds) is int else 0 for row in found], np.int64),
        [row.idempotency_key for row in found],
        np.ones(len(found), bool),
    )
    return checked(rows, [(number, row.if_match) for number, row in enumerate(found) if row.if_match is not None])


def _of_frame(first: int, found: Sequence[FrameRow]) -> Rows:
    names, sessions = coded(row.unique_id for row in found)
    texts, times = coded(row.ds if type(row.ds) is str else None for row in found)
    steps = np.array([row.ds if type(row.ds) is int else 0 for row in found], np.int64)
    values, tabular = np.full(len(found), nan), np.ones(len(found), bool)
    return checked(Rows(first, names, sessions, values, texts, times, steps, [None] * len(found), tabular), [])


def _of_objects(first: int, found: Sequence[ObjectRow]) -> Rows:
    names, sessions = coded([row.session for row in found])
    texts, times = coded([row.timestamp for row in found])
    rows = Rows(
        first,
        names,
        sessions,
        np.array([row.value for row in found], np.float64),
        texts,
        times,
        np.array([row.step or 0 for row in found], np.int64),
        [row.idempotency_key for row in found],
        np.zeros(len(found), bool),
    )
    for number, row in enumerate(found):
        if row.covariates or row.future is not None:
            rows.covariates[number] = row.covariates, row.future
    for number in np.flatnonzero((rows.times >= 0) & (rows.steps > 0)).tolist():
        rows.refused[number] = InvalidRequest([Fault("give a timestamp or a step, not both", pointer())])
    return checked(rows, [(number, row.if_match) for number, row in enumerate(found) if row.if_match is not None])


def _of_found(first: int, found: "Sequence[_Row | _Refused]", *, tabular: bool) -> Rows:
    read = [one if isinstance(one, _Row) else _blank(one, tabular) for one in found]
    names, sessions = coded(row.session for row in read)
    texts, times = coded(row.observation.timestamp for row in read)
    rows = Rows(
        first,
        names,
        sessions,
        np.array([nan if row.observation.value is None else row.observation.value for row in read], np.float64),
        texts,
        times,
        np.array([row.observation.step or 0 for row in read], np.int64),
        [row.key for row in read],
        np.array([row.tabular for row in read], bool),
    )
    for number, one in enumerate(found):
        if isinstance(one, _Refused):
            rows.refused[number] = one.problem
        elif one.observation.covariates or one.observation.future is not None:
            rows.covariates[number] = one.observation.covariates, one.observation.future
    return checked(rows, [(number, row.if_match) for number, row in enumerate(read) if row.if_match is not None])


def _blank(refused: _Refused, tabular: bool) -> _Row:
    """A row that stands where one was refused."""
    tabular = tabular if refused.tabular is None else refused.tabular
    return _Row(refused.session, Observation(None), None, None, tabular)
