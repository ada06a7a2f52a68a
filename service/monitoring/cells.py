"""Numbers that several processes count in and each of them can read: one piece of shared memory, a row a process.

Each process writes its own row only, so nothing is locked; a number is eight aligned bytes, written at once. A worker
that is started in the place of a dead one goes on with that one's row: no total ever goes backwards. The memory belongs
to a file without a name, which is gone with the last process that has it open, however that ends.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from multiprocessing.reduction import DupFd
from typing import Any

import numpy as np
from numpy.typing import NDArray

CELL_BYTES = 8


class Cells:
    """(rows, columns) of float64, zero at first.

    It can be handed to a process that is being started, and only then be pickled.
    """

    def __init__(self, rows: int, columns: int, descriptor: int | None = None) -> None:
        """Args: descriptor: of memory that another process made; None = make it."""
        self._shape = rows, columns
        if descriptor is None:
            descriptor = _nameless(rows * columns * CELL_BYTES)
        self._descriptor = descriptor
        self._memory = mmap.mmap(descriptor, rows * columns * CELL_BYTES)
        self._all: NDArray[np.float64] = np.frombuffer(self._memory, np.float64).reshape(rows, columns)

    def row(self, number: int) -> memoryview[float]:
        """A process's own numbers. To add to one of a view is three times as fast as to one of an array."""
        return memoryview(self._all[number]).cast("B").cast("d")

    def totals(self) -> NDArray[np.float64]:
        """(columns,) over all processes."""
        totals: NDArray[np.float64] = self._all.sum(axis=0)
        return totals

    def __reduce__(self) -> tuple[Any, ...]:
        return _handed_over, (DupFd(self._descriptor), *self._shape)


def _handed_over(duplicate: Any, rows: int, columns: int) -> Cells:  # noqa: ANN401 - what stands for a descriptor
    return Cells(rows, columns, duplicate.detach())


def _nameless(size: int) -> int:
    with tempfile.TemporaryFile(prefix="hiddenstate-") as file:
        file.truncate(size)
        return os.dup(file.fileno())
