"""Rows of a file as they are sent: what creates a session, and what later rows are.

Each says what is known in advance at it, as the rows after it tell, wherever the file is cut.
"""

import json
from collections.abc import Sequence
from math import isnan

import numpy as np
import pyarrow as pa

from hiddenstate.answers.sessions import Session
from hiddenstate.files.foreseeing import Calendar, Foreseeing, Future
from hiddenstate.files.standing import Rows
from hiddenstate.files.tables import Part, pc
from hiddenstate.files.taken import Taken
from hiddenstate.sending.calls import ARROW, JSON_LINES
from hiddenstate.sending.shapes import Observation, Settings
from models.dates.grid import grid


class Outgoing:
    """Writes rows.

    Args:
        prefix: put before each unique_id.
    """

    def __init__(self, taken: Taken, ahead: Foreseeing, prefix: str) -> None:
        self._taken = taken
        self._ahead = ahead
        self._prefix = prefix
        self._stands: dict[str, tuple[Calendar, str]] = {}
        """Of sessions that are there: how their steps follow each other, and their model."""

    def note(self, name: str, session: Session | None) -> None:
        """This is the session of a series, as it stands."""
        if session is not None:
            self._stands[name] = Calendar.of(session), session.model

    def history(self, part: Part, name: str, rows: Sequence[int], settings: Settings) -> list[Observation]:
        """Rows that create a session with these settings.

        The service tells each what those after it say; rows that are not among them are told of here. Where no freq is
        named, that of the model is not known before the session is there, and so not which row is the next step.
        """
        known, horizon = self._taken.known(settings.get("model"))
        freq = settings.get("freq")
        cut = len(rows) - horizon if known and (part.moments is None or freq is not None) else len(rows)
        futures: list[Future | None] = [None] * max(cut, 0)
        if last := rows[len(futures) :]:
            calendar = Calendar(None if part.moments is None or freq is None else grid(freq), None)
            futures += self._ahead.futures(name, np.array(last), calendar, known, horizon)
        return [self._observation(part, row, future) for row, future in zip(rows, futures, strict=True)]

    @property
    def content_type(self) -> str:
        """Of `rows`: a table has no column for what is known in advance."""
        return JSON_LINES if self._taken.horizon else ARROW

    def rows(self, part: Part, rows: Rows) -> bytes:
        """Rows of sessions that are there."""
        return self._lines(part, rows) if self._taken.horizon else self._table(part, rows)

    def _lines(self, part: Part, rows: Rows) -> bytes:
        futures: dict[int, Future | None] = {}
        order = np.argsort(part.codes[rows], kind="stable")
        for own in np.split(rows[order], np.flatnonzero(np.diff(part.codes[rows][order])) + 1):
            name = part.names[part.codes[own[0]]]
            if (stands := self._stands.get(name)) is not None:
                calendar, model = stands
                known, horizon = self._taken.known(model)
                if known:
                    told = self._ahead.futures(name, own, calendar, known, horizon)
                    futures |= dict(zip(own.tolist(), told, strict=True))
        lines = (
            {"session": self._prefix + part.names[part.codes[row]], **self._observation(part, row, futures.get(row))}
            for row in rows.tolist()
        )
        return b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    def _observation(self, part: Part, row: int, future: Future | None) -> Observation:
        value = float(part.values[row])
        observation: Observation = {"value": None if isnan(value) else value}
        if part.moments is None:
            observation["step"] = int(part.where[row])
        else:
            observation["timestamp"] = part.moments[part.where[row]]
        if self._taken.observed:
            observation["covariates"] = {name: part.table[name][row].as_py() for name in self._taken.observed}
        if future is not None:
            observation["future"] = future
        return observation

    def _table(self, part: Part, rows: Rows) -> bytes:
        table = part.table.take(rows)
        ids = pc.binary_join_element_wise(self._prefix, table["unique_id"], "")
        table = table.set_column(table.schema.get_field_index("unique_id"), "unique_id", ids)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue().to_pybytes()
