"""A state document read into a record in memory; each function refuses the members that it reads."""

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Sequence
from math import nan

import numpy as np

from models.dates.grid import Grid, TimestampError, grid
from service.sessions import entries
from service.sessions.registry import LoadedModel
from service.states import document
from service.states.document import Forecast, State, invalid
from service.states.exporting import CARRIED, arrays
from service.states.receiving import Received
from service.storage.answers import HAS_ORIGINAL, HAS_REVISED, IMPUTED
from service.storage.layout import NO_TIME, Bytes, Structured, mark, snapshot_every
from service.storage.record import DamagedRecord, Record
from service.wire import render

KEYS = render.quantile_keys((80, 95))
"""Of the quantiles that records keep, in the order of `QUANTILES`."""


def place(record: Record, state: State) -> Grid | None:
    """Move the head to where the session stood; the grid of its times, None where steps are counted."""
    head = record.head
    for flag in CARRIED:
        mark(head, flag, on=str(flag.name).lower() in state.flags)
    head["step"] = state.step
    if state.session.freq is None or not state.step:
        _require_no_times(state)
        return None
    begins = _instant(grid(state.session.freq, state.session.timezone), state.first, "first")
    on = grid(state.session.freq, state.session.timezone, begins)
    head["anchor"], head["last"] = begins, _instant(on, state.last, "last")
    if on.steps_between(begins, int(head["last"])) != state.step - 1:
        raise invalid(f"is not {state.step - 1} steps after the first", "last")
    return on


def _require_no_times(state: State) -> None:
    for name, time in (("first", state.first), ("last", state.last)):
        if time is not None:
            raise invalid("must be null, since the session has no times", name)


def _instant(on: Grid, text: str | None, *path: str | int) -> int:
    try:
        instant = on.parse(text or "")
    except TimestampError as error:
        raise invalid(str(error), *path) from None
    if not on.is_on(instant):
        raise invalid("is off the grid of freq", *path)
    return instant


def put_states(record: Record, state: State, loaded: LoadedModel) -> None:
    """Put the live state and the kept ones into the record."""
    if state.arrays != arrays(loaded) and [array.dtype for array in state.arrays] != ["uint8"]:
        raise invalid(f"are not those of {loaded.spec.label}", "arrays")
    record.state[:] = _state(state.data, loaded, state.step, "data")
    record.head["base"] = min((kept.step for kept in state.kept), default=state.step)
    record.snapshots[:] = np.zeros((), record.layout.snapshot)
    for index in reversed(range(len(state.kept))):
        _put_kept(record, state, loaded, index)


