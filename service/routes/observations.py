"""The history of a session. Observations are posted to the hot route."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from service.routes.exchange import PROBLEMS, CoreDep, SessionDep, read_reply
from service.wire import render, schemas
from service.wire.pages import read_token, write_token

router = APIRouter(tags=["observations"], responses=PROBLEMS)


class HistoryQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    page_size: Annotated[int, Field(ge=1)] | None = None
    """Observations on a page; capped, which is also the default."""
    page_token: str = ""
    order_by: Literal["step", "step desc"] = "step"


@router.get("/v1/sessions/{session}/observations", response_model=schemas.ObservationList)
async def get_observations(
    session: SessionDep, request: Request, query: Annotated[HistoryQuery, Query()], core: CoreDep
) -> Response:
    """The retained observations, each with the forecast that had been issued for it."""
    limit = core.settings.page_size_limit
    size = min(query.page_size or limit, limit)
    after = int(read_token(query.page_token, (int,))[0]) if query.page_token else None
    whole = await core.records.existing(session)
    shown, last = whole.page(size=size, after=after, descending=query.order_by == "step desc")
    token = "" if last is None else write_token(last)
    body = render.observations(whole.place.label, shown, token)
    return read_reply(request, body, render.head_etag(whole.record.head))
