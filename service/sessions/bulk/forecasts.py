"""Forecasts of many sessions: those of one model are computed in one call, and their bits are those of a single one."""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.dates.grid import Grid, TimestampError
from service.sessions.registry import LoadedModel
from service.sessions.views import Shown, View, Views
from service.storage.answers import Label
from service.wire import render
from service.wire.batch.rows import Rows
from service.wire.forecast_tables import Foreseen
from service.wire.parsing import Covariates
from service.wire.problems import Fault, InvalidRequest, ServiceError, Standing, pointer
from service.wire.session_problems import SessionNotFound

SESSIONS_AT_ONCE = 256
COLUMN = re.compile(r"^/future/[0-9]+/")
"""What the pointer to a covariate of a step ahead begins with."""
TIMES = pointer("ds")
"""The column that says which steps a future frame asks for."""


class Forecasting:
    """Reads sessions and forecasts them; nothing here commits.

    Args:
        between: waits for a moment at which a slice of work delays nobody.
    """

    def __init__(self, views: Views, between: Callable[[], Awaitable[None]]) -> None:
        self._views = views
        self._between = between

    async def foresee(
        self,
        sessions: Sequence[str],
        horizons: Sequence[int],
        levels: Sequence[int],
        futures: Sequence[Sequence[Covariates]] | None = None,
    ) -> list[Foreseen]:
        """The forecast of each session, so many steps ahead, or why there is none.

        Args:
            futures: of each session of a future frame, covariates known in advance, nearest first; those that are kept
                where there are none.
        Raises:
            StoreUnavailable: the store did not answer.
        """
        found = await self._views.many(sessions)
        await self._between()
        direct = _direct(found, horizons)
        await self._between()
        return [
            _foreseen_or_refused(session, view, horizon, levels, direct.get(row), futures[row] if futures else None)
            for row, (session, view, horizon) in enumerate(zip(sessions, found, horizons, strict=True))
        ]


class Frame:
    """A future frame: for each session the times to forecast for, which are those of its next steps, in order.

    Attributes:
        sessions: the different ones, as they come first.
    """

    def __init__(self, rows: Rows) -> None:
        self.sessions = rows.names
        self._rows = rows
        order = np.argsort(rows.sessions, kind="stable")
        self._of = np.split(order, np.cumsum(np.bincount(rows.sessions, minlength=len(rows.names)))[:-1])

    def horizon(self, session: int) -> int:
        """Rows of a session."""
        return len(self._of[session])

    def future(self, session: int) -> list[Covariates]:
        """The covariates of a session's rows; empty where none has any."""
        rows = [self._rows.covariates.get(row, (None, None))[0] or {} for row in self._of[session].tolist()]
        return rows if any(rows) else []

    def refused(self, session: int) -> ServiceError | None:
        """Why a session's rows cannot be read."""
        problems = self._rows.refused
        rows = self._of[session].tolist() if problems else ()
        return next((problems[row] for row in rows if row in problems), None)

    def matched(self, session: int, found: Foreseen) -> Foreseen:
        """The forecast of a session, or the refusal of what its rows ask for."""
        if found.problem is not None or found.label is None:
            return found
        try:
            for ahead, row in enumerate(self._of[session].tolist(), 1):
                self._require_next(row, found.label, found.step, found.last, ahead)
        except ServiceError as refused:
            return Foreseen(found.session, refused)
        return found

    def _require_next(self, row: int, label: Label, step: int, last: int, ahead: int) -> None:
        """Raises InvalidRequest: a row is not the step so far ahead, or has what the model does not take."""
        observation, grid = self._rows.observation(row), label.grid
        standing = Standing(label.session, step, render.written(grid, last))
        if grid is None:
            expected: str | int = step + ahead
            is_next = observation.timestamp is None and observation.step in (None, expected)
        else:
            instant = grid.advance(last, ahead)
            expected = grid.format(instant)
            is_next = observation.step is None and _names(grid, observation.timestamp, instant)
        if not is_next:
            detail = f"must be {expected}, step {ahead} after the last observation: a frame begins with the next step"
            raise InvalidRequest([Fault(detail, TIMES)], at=standing)


def _names(grid: Grid, text: str | None, instant: int) -> bool:
    try:
        return text is None or grid.parse(text) == instant
    except TimestampError:
        return False


def _direct(found: Sequence[object], horizons: Sequence[int]) -> dict[int, NDArray[np.float64]]:
    """(H, Q) the models' own fans of the sessions for which more than the next step is asked, by their row."""
    rows: dict[LoadedModel, list[int]] = defaultdict(list)
    states: dict[LoadedModel, list[NDArray[np.uint8]]] = defaultdict(list)
    for row, view in enumerate(found):
        if isinstance(view, View) and horizons[row] > 1:
            rows[view.loaded].append(row)
            states[view.loaded].append(view.state)
    fans: dict[int, NDArray[np.float64]] = {}
    for loaded, numbers in rows.items():
        fans.update(zip(numbers, loaded.model.forecast(np.stack(states[loaded])), strict=True))
    return fans


def _foreseen_or_refused(
    session: str,
    view: Shown | ServiceError | None,
    horizon: int,
    levels: Sequence[int],
    direct: NDArray[np.float64] | None,
    future: Sequence[Covariates] | None,
) -> Foreseen:
    if view is None:
        return Foreseen(session, SessionNotFound(session))
    if isinstance(view, ServiceError):
        return Foreseen(session, view)
    if not isinstance(view, View):
        return Foreseen(session, view.refused)
    try:
        quantiles = view.quantiles(horizon, levels, direct, future or ())
    except InvalidRequest as refused:  # which names parameters of a single forecast
        faults = [_of_object(fault) if future is None else _of_frame(fault) for fault in refused.errors]
        return Foreseen(session, InvalidRequest(faults, at=refused.at))
    except ServiceError as refused:
        return Foreseen(session, refused)
    return foreseen(view, quantiles, levels)


def _of_object(fault: Fault) -> Fault:
    """A fault of a member of a JSON object."""
    return Fault(fault.detail, pointer(fault.parameter or ""))


def _of_frame(fault: Fault) -> Fault:
    """A fault of a column of a future frame, whose number of rows is the horizon; levels are asked for in its query."""
    if fault.parameter == "horizon":
        return Fault(f"the rows of a session {fault.detail}", TIMES)
    if fault.pointer == pointer("future"):
        return Fault(fault.detail, TIMES)
    return fault._replace(pointer=COLUMN.sub("/", fault.pointer)) if fault.pointer else fault


def foreseen(view: View, quantiles: NDArray[np.float64], levels: Sequence[int]) -> Foreseen:
    """What `View.quantiles` gave, as it is written."""
    step, last = int(view.head["step"]), int(view.head["last"])
    return Foreseen(
        view.label.session, None, view.label, step, last, quantiles, lambda: view.answer(quantiles, levels)
    )
