"""What a session that is there holds of a file's rows, so that only those are sent that it must hear of."""

from datetime import UTC, tzinfo
from math import isnan
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from hiddenstate.answers.sessions import Session
from hiddenstate.client import Client
from hiddenstate.files.tables import OF_SERIES, UNREADABLE, Part, instant_in

Rows = NDArray[np.int64]


class Compared(NamedTuple):
    """Rows to send, how many are older than what the session can correct, and how many it holds as they are."""

    rows: Rows
    older: int
    same: int


def compare(client: Client, session: Session, part: Part, rows: Rows) -> Compared:
    """Compare one series' rows with a session; `session` says where it stood when its first rows came up.

    Raises:
        ProblemError, ServiceUnreachable: what it holds cannot be read.
    """
    if session.step == 0 or (session.freq is None) != (part.moments is None):
        return Compared(rows, 0, 0)  # the service says what it makes of them
    zone = UTC if session.timezone == "UTC" else ZoneInfo(session.timezone)
    last = session.step if part.moments is None else instant_in(zone, str(session.last))
    oldest = session.retained_from
    first = last + 1 if oldest is None else int(oldest) if part.moments is None else instant_in(zone, str(oldest))
    times = part.times_in(zone, rows)
    kept = (times >= first) | (times == UNREADABLE)
    again = np.flatnonzero((times >= first) & (times <= last))
    # What a covariate was cannot be told apart from one that is missing, so those rows are all sent.
    if len(again) and part.table.num_columns == len(OF_SERIES):
        held = _held(client, session.session, zone, int(times[again].min()))
        same = [index for index in again.tolist() if _is_same(held, int(times[index]), float(part.values[rows[index]]))]
        kept[same] = False
        return Compared(rows[kept], int((times < first).sum() - (times == UNREADABLE).sum()), len(same))
    return Compared(rows[kept], len(rows) - int(kept.sum()), 0)


def _held(client: Client, session: str, zone: tzinfo, first: int) -> dict[int, float | None]:
    """The values that were observed from a time or step on; those that were imputed are not."""
    held: dict[int, float | None] = {}
    for record in client.records(session, newest_first=True):
        at = record.step if record.timestamp is None else instant_in(zone, record.timestamp)
        if at < first:
            break
        if not record.imputed:
            held[at] = record.value
    return held


def _is_same(held: dict[int, float | None], at: int, value: float) -> bool:
    return at in held and held[at] == (None if isnan(value) else value)
