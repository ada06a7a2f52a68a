"""Drift of sessions as their models notice it: since which step, and for whom a commit begins or ends it."""

import numpy as np
from numpy.typing import NDArray

from service.live.events import Drifted
from service.sessions.registry import LoadedModel
from service.sessions.whole import Whole
from service.storage.answers import Answer, Label
from service.storage.layout import Bytes, Structured
from service.wire import render

Integers = NDArray[np.int64]


def since(loaded: LoadedModel, states: Bytes, steps: Structured) -> Integers:
    """The step at which drift was detected in each of B sessions; 0 = there is none, or the model cannot tell.

    Args:
        states: (B, S), of sessions at `steps` (B,).
    """
    lasted = loaded.model.alarmed(states)
    if not lasted.any():  # as in most waves, each of which asks twice
        return lasted
    begun: Integers = np.where(lasted > 0, np.maximum(steps.astype(np.int64) - lasted + 1, 1), 0)
    return begun


def turned(before: Integers, after: Integers) -> dict[int, int | None]:
    """By row, the sessions whose drift has begun, with the step at which it did, or ended: None.

    Args:
        before, after: (B,) as `since` gives them for the states before a commit and after it.
    """
    rows = np.flatnonzero((before > 0) != (after > 0)).tolist()
    return {row: int(after[row]) or None for row in rows}


def of(whole: Whole) -> Integers:
    """(1,) of a session in memory."""
    head = whole.record.head
    return since(whole.loaded, whole.record.state[None], head["step"].reshape(1))


def event(label: Label, head: Structured, answer: Answer, step: int | None) -> Drifted:
    """What is told of a session whose drift a commit has begun, at this step, or ended: None.

    Args:
        head: after the commit.
    """
    at = None if step is None else render.key(label, head, step)
    return Drifted(label.session, at, answer.step, render.etag(answer.incarnation, answer.revision))
