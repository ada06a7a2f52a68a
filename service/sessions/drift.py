"""Drift of sessions as their models notice it: since which step, and for whom a commit begins or ends it."""

import numpy as np
from numpy.typing import NDArray

from service.sessions.registry import LoadedModel
from service.storage.layout import Bytes, Structured

Integers = NDArray[np.int64]


def since(loaded: LoadedModel, states: Bytes, steps: Structured) -> Integers:
    """The step at which drift was detected in each of B sessions; 0 = there is none, or the model cannot tell.

    Args:
        states: (B, S), of sessions at `steps` (B,).
    """
    lasted = loaded.model.alarmed(states)
    begun: Integers = np.where(lasted > 0, np.maximum(steps.astype(np.int64) - lasted + 1, 1), 0)
    return begun


def turned(before: Integers, after: Integers) -> dict[int, int | None]:
    """By row, the sessions whose drift has begun, with the step at which it did, or ended: None.

    Args:
        before, after: (B,) as `since` gives them for the states before a commit and after it.
    """
    rows = np.flatnonzero((before > 0) != (after > 0)).tolist()
    return {row: int(after[row]) or None for row in rows}
