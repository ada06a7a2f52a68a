"""Drift of sessions as their models notice it: since which step, and where it begins and ends.

Of observations that were sent, each at which drift begins or ends is told, however many a request had. Whatever else
changes a session is told by what it was before and is afterwards.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.artifacts.runtime import alarmed
from service.live.events import Drifted, Event, Happened
from service.sessions.registry import LoadedModel
from service.sessions.whole import Whole
from service.storage.answers import Label
from service.storage.layout import Bytes, Structured
from service.wire import render

Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]


class Stood(NamedTuple):
    """A session before a commit: its step, and `Model.alarms` (2,) of it."""

    step: int
    alarm: Doubles


NOWHERE = Stood(0, np.zeros(2))
"""Of a session that was not there."""


class Turn(NamedTuple):
    """Drift of the session of this row begins or ends at a step; `since` is where it began, None = it has ended.

    With another past a session may be in drift as before, and since another step: that is a turn as well.
    """

    row: int
    step: int
    since: int | None


def since(loaded: LoadedModel, states: Bytes, steps: Structured) -> Integers:
    """The step at which drift was detected in each of B sessions; 0 = there is none, or the model cannot tell.

    Args:
        states: (B, S), of sessions at `steps` (B,).
    """
    return _begun(loaded.model.alarmed(states), steps.astype(np.int64))


def turns(alarms: Doubles, steps: Integers) -> list[Turn]:
    """Where drift begins and ends, session by session.

    Args:
        alarms: (B, N, 2) `Model.alarms` of states of B sessions, one after the other, the first before a commit.
        steps: (B, N) of those states.
    """
    lasted = alarmed(alarms)
    if not lasted.any():  # as in most waves
        return []
    begun = _begun(lasted, steps)
    rows, places = np.nonzero(begun[:, 1:] != begun[:, :-1])
    at, firsts = steps[rows, places + 1].tolist(), begun[rows, places + 1].tolist()
    return [Turn(row, step, first or None) for row, step, first in zip(rows.tolist(), at, firsts, strict=True)]


def along(before: Stood, alarms: Doubles, last: int) -> list[Turn]:
    """Where drift of one session begins and ends.

    Args:
        alarms: (N, 2) of what was made of it: before the first of its new steps, and after each, to step `last`.
    """
    steps = np.array([before.step, *range(last - len(alarms) + 1, last + 1)])
    return turns(np.concatenate([before.alarm[None], alarms])[None], steps[None])


def between(before: Stood, whole: Whole) -> list[Turn]:
    """The turn, if there is one, with what was made of a session."""
    after = stood(whole)
    return along(before, after.alarm[None], after.step)


def stood(whole: Whole) -> Stood:
    """A session in memory, before it is changed; where its model is not here, as if it noticed no drift."""
    states = whole.record.state[None]
    alarm = whole.loaded.model.alarms(states)[0].copy() if whole.is_of_model else NOWHERE.alarm
    return Stood(whole.record.step, alarm)


def is_drifting(whole: Whole) -> bool:
    return bool(alarmed(stood(whole).alarm) > 0)


def event(label: Label, head: Structured, etag: str, turn: Turn) -> Drifted:
    """What is told of a turn, by the head after its commit."""
    at = None if turn.since is None else render.key(label, head, turn.since)
    return Drifted(label.session, at, turn.step, etag)


def told(before: Stood, whole: Whole) -> list[Drifted]:
    """The events of what `between` finds, once the record is as it is to be stored."""
    label, head = whole.place.label, whole.record.head
    return [event(label, head, render.head_etag(head), turn) for turn in between(before, whole)]


def deleted(session: str, *, drifting: bool) -> list[Event]:
    """What is told of a session that is gone."""
    ended = [Drifted(session, None, None, None)] if drifting else []
    return [Happened(session, "deleted", None, None), *ended]


def _begun(lasted: Integers, steps: Integers) -> Integers:
    """The steps at which alarms were raised that have lasted so long; 0 = there is none."""
    begun: Integers = np.where(lasted > 0, np.maximum(steps - lasted + 1, 1), 0)
    return begun
