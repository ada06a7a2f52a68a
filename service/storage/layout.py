"""The bytes of a session's record: one string of fixed size per model and history, written whole once, then in place.

The layout is frozen. All numbers are little-endian; times are microseconds since 1970 UTC in the series, and
milliseconds of the store's own clock in what concerns the store. A record is, in this order::

    HEAD | live state (S) | 8 OUTCOME | `history` SLOT | 2 SNAPSHOT, none without history | JSON tail

HEAD, 528 bytes::

      0  magic            "HSR1"
      4  format       u2  2
      6  flags        u2  HeadFlag
      8  layout       8   identity of this layout and of the arrays inside the state (`Layout.identity`)
     16  fingerprint  32  SHA-256 of the model the state belongs to
     48  model        64  text "name@version"
    112  incarnation  8   random, new at create, reset and import  \\  what a commit compares, with the
    120  revision     u8  raised by one by every answer committed  /   checksum at 508
    128  step         u8  observations folded
    136  last         i8  time of the last observation; NO_TIME = none
    144  anchor       i8  time of the first observation, the phase of the grid; NO_TIME = none
    152  created_ms   u8
    160  created_digest 32  of the observations given at creation
    192  freq         16  text; empty = steps are counted, there are no timestamps
    208  timezone     40  text, IANA name
    248  gaps         u1  0 impute, 1 reject
    249  require_if_match u1
    250  covariates   u2  C
    252  max_gap      u4
    256  history      u4  slots in the ring
    260  state_bytes  u4  S
    264  ttl_ms       u8  0 = never expires
    272  minimum      f8  forecasts are cut below it; NaN = none
    280  maximum      f8  NaN = none
    288  tail_bytes   u4
    292  tail_crc     u4  CRC-32 of the tail
    296  tokens       8 x (token 16, digest 8)  of the last 8 revisions, at index revision % 8; a zero token = none
    488  first        u8  oldest step the ring may hold; 1 unless the session was imported or its ring made longer
    496  base         u8  step of the oldest state that is kept to fold from: a snapshot, or that after step 0
    504  reserved     4   zeros
    508  crc          u4  CRC-32 of bytes 0..507, continued over the live state
    512  updated_ms   u8  \\  written by the store's script with the store's clock, therefore outside the CRC
    520  expires_ms   u8  /   0 = never

SLOT, 136 + 8 C bytes: one retained observation, at index (step - 1) % history; valid only if it has that step::

      0  crc          u4  CRC-32 of the rest of the slot
      4  flags        u4  SlotFlag
      8  step         u8
     16  timestamp    i8  NO_TIME = none
     24  value        f8  NaN = missing
     32  original     f8  the value before the first correction (with SlotFlag.HAS_ORIGINAL; NaN = it was missing)
     40  revision     u8  of the answer that wrote it first
     48  applied      u4  as answered
     52  imputed      u4  as answered
     56  issued       5 f8  the forecast issued for this step (QUANTILES, as answered); NaN = none
     96  revised      5 f8  the same after a correction before it (with SlotFlag.HAS_REVISED)
    136  covariates   C f8

OUTCOME, 256 + 8 C bytes: the numbers of one answer, so that a replay can be rendered; at index revision % 8::

      0  crc          u4  CRC-32 of the rest
      4  status       u2  HTTP status that was answered
      6  kind         u1  AnswerKind
      7  flags        u1  OutcomeFlag
      8  token        16
     24  digest       8
     32  incarnation  8
     40  revision     u8
     48  step         u8
     56  applied, replayed, corrected, imputed  4 u4
     72  forecast_time i8  of the step after; NO_TIME = none
     80  forecast     5 f8  QUANTILES, as answered; NaN = none
    120  observed     SLOT  the observation the answer shows, as it was then; its own checksum is zero

SNAPSHOT, 16 + S bytes: the state after `step` observations, where step is a multiple of `snapshot_every(history)`,
at index (step / snapshot_every) % 2::

      0  crc          u4  CRC-32 of the rest
      4  filled       u4  1 = holds a state
      8  step         u8
     16  state        S
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = b"HSR1"
FORMAT = 2
WINDOW = 8
"""Outcomes (and tokens) kept."""
NO_TIME = int(np.iinfo(np.int64).min)
QUANTILES = (0.025, 0.1, 0.5, 0.9, 0.975)
"""What is kept of a forecast: the median and the levels 80 and 95."""

Bytes = NDArray[np.uint8]
Structured = NDArray[Any]

TOKEN = np.dtype([("token", "u1", (16,)), ("digest", "u1", (8,))])
HEAD = np.dtype(
    [
        ("magic", "S4"),
        ("format", "<u2"),
        ("flags", "<u2"),
        ("layout", "u1", (8,)),
        ("fingerprint", "u1", (32,)),
        ("model", "S64"),
        ("incarnation", "u1", (8,)),
        ("revision", "<u8"),
        ("step", "<u8"),
        ("last", "<i8"),
        ("anchor", "<i8"),
        ("created_ms", "<u8"),
        ("created_digest", "u1", (32,)),
        ("freq", "S16"),
        ("timezone", "S40"),
        ("gaps", "u1"),
        ("require_if_match", "u1"),
        ("covariates", "<u2"),
        ("max_gap", "<u4"),
        ("history", "<u4"),
        ("state_bytes", "<u4"),
        ("ttl_ms", "<u8"),
        ("minimum", "<f8"),
        ("maximum", "<f8"),
        ("tail_bytes", "<u4"),
        ("tail_crc", "<u4"),
        ("tokens", TOKEN, (WINDOW,)),
        ("first", "<u8"),
        ("base", "<u8"),
        ("reserved", "u1", (4,)),
        ("crc", "<u4"),
        ("updated_ms", "<u8"),
        ("expires_ms", "<u8"),
    ]
)
HEAD_BYTES = HEAD.itemsize
CRC_AT = 508


def position(record: bytes) -> bytes:
    """16 bytes that tell where a record stands: incarnation, low half of the revision, checksum of head and state."""
    return record[112:124] + record[CRC_AT : CRC_AT + 4]


def positions(rows: Bytes) -> list[bytes]:
    """(B, >= HEAD_BYTES) stored bytes -> the `position` of each record."""
    data = np.concatenate([rows[:, 112:124], rows[:, CRC_AT : CRC_AT + 4]], axis=1).tobytes()
    return [data[at : at + 16] for at in range(0, len(data), 16)]


class HeadFlag(IntFlag):
    COUNTED = 1
    """Steps are counted, also where there is no observation yet to decide it."""
    FULL = 2
    """All observations are retained: filled rings are moved to a key of their own (history.py)."""
    SHORT_REBUILD = 4
    """The state was rebuilt from the retained tail only."""


class SlotFlag(IntFlag):
    IMPUTED = 1
    HAS_ORIGINAL = 2
    HAS_REVISED = 4


class OutcomeFlag(IntFlag):
    WARMED_UP = 1


class AnswerKind(IntEnum):
    ADVANCE = 1
    CORRECTION = 2
    REWIND = 3


def slot_dtype(covariates: int) -> np.dtype[Any]:
    return np.dtype(
        [
            ("crc", "<u4"),
            ("flags", "<u4"),
            ("step", "<u8"),
            ("timestamp", "<i8"),
            ("value", "<f8"),
            ("original", "<f8"),
            ("revision", "<u8"),
            ("applied", "<u4"),
            ("imputed", "<u4"),
            ("issued", "<f8", (len(QUANTILES),)),
            ("revised", "<f8", (len(QUANTILES),)),
            ("covariates", "<f8", (covariates,)),
        ]
    )


def outcome_dtype(covariates: int) -> np.dtype[Any]:
    return np.dtype(
        [
            ("crc", "<u4"),
            ("status", "<u2"),
            ("kind", "u1"),
            ("flags", "u1"),
            ("token", "u1", (16,)),
            ("digest", "u1", (8,)),
            ("incarnation", "u1", (8,)),
            ("revision", "<u8"),
            ("step", "<u8"),
            ("applied", "<u4"),
            ("replayed", "<u4"),
            ("corrected", "<u4"),
            ("imputed", "<u4"),
            ("forecast_time", "<i8"),
            ("forecast", "<f8", (len(QUANTILES),)),
            ("observed", slot_dtype(covariates)),
        ]
    )


def snapshot_dtype(state_bytes: int) -> np.dtype[Any]:
    return np.dtype([("crc", "<u4"), ("filled", "<u4"), ("step", "<u8"), ("state", "u1", (state_bytes,))])


def snapshot_every(history: int) -> int:
    """Steps between two snapshots of a session that retains `history` observations."""
    return max(history // 2, 1)


def mark(head: Structured, flag: HeadFlag, *, on: bool = True) -> None:
    """Set a flag of a HEAD, or take it away."""
    flags = int(head["flags"])
    head["flags"] = flags | flag if on else flags & ~flag


def is_full(head: Structured) -> bool:
    """Whether a session of this HEAD keeps its whole history."""
    return bool(head["flags"] & HeadFlag.FULL)


def correctable_from(head: Structured) -> int:
    """The oldest step that can be folded again, as a HEAD tells it; `step + 1` if none can.

    It is retained, and one of the two snapshots, or the base in its place, is from before it. A history that is kept in
    full begins with its base.
    """
    if is_full(head):
        return int(head["first"])
    step, history, first, base = (int(head[name]) for name in ("step", "history", "first", "base"))
    every = snapshot_every(history)
    newest = step // every * every
    kept = [max(at, base) for at in (newest - every, newest) if at + every > base]
    return min((at + 1 for at in kept if history and at + 1 >= max(step - history + 1, first)), default=step + 1)


@dataclass(frozen=True)
class Layout:
    """Where everything stands in the records of one model.

    Args:
        state_bytes: S, size of the model's state.
        covariates: C, numbers kept with each observation.
        arrays: the model's own description of the arrays inside its state; part of the identity.
    """

    state_bytes: int
    covariates: int = 0
    arrays: str = ""

    @cached_property
    def identity(self) -> bytes:
        """8 bytes that differ wherever two layouts differ."""
        described = "|".join(str(dtype.descr) for dtype in (HEAD, self.slot, self.outcome, self.snapshot))
        return hashlib.sha256(f"{described}|{self.arrays}".encode()).digest()[:8]

    @cached_property
    def slot(self) -> np.dtype[Any]:
        return slot_dtype(self.covariates)

    @cached_property
    def outcome(self) -> np.dtype[Any]:
        return outcome_dtype(self.covariates)

    @cached_property
    def snapshot(self) -> np.dtype[Any]:
        return snapshot_dtype(self.state_bytes)

    @cached_property
    def live(self) -> np.dtype[Any]:
        """What a hot advance reads and writes: `head` and `state`."""
        return np.dtype([("head", HEAD), ("state", "u1", (self.state_bytes,))])

    @property
    def live_bytes(self) -> int:
        return HEAD_BYTES + self.state_bytes

    def whole(self, history: int) -> np.dtype[Any]:
        """A record without its tail."""
        return np.dtype(
            [
                ("head", HEAD),
                ("state", "u1", (self.state_bytes,)),
                ("outcomes", self.outcome, (WINDOW,)),
                ("ring", self.slot, (history,)),
                ("snapshots", self.snapshot, (2 if history else 0,)),
            ]
        )

    def outcome_offsets(self, revisions: NDArray[np.uint64]) -> list[int]:
        offsets: list[int] = (self.live_bytes + revisions.astype(np.int64) % WINDOW * self.outcome.itemsize).tolist()
        return offsets

    def slot_offsets(self, steps: NDArray[np.uint64], histories: NDArray[np.uint32]) -> list[int]:
        """Offsets of the slots of `steps` (>= 1) in records that retain `histories` (>= 1) observations."""
        ring = self.live_bytes + WINDOW * self.outcome.itemsize
        index = (steps.astype(np.int64) - 1) % histories.astype(np.int64)
        offsets: list[int] = (ring + index * self.slot.itemsize).tolist()
        return offsets

    def snapshot_offsets(self, steps: NDArray[np.uint64], histories: NDArray[np.uint32]) -> list[int]:
        history = histories.astype(np.int64)
        after_ring = self.live_bytes + WINDOW * self.outcome.itemsize + history * self.slot.itemsize
        index = steps.astype(np.int64) // np.maximum(history // 2, 1) % 2
        offsets: list[int] = (after_ring + index * self.snapshot.itemsize).tolist()
        return offsets
