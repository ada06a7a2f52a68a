"""Forecasts of many sessions in one request."""

import logging
from collections.abc import AsyncIterator, Sequence

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from service.core import Core
from service.routes.exchange import PROBLEMS, CoreDep, json_body
from service.sessions.bulk_forecasts import SESSIONS_AT_ONCE
from service.storage.store import StoreUnavailable
from service.wire import batch_schemas, forecast_tables, media, parsing, problems
from service.wire.batch_schemas import ForecastBatch
from service.wire.exchange import as_state, given_headers, text
from service.wire.forecast_tables import Foreseen
from service.wire.media import Media
from service.wire.problems import Fault, Internal, InvalidRequest, ServiceError, pointer

router = APIRouter(tags=["batch"], responses=PROBLEMS)

logger = logging.getLogger(__name__)


@router.post("/v1/forecasts:batch", response_model=batch_schemas.ForecastOutcomes)
async def post_forecasts_batch(request: Request, core: CoreDep) -> Response:
    """Forecasts of many sessions, as JSON, or as a table by Accept. Nothing is committed."""
    given = given_headers(request.scope["headers"])
    answered = media.accepted(text(given, b"accept"), Media.JSON)
    asked = parsing.request(await json_body(request, core), ForecastBatch)
    return _Forecasts(core, asked, answered)


class _Forecasts(Response):
    """The answer, sent while it is computed."""

    def __init__(self, core: Core, asked: ForecastBatch, answered: Media) -> None:
        super().__init__(media_type=answered, headers={"Vary": "Accept"})
        del self.headers["content-length"]
        self._core = core
        self._asked = asked
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id: str | None = as_state(scope).get("request_id")
        levels = sorted(set(self._asked.levels))
        writer = forecast_tables.writer(self._answered, levels, request_id)
        problem: ServiceError | None = None
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async for sessions in self._sessions():
                part = writer.part(await self._foreseen(sessions, levels))
                await send({"type": "http.response.body", "body": part, "more_body": True})
        except StoreUnavailable as error:
            problem = problems.StoreUnavailable(str(error))
        except Exception:
            logger.exception("request %s failed", request_id)
            problem = Internal(f"request {request_id}")
        await send({"type": "http.response.body", "body": writer.end(problem)})

    async def _sessions(self) -> AsyncIterator[Sequence[str]]:
        """Those asked for, some at a time."""
        if self._asked.sessions is not None:
            for at in range(0, len(self._asked.sessions), SESSIONS_AT_ONCE):
                yield self._asked.sessions[at : at + SESSIONS_AT_ONCE]
            return
        after = ""
        while True:
            prefix = self._asked.prefix or ""
            page = await self._core.index.by_name(prefix=prefix, after=after, limit=SESSIONS_AT_ONCE)
            if page:
                yield page
            if len(page) < SESSIONS_AT_ONCE:
                return
            after = page[-1]

    async def _foreseen(self, sessions: Sequence[str], levels: Sequence[int]) -> list[Foreseen]:
        """In their order; what is no id has no forecast."""
        refused: dict[int, Foreseen] = {}
        for row, session in enumerate(sessions):
            try:
                parsing.session_id(session)
            except InvalidRequest as error:
                [fault] = error.errors
                problem = InvalidRequest([Fault(fault.detail, pointer("sessions", row))])
                refused[row] = Foreseen(session, problem)
        readable = [session for row, session in enumerate(sessions) if row not in refused]
        horizons = [self._asked.horizon] * len(readable)
        found = iter(await self._core.forecasting.foresee(readable, horizons, levels))
        return [refused.get(row) or next(found) for row in range(len(sessions))]
