"""Records in memory: whole waves of heads and states for the hot path, and one whole record for everything else.

`layout.py` says where each byte stands. Nothing here does input or output.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from service.storage import plausible
from service.storage.checksums import checksums, live_crc, seal, sealed
from service.storage.layout import (
    FORMAT,
    HEAD,
    HEAD_BYTES,
    MAGIC,
    NO_TIME,
    WINDOW,
    Bytes,
    Layout,
    Structured,
    is_full,
    position,
    snapshot_every,
)

Writes = tuple[tuple[int, bytes], ...]
"""What a commit writes: (offset, bytes), the first at offset 0."""


class DamagedRecord(Exception):
    """The stored bytes are not a sound record: `reason` says what does not fit. Nothing may be computed from them."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the stored record is damaged: {reason}")
        self.reason = reason


# ---------------------------------------------------------------- waves: B heads and states at once


def heads_of(rows: Bytes) -> Structured:
    """(B, >= 528) stored bytes -> a view of B heads; whether they are sound says `find_damage`."""
    heads: Structured = rows[:, :HEAD_BYTES].view(HEAD)[:, 0]
    return heads


def live_of(rows: Bytes, layout: Layout) -> Structured:
    """(B, >= live_bytes) stored bytes -> a writable copy of B heads and states (`live["head"]`, `live["state"]`)."""
    return np.array(rows[:, : layout.live_bytes]).view(layout.live)[:, 0]


def find_damage(rows: Bytes) -> dict[int, str]:
    """Check B heads and states and name what is wrong, by row; empty = all sound.

    Each row holds at least the `live_bytes` of its own model.
    """
    heads = heads_of(rows)
    reasons: dict[int, str] = {}
    fits = HEAD_BYTES + heads["state_bytes"].astype(np.int64) <= rows.shape[1]
    for sound, reason in (
        (heads["magic"] == MAGIC, "it does not begin with the mark of a record"),
        (heads["format"] == FORMAT, "its format version is unknown"),
        (fits, "its state is longer than that of any model"),
    ):
        for row in np.flatnonzero(~sound).tolist():
            reasons.setdefault(row, reason)
    view = memoryview(rows.tobytes())
    width = rows.shape[1]
    for row, (size, crc) in enumerate(zip(heads["state_bytes"].tolist(), heads["crc"].tolist(), strict=True)):
        if row not in reasons and live_crc(view[row * width : row * width + HEAD_BYTES + size]) != crc:
            reasons[row] = "the checksum of its head and state does not match"
    return plausible.implausible(heads) | reasons


def find_foreign(heads: Structured, layout: Layout) -> NDArray[np.bool_]:
    """(B,) True where a head was written with another layout than this one."""
    foreign: NDArray[np.bool_] = (heads["layout"] != np.frombuffer(layout.identity, np.uint8)).any(axis=1)
    foreign |= heads["state_bytes"] != layout.state_bytes
    foreign |= heads["covariates"] != layout.covariates
    return foreign


def find_tokens(heads: Structured, tokens: Bytes) -> NDArray[np.int64]:
    """(B,) index in the window at which each head holds its row's token (B, 16), or -1."""
    same: NDArray[np.bool_] = (heads["tokens"]["token"] == tokens[:, None, :]).all(axis=2)
    same[~np.any(tokens, axis=1)] = False
    return np.where(same.any(axis=1), same.argmax(axis=1), -1)


def bump(heads: Structured, tokens: Bytes, digests: Bytes) -> None:
    """Raise B revisions by one, in place, and remember the tokens (B, 16; zeros = none) and payload digests (B, 8)."""
    heads["revision"] += np.uint64(1)
    rows, index = np.arange(len(heads)), heads["revision"] % WINDOW
    heads["tokens"]["token"][rows, index] = tokens
    heads["tokens"]["digest"][rows, index] = digests


