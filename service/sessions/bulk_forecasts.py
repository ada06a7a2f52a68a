"""Forecasts of many sessions: those of one model are computed in one call, and their bits are those of a single one."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from service.sessions.registry import LoadedModel
from service.sessions.views import Shown, View, Views
from service.wire.forecast_tables import Foreseen
from service.wire.problems import ServiceError
from service.wire.session_problems import SessionNotFound

SESSIONS_AT_ONCE = 256


class Forecasting:
    """Reads sessions and forecasts them; nothing here commits.

    Args:
        between: waits for a moment at which a slice of work delays nobody.
    """

    def __init__(self, views: Views, between: Callable[[], Awaitable[None]]) -> None:
        self._views = views
        self._between = between

    async def foresee(self, sessions: Sequence[str], horizons: Sequence[int], levels: Sequence[int]) -> list[Foreseen]:
        """The forecast of each session, so many steps ahead, or why there is none.

        Raises:
            StoreUnavailable: the store did not answer.
        """
        found = await self._views.many(sessions)
        await self._between()
        direct = _direct(found, horizons)
        await self._between()
        return [
            _foreseen_or_refused(session, view, horizon, levels, direct.get(row))
            for row, (session, view, horizon) in enumerate(zip(sessions, found, horizons, strict=True))
        ]


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
) -> Foreseen:
    if view is None:
        return Foreseen(session, SessionNotFound(session))
    if isinstance(view, ServiceError):
        return Foreseen(session, view)
    if not isinstance(view, View):
        return Foreseen(session, view.refused)
    try:
        quantiles = view.quantiles(horizon, levels, direct)
    except ServiceError as refused:
        return Foreseen(session, refused)
    return foreseen(view, quantiles, levels)


def foreseen(view: View, quantiles: NDArray[np.float64], levels: Sequence[int]) -> Foreseen:
    """What `View.quantiles` gave, as it is written."""
    step, last = int(view.head["step"]), int(view.head["last"])
    return Foreseen(
        view.label.session, None, view.label, step, last, quantiles, lambda: view.answer(quantiles, levels)
    )
