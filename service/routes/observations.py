"""The history of a session, read and corrected. Observations are posted to the hot route."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from service.routes.exchange import PROBLEMS, CoreDep, SessionDep, conditions, json_body, read_reply, write_reply
from service.sessions.work import Correct
from service.wire import parsing, render, schemas
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
    descending = query.order_by == "step desc"
    whole, shown, last = await core.records.page(session, size=size, after=after, descending=descending)
    token = "" if last is None else write_token(last)
    body = render.observations(whole.place.label, shown, token)
    return read_reply(request, body, render.head_etag(whole.record.head))


@router.patch("/v1/sessions/{session}/observations/{key}", response_model=schemas.Advance)
async def patch_observation(session: SessionDep, key: str, request: Request, core: CoreDep) -> Response:
    """Correct one observation, named by its timestamp or, in digits, its step; what follows it is folded again."""
    correction = parsing.request(await json_body(request, core), schemas.Correction)
    given = conditions(request, "correct", (key, correction.model_dump(exclude_unset=True)))
    work = Correct(session, given.token, given.digest, given.if_match, key=key, correction=correction)
    return write_reply(await core.waves.submit(session, work, timeout_s=core.settings.long_deadline_s, alone=True))