def snapshots_due(heads: Structured) -> NDArray[np.bool_]:
    """(B,) True where the state, as it is now, is one to keep."""
    every = np.maximum(heads["history"] // 2, 1)
    due: NDArray[np.bool_] = (heads["history"] > 0) & (heads["step"] % every == 0)
    return due


def wave_writes(
    live: Structured,
    layout: Layout,
    *,
    slots: tuple[NDArray[np.int64], Structured] | None = None,
    outcomes: tuple[NDArray[np.int64], Structured] | None = None,
    snapshots: tuple[NDArray[np.int64], Structured] | None = None,
) -> list[Writes]:
    """What to write for B sessions whose live part, slots, outcomes and snapshots were filled in.

    The checksums are computed here, those of heads and states in place. `slots`, `outcomes` and `snapshots` are given
    as (row in `live`, array of `layout.slot`, `.outcome` or `.snapshot`); a row may occur more than once or not at all.
    Slots of sessions without history are left out.
    """
    seal_live(live)
    writes: list[list[tuple[int, bytes]]] = [[(0, data)] for data in _pieces(live)]
    histories = live["head"]["history"]
    if slots is not None:
        rows, array = slots
        kept = histories[rows] > 0
        if not kept.all():
            rows, array = rows[kept], array[kept]
        _add(writes, rows, layout.slot_offsets(array["step"], histories[rows]), array)
    if outcomes is not None:
        rows, array = outcomes
        _add(writes, rows, layout.outcome_offsets(array["revision"]), array)
    if snapshots is not None:
        rows, array = snapshots
        array["filled"] = 1
        _add(writes, rows, layout.snapshot_offsets(array["step"], histories[rows]), array)
    return [tuple(write) for write in writes]


def _add(writes: list[list[tuple[int, bytes]]], rows: NDArray[np.int64], offsets: list[int], array: Structured) -> None:
    for row, offset, data in zip(rows.tolist(), offsets, sealed(array), strict=True):
        writes[row].append((offset, data))


def seal_live(live: Structured) -> None:
    """Set the checksum of each head and state, in place."""
    view, size = live.view(np.uint8).data, live.dtype.itemsize
    live["head"]["crc"] = [live_crc(view[at : at + size]) for at in range(0, len(view), size)]


def _pieces(array: Structured) -> list[bytes]:
    size, data = array.dtype.itemsize, array.tobytes()
    return [data[at : at + size] for at in range(0, len(data), size)]


# ---------------------------------------------------------------- one whole record


class Record:
    """One session's record, taken apart: `head`, `state`, `outcomes`, `ring`, `snapshots` are arrays to fill in.

    `head` is a structured array of no dimensions: `record.head["step"]` reads, `record.head["step"] = 5` writes.
    """

    def __init__(self, layout: Layout, parts: Structured, tail: dict[str, Any]) -> None:
        self.layout = layout
        self.parts = parts
        self.tail = tail
        """Settings that single observations never need, such as `{"static": {...}}`."""

    @classmethod
    def new(
        cls, layout: Layout, *, model: str, fingerprint: bytes, incarnation: bytes, history: int, state: Bytes
    ) -> Record:
        """A session without observations, at revision 0: `bump` its head before it is committed."""
        record = cls(layout, np.zeros((), layout.whole(history)), {})
        head = record.head
        head["magic"], head["format"], head["model"] = MAGIC, FORMAT, _text(model, 64)
        head["layout"] = np.frombuffer(layout.identity, np.uint8)
        head["fingerprint"] = np.frombuffer(fingerprint, np.uint8)
        head["incarnation"] = np.frombuffer(incarnation, np.uint8)
        head["covariates"], head["state_bytes"], head["history"] = layout.covariates, layout.state_bytes, history
        head["last"] = head["anchor"] = NO_TIME
        head["minimum"] = head["maximum"] = np.nan
        head["timezone"], head["first"] = b"UTC", 1
        record.state[:] = state
        record.keep_snapshot(0, state)
        return record

    @classmethod
    def parse(cls, blob: bytes, layout: Layout | None) -> Record:
        """Take stored bytes apart.

        Args:
            layout: that of its model; None = the model is not here, so whatever arrays its state is made of.
        Raises:
            DamagedRecord: they are not a sound record of this layout.
        """
        if len(blob) < (HEAD_BYTES if layout is None else layout.live_bytes):
            raise DamagedRecord(f"it has {len(blob)} bytes, fewer than its head and state")
        rows = np.frombuffer(blob, np.uint8)[None, :]
        for reason in find_damage(rows).values():
            raise DamagedRecord(reason)
        return cls.taken_apart(blob, layout)

    @classmethod
    def taken_apart(cls, blob: bytes, layout: Layout | None) -> Record:
        """As `parse`, of bytes in whose head and state `find_damage` found none."""
        rows = np.frombuffer(blob, np.uint8)[None, :]
        head = heads_of(rows)[0]
        if layout is None:
            layout = Layout(int(head["state_bytes"]), int(head["covariates"]))
        elif find_foreign(heads_of(rows), layout)[0]:
            raise DamagedRecord("it was written with another layout than its model's")
        whole = layout.whole(int(head["history"]))
        if len(blob) != whole.itemsize + int(head["tail_bytes"]):
            raise DamagedRecord(f"it has {len(blob)} bytes instead of {whole.itemsize + int(head['tail_bytes'])}")
        tail = blob[whole.itemsize :]
        if crc32(tail) != int(head["tail_crc"]):
            raise DamagedRecord("the checksum of its settings does not match")
        record = cls(layout, np.frombuffer(blob, whole, count=1).copy().reshape(()), _parsed_tail(tail))
        record._check_parts()
        return record

    @property
    def head(self) -> Structured:
        head: Structured = self.parts["head"]
        return head

    @property
    def state(self) -> Bytes:
        state: Bytes = self.parts["state"]
        return state

    @property
    def outcomes(self) -> Structured:
        outcomes: Structured = self.parts["outcomes"]
        return outcomes

    @property
    def ring(self) -> Structured:
        ring: Structured = self.parts["ring"]
        return ring

    @property
    def snapshots(self) -> Structured:
        snapshots: Structured = self.parts["snapshots"]
        return snapshots

    @property
    def step(self) -> int:
        return int(self.head["step"])

    @property
    def history(self) -> int:
        return int(self.head["history"])

    @property
    def position(self) -> bytes:
        """Incarnation, revision and checksum as they were stored: what a commit compares."""
        return position(self.parts.tobytes())

    @property
    def retained_from(self) -> int:
        """The oldest step whose observation is retained; `step + 1` if none is."""
        return max(self.step - self.history + 1, int(self.head["first"]))

    @property
    def correctable_from(self) -> int:
        """The oldest step that can be folded again: retained, and with a snapshot before it; `step + 1` if none can."""
        kept = [step for step in self._snapshot_steps() if step + 1 >= self.retained_from]
        return min(kept, default=self.step) + 1

    def slots(self) -> Structured:
        """A copy of the retained observations, oldest first."""
        if self.retained_from > self.step:
            return np.empty(0, self.layout.slot)
        slots: Structured = self.ring[(np.arange(self.retained_from, self.step + 1) - 1) % self.history]
        return slots

    def snapshot_before(self, step: int) -> tuple[int, Bytes] | None:
        """The newest kept state that does not yet hold observation `step`: (its step, the state), or None."""
        kept = [at for at in self._snapshot_steps() if at < step]
        if not kept:
            return None
        newest = max(kept)
        [index] = [i for i in range(2) if self.snapshots[i]["filled"] and int(self.snapshots[i]["step"]) == newest]
        return newest, self.snapshots[index]["state"].copy()

    def outcome(self, token: bytes) -> Structured | None:
        """The answer that was given under this token, or None when it is not among those kept."""
        [index] = find_tokens(self.head.reshape(1), np.frombuffer(token, np.uint8)[None, :]).tolist()
        if index < 0 or self.outcomes[index]["token"].tobytes() != token:
            return None
        outcome: Structured = self.outcomes[index]
        return outcome

    def bump(self, token: bytes = bytes(16), digest: bytes = bytes(8)) -> None:
        """Raise the revision by one and remember the token of the answer."""
        bump(self.head.reshape(1), np.frombuffer(token, np.uint8)[None, :], np.frombuffer(digest, np.uint8)[None, :])

    def put_slots(self, slots: Structured) -> None:
        """Put observations into the ring, oldest first; those that it cannot hold any more are left out."""
        if self.history:
            slots = slots[-self.history :]
            self.ring[(slots["step"].astype(np.int64) - 1) % self.history] = slots

    def begin_at(self, step: int, state: Bytes) -> None:
        """Retain nothing up to a step: what is folded again starts with this state after it."""
        self.head["first"], self.head["base"] = step + 1, step
        self.snapshots[:] = np.zeros((), self.layout.snapshot)
        if self.history:
            snapshot = self.snapshots[step // snapshot_every(self.history) % 2]
            snapshot["filled"], snapshot["step"], snapshot["state"] = 1, step, state

    def rewind(self, step: int, last: int, state: Bytes) -> None:
        """Go back to the state after an earlier step; `last` is the time of its observation."""
        head = self.head
        oldest = self.retained_from
        head["step"], head["last"] = step, last
        self.state[:] = state
        self.snapshots[self.snapshots["step"] > step] = np.zeros((), self.layout.snapshot)
        if not is_full(head):
            head["first"], head["base"] = oldest, min(self._snapshot_steps(), default=step)

    def put_outcome(self, outcome: Structured) -> None:
        self.outcomes[int(outcome["revision"]) % WINDOW] = outcome

    def snapshot_steps(self, first: int, last: int) -> list[int]:
        """Where to stop when folding from step `first` to step `last`: the steps (first, last] whose states to keep."""
        every = snapshot_every(self.history)
        newest = last // every * every
        return [step for step in (newest - every, newest) if first < step] if self.history else []

    def keep_snapshot(self, step: int, state: Bytes) -> None:
        """Keep the state after `step` observations if it is one of those to keep."""
        every = snapshot_every(self.history)
        if self.history and step % every == 0:
            snapshot = self.snapshots[step // every % 2]
            snapshot["filled"], snapshot["step"], snapshot["state"] = 1, step, state

    def render(self) -> bytes:
        """The bytes to store, all checksums computed."""
        tail = json.dumps(self.tail, separators=(",", ":")).encode() if self.tail else b""
        self.head["tail_bytes"], self.head["tail_crc"] = len(tail), crc32(tail)
        seal(self.outcomes)
        if self.history:
            seal(self.ring)
        seal(self.snapshots)
        data = self.parts.tobytes()
        self.head["crc"] = live_crc(memoryview(data)[: self.layout.live_bytes])
        return self.parts.tobytes() + tail

    def _snapshot_steps(self) -> Sequence[int]:
        return [int(snapshot["step"]) for snapshot in self.snapshots if snapshot["filled"]]

    def _check_parts(self) -> None:
        slots, revision = self.slots(), int(self.head["revision"])
        if (slots["step"] != np.arange(self.retained_from, self.step + 1)).any():
            raise DamagedRecord("its history has gaps")
        parts = ((slots, "a retained observation"), (self.outcomes, "an answer"), (self.snapshots, "a kept state"))
        for part, name in parts:
            if part["crc"].tolist() != checksums(part):
                raise DamagedRecord(f"the checksum of {name} does not match")
        if not plausible.are_sound_slots(slots, revision) or not plausible.follow_each_other(slots, self.head):
            raise DamagedRecord("its history holds what cannot have been observed")
        if not plausible.are_sound_outcomes(self.outcomes, revision):
            raise DamagedRecord("its answers hold what cannot have been answered")
        if not plausible.are_sound_snapshots(self.snapshots, self.step, self.history, int(self.head["base"])):
            raise DamagedRecord("its kept states are not those of its history")


def _parsed_tail(tail: bytes) -> dict[str, Any]:
    """Raises DamagedRecord."""
    if not tail:
        return {}
    try:
        settings = json.loads(tail)
    except (ValueError, RecursionError):
        raise DamagedRecord("its settings cannot be read") from None
    if not isinstance(settings, dict):
        raise DamagedRecord("its settings are none")
    return settings


def _text(text: str, size: int) -> bytes:
    data = text.encode()
    if len(data) > size:
        raise ValueError(f"{text!r} is longer than {size} bytes")
    return data
