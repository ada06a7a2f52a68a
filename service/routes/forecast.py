"""Forecasts that commit nothing."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from service.routes.exchange import PROBLEMS, CoreDep, SessionDep, read_reply
from service.wire import schemas
from service.wire.problems import Fault, InvalidRequest

router = APIRouter(tags=["forecasts"], responses=PROBLEMS)


class ForecastQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    horizon: int = Field(default=1, ge=1)
    """Steps ahead; up to ten times the model's own, continued from the medians beyond it."""
    levels: str = Field(default="80,95", max_length=100)
    """Intervals in percent, of those that the model has."""


@router.get("/v1/sessions/{session}/forecast", response_model=schemas.Forecasts)
async def get_forecast(
    session: SessionDep, request: Request, query: Annotated[ForecastQuery, Query()], core: CoreDep
) -> Response:
    """The forecast of the next steps. Quantiles of several steps must not be summed."""
    levels = _levels(query.levels)
    view = await core.views.one(session)
    return read_reply(request, view.forecast(query.horizon, levels), view.etag)


def _levels(text: str) -> list[int]:
    """Raises InvalidRequest unless it is a list of whole percents."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise InvalidRequest([Fault("must be whole percents, such as 80,95", parameter="levels")])
    return sorted({int(part) for part in parts})
