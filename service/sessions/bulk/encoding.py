"""What a commit of many sessions with several observations each writes: what lies side by side goes in one piece."""

import numpy as np
from numpy.typing import NDArray

from service.storage.checksums import seal
from service.storage.fresh import FreshRecords
from service.storage.layout import WINDOW, HeadFlag, Layout, Structured
from service.storage.record import Record, Writes, seal_live

Integers = NDArray[np.int64]
Snapshots = list[tuple[Integers, Structured]]
"""Sessions, and the states of theirs to keep, in the order of their steps."""


def change_writes(
    live: Structured,
    layout: Layout,
    slots: tuple[Integers, Structured],
    outcomes: tuple[Integers, Structured],
    snapshots: Snapshots,
) -> list[Writes]:
    """What to write for B sessions that are there.

    Checksums are computed here, in place, but for those of slots.

    Args:
        live: (B,) heads and states.
        slots, outcomes: which session each is of, in order, and the entries themselves, those of a session in order.
    """
    seal_live(live)
    heads, size, data = live["head"], live.dtype.itemsize, live.tobytes()
    writes: list[list[tuple[int, bytes]]] = [[(0, data[at : at + size])] for at in range(0, len(data), size)]
    owners, array = _kept_slots(heads, *slots)
    histories = heads["history"][owners]
    is_full = (heads["flags"][owners] & HeadFlag.FULL) != 0  # the store looks at each slot for the rings they fill
    _add(writes, owners, np.array(layout.slot_offsets(array["step"], histories)), array, is_full)
    owners, array = _kept_outcomes(heads, *outcomes)
    seal(array)
    _add(writes, owners, np.array(layout.outcome_offsets(array["revision"])), array)
    for owners, array in snapshots:
        array["filled"] = 1
        seal(array)
        offsets = layout.snapshot_offsets(array["step"], heads["history"][owners])
        _add(writes, owners, np.array(offsets), array)
    return [tuple(write) for write in writes]


def whole_records(
    template: Record,
    live: Structured,
    slots: tuple[Integers, Structured],
    outcomes: tuple[Integers, Structured],
    snapshots: Snapshots,
) -> list[Writes]:
    """What to write for B sessions that are new, as `change_writes`.

    Args:
        template: what they were before their first observations.
    """
    heads = live["head"]
    records = FreshRecords(template, len(live))
    records.heads[:] = heads
    records.put_states(live["state"])
    records.put_slots(*_kept_slots(heads, *slots))
    records.put_outcomes(*_kept_outcomes(heads, *outcomes))
    for owners, array in snapshots:
        index = array["step"].astype(np.int64) // np.maximum(heads["history"][owners].astype(np.int64) // 2, 1) % 2
        records.put_snapshots(owners, index, array)
    blobs = records.render()
    live["head"] = records.heads
    return [((0, blob),) for blob in blobs]


def _kept_slots(heads: Structured, owners: Integers, slots: Structured) -> tuple[Integers, Structured]:
    """Those that the ring still holds after the last one, or that the store moves on from there."""
    histories = heads["history"][owners]
    kept = slots["step"] + histories > heads["step"][owners]
    kept |= (heads["flags"][owners] & HeadFlag.FULL) != 0
    kept &= histories > 0
    return _some(kept, owners, slots)


def _kept_outcomes(heads: Structured, owners: Integers, outcomes: Structured) -> tuple[Integers, Structured]:
    return _some(outcomes["revision"] + np.uint64(WINDOW) > heads["revision"][owners], owners, outcomes)


def _some(kept: NDArray[np.bool_], owners: Integers, array: Structured) -> tuple[Integers, Structured]:
    if kept.all():
        return owners, array
    rows = np.flatnonzero(kept)
    return owners[rows], array.take(rows)  # an index would copy such entries number by number: thirty times as long


def _add(
    writes: list[list[tuple[int, bytes]]],
    owners: Integers,
    offsets: Integers,
    array: Structured,
    apart: NDArray[np.bool_] | None = None,
) -> None:
    """Add entries at these offsets; those of a session that follow each other in its record are one piece.

    Args:
        apart: whether each is to be a piece of its own.
    """
    if not len(array):
        return
    size, data = array.dtype.itemsize, array.tobytes()
    begins = (np.diff(owners, prepend=-1) != 0) | (np.diff(offsets, prepend=-1) != size)
    if apart is not None:
        begins |= apart
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(array)) * size
    pieces = zip(
        owners[starts].tolist(), offsets[starts].tolist(), (starts * size).tolist(), ends.tolist(), strict=True
    )
    for owner, offset, start, end in pieces:
        writes[owner].append((offset, data[start:end]))

