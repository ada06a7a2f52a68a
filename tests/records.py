"""Small records and changes for the tests of the store and of what stands on it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from service.storage.layout import AnswerKind, Layout, position
from service.storage.record import Record, Writes, bump, live_of, snapshots_due, wave_writes
from service.storage.store import Change, Kind

LAYOUT = Layout(state_bytes=96, covariates=1, arrays="h f4 24")
MODEL = b"m" * 32


def token_of(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:16]


def new_record(*, life: bytes = b"life one", history: int = 8) -> Record:
    state = np.arange(LAYOUT.state_bytes, dtype=np.uint8)
    record = Record.new(LAYOUT, model="toy@1", fingerprint=MODEL, incarnation=life, history=history, state=state)
    record.tail = {"static": {"area": 2252.7}}
    return record


def creation(session: str, *, life: bytes = b"life one", ttl_ms: int = 0, token: str = "create") -> Change:
    record = new_record(life=life)
    record.head["ttl_ms"] = ttl_ms
    record.bump(token_of(token))
    return replacement(session, record, expected=None, ttl_ms=ttl_ms, token=token)


def replacement(
    session: str, record: Record, *, expected: bytes | None, ttl_ms: int = 0, token: str = "replace"
) -> Change:
    """`record`, already bumped, in the place of what stands there."""
    writes = ((0, record.render()),)
    return Change(session, token_of(token), bytes(8), expected, Kind.REPLACE, writes, ttl_ms)


def deletion(session: str, *, expected: bytes | None = None) -> Change:
    return Change(session, bytes(16), bytes(8), expected, Kind.DELETE, (), 0)


def advance(
    session: str, blob: bytes, value: float, *, token: str = "", digest: bytes = bytes(8), ttl_ms: int = 0
) -> Change:
    """The next observation of a session whose stored bytes are given, written in place as the hot path does."""
    [writes] = step_writes([blob], [value], token or f"{session} {value}", digest, ttl_ms)
    expected = position(blob)
    return Change(session, token_of(token or f"{session} {value}"), digest, expected, Kind.WRITE, writes, ttl_ms)


def step_writes(
    blobs: Sequence[bytes], values: Sequence[float], token: str, digest: bytes = bytes(8), ttl_ms: int = 0
) -> list[Writes]:
    """Fold one value into each session; the toy model's state is filled with the step."""
    rows = np.stack([np.frombuffer(blob[: LAYOUT.live_bytes], np.uint8) for blob in blobs])
    live, every = live_of(rows, LAYOUT), np.arange(len(blobs))
    head = live["head"]
    tokens = np.tile(np.frombuffer(token_of(token), np.uint8), (len(blobs), 1))
    digests = np.tile(np.frombuffer(digest, np.uint8), (len(blobs), 1))
    bump(head, tokens, digests)
    head["step"] += np.uint64(1)
    head["ttl_ms"] = ttl_ms
    live["state"] = (head["step"] % 251).astype(np.uint8)[:, None]
    slots = np.zeros(len(blobs), LAYOUT.slot)
    slots["step"], slots["value"], slots["revision"] = head["step"], values, head["revision"]
    slots["issued"] = np.asarray(values)[:, None]
    outcomes = np.zeros(len(blobs), LAYOUT.outcome)
    outcomes["token"], outcomes["digest"], outcomes["revision"] = tokens, digests, head["revision"]
    outcomes["kind"] = AnswerKind.ADVANCE
    outcomes["step"], outcomes["status"], outcomes["observed"] = head["step"], 200, slots
    due = np.flatnonzero(snapshots_due(head))
    kept = np.zeros(len(due), LAYOUT.snapshot)
    kept["step"], kept["state"] = head["step"][due], live["state"][due]
    return wave_writes(live, LAYOUT, slots=(every, slots), outcomes=(every, outcomes), snapshots=(due, kept))
