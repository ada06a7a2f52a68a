"""The records of many new sessions at once: the numbers of all go into arrays, and only checksums are one by one."""

import numpy as np
from numpy.typing import NDArray

from service.storage.checksums import live_crc, seal
from service.storage.layout import WINDOW, Bytes, Structured
from service.storage.record import Record


class FreshRecords:
    """B records made from the same settings: `heads` (B,) to fill in, then the parts.

    Args:
        template: a session without observations, at revision 0.
    """

    def __init__(self, template: Record, count: int) -> None:
        self._tail = template.render()[template.parts.nbytes :]  # and what stays as it is has its checksums now
        self._layout = template.layout
        self._history = template.history
        self._records: Structured = np.full(count, template.parts)

    @property
    def heads(self) -> Structured:
        heads: Structured = self._records["head"]
        return heads

    def put_states(self, states: Bytes) -> None:
        """(B, S), the live ones."""
        self._records["state"] = states

    def put_outcomes(self, rows: NDArray[np.int64], outcomes: Structured) -> None:
        """(N,) the last answers, and the record of each."""
        seal(outcomes)
        self._records["outcomes"][rows, outcomes["revision"].astype(np.int64) % WINDOW] = outcomes

    def put_slots(self, rows: NDArray[np.int64], slots: Structured) -> None:
        """(N,) retained observations, and the record of each."""
        if self._history:
            seal(slots)
            self._records["ring"][rows, (slots["step"].astype(np.int64) - 1) % self._history] = slots

    def put_snapshots(self, rows: NDArray[np.int64], index: NDArray[np.int64], snapshots: Structured) -> None:
        """(N,) kept states, the record of each and its place there."""
        snapshots["filled"] = 1
        seal(snapshots)
        self._records["snapshots"][rows, index] = snapshots

    def render(self) -> list[bytes]:
        """The bytes to store, all checksums computed."""
        records, size, live = self._records, self._records.dtype.itemsize, self._layout.live_bytes
        heads = memoryview(records.view(np.uint8).reshape(-1, size)[:, :live].tobytes())
        records["head"]["crc"] = [live_crc(heads[at : at + live]) for at in range(0, len(heads), live)]
        data = records.tobytes()
        return [data[at : at + size] + self._tail for at in range(0, len(data), size)]
