"""Forecasts that commit nothing."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from service.routes.exchange import (
    PROBLEMS,
    CoreDep,
    SessionDep,
    acceptable,
    accepted_media,
    json_body,
    read_reply,
    reply,
)
from service.sessions.bulk.forecasts import foreseen
from service.sessions.views import Stranded
from service.wire import forecast_tables, parsing, schemas
from service.wire.media import Media
from service.wire.problems import Fault, InvalidRequest, pointer

router = APIRouter(tags=["forecasts"], responses=PROBLEMS)


DEFAULT_LEVELS = "80,95"


class ForecastQuery(BaseModel):
    horizon: int = Field(default=1, ge=1)
    """Steps ahead; up to ten times the model's own, continued beyond it."""
    levels: str = Field(default=DEFAULT_LEVELS, max_length=100)
    """Intervals in percent, of those that the model has."""


@router.get("/v1/sessions/{session}/forecast", response_model=schemas.Forecasts)
async def get_forecast(
    session: SessionDep, request: Request, query: Annotated[ForecastQuery, Query()], core: CoreDep
) -> Response:
    """The forecast of the next steps, as JSON or, by Accept, as a table. Quantiles of several must not be summed.

    It reaches ten times the model's horizon; what is beyond that is continued, with intervals that widen further.
    """
    levels = levels_of(query.levels)
    media = accepted_media(request)
    view = await core.views.one(session)
    if media is Media.JSON:
        return read_reply(request, view.forecast(query.horizon, levels), view.etag, Vary="Accept")
    if isinstance(view, Stranded):
        raise view.refused
    quantiles = view.quantiles(query.horizon, levels)
    writer = forecast_tables.writer(media, levels, None)
    body = writer.part([foreseen(view, quantiles, levels)]) + writer.end(None)
    return read_reply(request, body, view.etag, media, Vary="Accept")


@router.post("/v1/sessions/{session}:forecast", response_model=schemas.Forecasts, dependencies=[Depends(acceptable)])
async def what_if(session: SessionDep, request: Request, core: CoreDep) -> Response:
    """The forecast of the next steps for what may come: `future` gives the covariates known in advance, nearest first.

    Nothing is committed, and the session is not kept alive by it.
    """
    asked = parsing.request(await json_body(request, core), schemas.WhatIf)
    view = await core.views.one(session)
    if isinstance(view, Stranded):
        raise view.refused
    try:
        return reply(view.forecast(asked.steps, sorted(set(asked.levels)), asked.future))
    except InvalidRequest as refused:  # which names parameters of the other forecast
        faults = [Fault(fault.detail, fault.pointer or pointer(fault.parameter or "")) for fault in refused.errors]
        raise InvalidRequest(faults, at=refused.at) from None


def levels_of(text: str) -> list[int]:
    """Levels as a query gives them. Raises InvalidRequest unless it is a list of whole percents."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise InvalidRequest([Fault("must be whole percents, such as 80,95", parameter="levels")])
    return sorted({int(part) for part in parts})
