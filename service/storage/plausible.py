"""What the numbers of a record can be: a right checksum proves what was written, not that it was sound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.dates.zones import FIRST
from service.storage.layout import NO_TIME, WINDOW, AnswerKind, HeadFlag, Structured, snapshot_every

HISTORY_LIMIT = 10_000
STEP_LIMIT = 2**53
LAST_US = 253_370_764_800_000_000
"""Microseconds to the beginning of the year 9999: what follows can still be written."""
LAST_MS = LAST_US // 1000
KINDS = tuple(int(kind) for kind in AnswerKind)

Flags = NDArray[np.bool_]


def implausible(heads: Structured) -> dict[int, str]:
    """B heads -> what cannot be, by row; empty = nothing."""
    finite_or_none = ~np.isinf(heads["minimum"]) & ~np.isinf(heads["maximum"])
    ttl, updated, expires = heads["ttl_ms"], heads["updated_ms"], heads["expires_ms"]
    reasons: dict[int, str] = {}
    for sound, reason in (
        (heads["history"] <= HISTORY_LIMIT, "it retains more than any session may"),
        ((heads["history"] > 0) | (heads["flags"] & HeadFlag.FULL == 0), "it keeps all and has no room for any"),
        ((heads["step"] < STEP_LIMIT) & (heads["revision"] < STEP_LIMIT), "its step or revision is absurd"),
        ((heads["first"] >= 1) & (heads["first"] <= heads["step"] + np.uint64(1)), "its history begins after its end"),
        (_is_time(heads["last"]) & _is_time(heads["anchor"]), "its times are absurd"),
        ((heads["last"] == NO_TIME) == ((heads["freq"] == b"") | (heads["step"] == 0)), "its time and freq do not fit"),
        ((heads["anchor"] == NO_TIME) == (heads["last"] == NO_TIME), "its phase and times do not fit"),
        ((heads["created_ms"] <= LAST_MS) & (updated <= LAST_MS) & (ttl <= LAST_MS), "its clock readings are absurd"),
        ((expires == 0) == (ttl == 0), "its expiry is not that of its time to live"),
        ((ttl == 0) | (expires == updated + ttl), "its expiry is not that of its last commit"),
        ((heads["gaps"] <= 1) & (heads["require_if_match"] <= 1) & (heads["flags"] <= 7), "its settings are absurd"),
        (finite_or_none & ~(heads["minimum"] > heads["maximum"]), "its bounds are absurd"),
    ):
        for row in np.flatnonzero(~sound).tolist():
            reasons.setdefault(row, reason)
    return reasons


def are_sound_slots(slots: Structured, revision: int) -> bool:
    """Whether these can be observations of a session that stands at a revision."""
    numbers = slots["value"], slots["original"], slots["issued"], slots["revised"]
    return bool(
        (slots["flags"] <= 7).all()
        and (slots["revision"] <= revision).all()
        and _is_time(slots["timestamp"]).all()
        and not any(np.isinf(array).any() for array in numbers)
    )


def follow_each_other(slots: Structured, head: Structured) -> bool:
    """Whether these can be the last observations, oldest first, of the session with this head."""
    times = slots["timestamp"]
    if not len(times) or not head["freq"]:
        return True  # where steps are counted, nobody reads the times
    return bool((times != NO_TIME).all() and (np.diff(times) > 0).all() and times[-1] == head["last"])


def are_sound_outcomes(outcomes: Structured, revision: int) -> bool:
    """Whether these can be the last answers of a session that stands at a revision; unused ones are all zeros."""
    used = outcomes[outcomes["status"] != 0]
    return bool(
        len(outcomes) == WINDOW
        and _are_among(used["status"], (200, 201))
        and _are_among(used["kind"], KINDS)
        and (used["revision"] <= revision).all()
        and (used["step"] < STEP_LIMIT).all()
        and _is_time(used["forecast_time"]).all()
        and not np.isinf(used["forecast"]).any()
        and are_sound_slots(used["observed"], revision)
    )


def are_sound_snapshots(snapshots: Structured, step: int, history: int, base: int) -> bool:
    """Whether these can be the kept states of a session that stands at a step; `base` is that of the oldest."""
    every = snapshot_every(history)
    return all(
        snapshot["filled"] == 0
        or (
            snapshot["filled"] == 1
            and int(snapshot["step"]) <= step
            and (int(snapshot["step"]) % every == 0 or int(snapshot["step"]) == base)
            and int(snapshot["step"]) // every % 2 == index
        )
        for index, snapshot in enumerate(snapshots)
    )


def _are_among(numbers: NDArray[np.uint16], known: Sequence[int]) -> bool:
    return bool(np.any([numbers == number for number in known], axis=0).all())


def _is_time(instants: NDArray[np.int64]) -> Flags:
    known: Flags = (instants == NO_TIME) | ((instants >= FIRST) & (instants < LAST_US))
    return known