def _put_kept(record: Record, state: State, loaded: LoadedModel, index: int) -> None:
    """Put an earlier state, the newest first, into its place among the snapshots."""
    kept, every = state.kept[index], snapshot_every(record.history)
    data = _state(kept.data, loaded, kept.step, "kept", index, "data")
    snapshot = record.snapshots[kept.step // every % 2] if record.history else None
    is_free = snapshot is not None and not snapshot["filled"]
    if snapshot is not None and is_free and kept.step <= state.step:
        snapshot["filled"], snapshot["step"], snapshot["state"] = 1, kept.step, data
    elif state.session.history != "full" or kept.step > state.step:
        raise invalid("is none of the steps whose states such a session keeps", "kept", index, "step")
    # A full history's rings may have another length here: what has no place is folded again from an older state.


def _state(text: str, loaded: LoadedModel, step: int, *path: str | int) -> Bytes:
    """The bytes of a state that the model can go on from: finite, and having seen no more than its steps."""
    try:
        data = np.frombuffer(b64decode(text, validate=True), np.uint8)
    except (NotBase64, ValueError):
        raise invalid("is not base64", *path) from None
    if len(data) != loaded.spec.state_bytes:
        raise invalid(f"has {len(data)} bytes; the states of {loaded.spec.label} have {loaded.spec.state_bytes}", *path)
    if not entries.are_sound(loaded, data[None], np.array([step]))[0]:
        raise invalid("holds numbers that no session can have", *path)
    return data


def base(sent: Received, loaded: LoadedModel) -> Bytes | None:
    """The state before the first retained observation, without which a full history could not be folded again."""
    begins, state = sent.first, sent.state
    if begins == 1:
        return loaded.initial_state(state.session.static)
    for index, kept in enumerate(state.kept):
        if kept.step == begins - 1:
            return _state(kept.data, loaded, kept.step, "kept", index, "data")
    if state.session.history == "full":
        raise invalid("lacks the state before the first observation of the history", "kept")
    return None


def empty_slots(record: Record, sent: Received) -> Structured:
    """Room for the retained observations, oldest first."""
    if sent.state.session.history != "full" and sent.count > record.history:
        raise invalid("is longer than the session's setting of that name", "history")
    return np.zeros(sent.count, record.layout.slot)


def put_slots(
    slots: Structured, at: int, records: Sequence[document.Record], state: State, on: Grid | None, loaded: LoadedModel
) -> None:
    """Read some observations into their slots, from number `at` on, as this import's own commit would write them."""
    before = state.step - len(slots)
    last = NO_TIME if on is None else _instant(on, state.last, "last")
    for index, kept in enumerate(records, at):
        if kept.step != before + index + 1:
            raise invalid("is not the step after the one before it", "history", index, "step")
        instant = NO_TIME
        if on is not None:
            instant = _instant(on, kept.timestamp, "history", index, "timestamp")
            if on.steps_between(instant, last) != state.step - kept.step:
                raise invalid("is not the time of its step", "history", index, "timestamp")
        slots[index] = _slot(kept, instant, loaded, index)


def _slot(kept: document.Record, instant: int, loaded: LoadedModel, index: int) -> tuple[object, ...]:
    """The fields of a SLOT."""
    names = loaded.encoding.covariates.observed
    if set(kept.covariates) != set(names):
        takes = f"must be those of the model: {', '.join(names)}" if names else "must be empty: the model takes none"
        raise invalid(takes, "history", index, "covariates")
    flags = IMPUTED * kept.imputed | HAS_ORIGINAL * kept.corrected | HAS_REVISED * (kept.revised is not None)
    return (
        *(0, flags, kept.step, instant, _number(kept.value), _number(kept.original)),
        *(1, int(not kept.imputed), int(kept.imputed)),  # written by the commit of this import
        _quantiles(kept.forecast, "history", index, "forecast"),
        _quantiles(kept.revised, "history", index, "revised"),
        [*(_number(kept.covariates[name]) for name in names), *_ahead(kept, loaded, index)],
    )


def _ahead(kept: document.Record, loaded: LoadedModel, index: int) -> list[float]:
    """What was known in advance at an observation, as the numbers that are kept with it."""
    names, rows = loaded.encoding.covariates.known, kept.future
    if len(rows) > loaded.encoding.horizon or any(set(row) - set(names) for row in rows):
        raise invalid("is not what the model knows in advance", "history", index, "future")
    lacking: list[dict[str, float | None]] = [{}] * (loaded.encoding.horizon - len(rows))
    return [_number(row.get(name)) for row in [*rows, *lacking] for name in names]


def _quantiles(forecast: Forecast | None, *path: str | int) -> list[float]:
    if forecast is None:
        return [nan] * len(KEYS)
    if set(forecast.quantiles) != set(KEYS):
        raise invalid(f"must be {', '.join(KEYS)}", *path, "quantiles")
    return [forecast.quantiles[key] for key in KEYS]


def _number(value: float | None) -> float:
    return nan if value is None else value


def require_sound(record: Record, loaded: LoadedModel) -> None:
    """Raises StateInvalid where what would be stored could not be read again."""
    try:
        Record.parse(record.render(), loaded.layout)
    except DamagedRecord as error:
        raise invalid(error.reason, "history") from None
