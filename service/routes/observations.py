"""The history of a session, read and corrected. Observations are posted to the hot route."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from service.routes.exchange import (
    PROBLEMS,
    CoreDep,
    SessionDep,
    acceptable,
    accepted_media,
    conditions,
    json_body,
    read_reply,
    write_reply,
)
from service.sessions.work import Correct
from service.wire import parsing, render, schemas, tables
from service.wire.media import Media
from service.wire.pages import Place, read_token, write_token

router = APIRouter(tags=["observations"], responses=PROBLEMS)


class HistoryQuery(BaseModel):
    page_size: Annotated[int, Field(ge=1)] | None = None
    """Observations on a page; capped, which is also the default."""
    page_token: str = ""
    order_by: Literal["step", "step desc"] = "step"


@router.get("/v1/sessions/{session}/observations", response_model=schemas.ObservationList)
async def get_observations(
    session: SessionDep, request: Request, query: Annotated[HistoryQuery, Query()], core: CoreDep
) -> Response:
    """The retained observations, each with the forecast that had been issued for it; by Accept as a table.

    A table's next page is in the header Link.
    """
    media = accepted_media(request)
    limit = core.settings.page_size_limit
    size = min(query.page_size or limit, limit)
    listed = [session, query.order_by]
    after = read_token(query.page_token, listed, tuple[Place])[0] if query.page_token else None
    descending = query.order_by == "step desc"
    whole, shown, last = await core.records.page(session, size=size, after=after, descending=descending)
    token = "" if last is None else write_token(listed, (last,))
    etag, label = render.head_etag(whole.record.head), whole.place.label
    if media is Media.JSON:
        return read_reply(request, render.observations(label, shown, token), etag, Vary="Accept")
    table = tables.table(media, tables.OBSERVED)
    body = table.part(tables.observed(label, shown)) + table.end()
    following = request.url.include_query_params(page_token=token)
    link = {"Link": f'<{following.path}?{following.query}>; rel="next"'} if token else {}
    return read_reply(request, body, etag, media, Vary="Accept", **link)


@router.patch(
    "/v1/sessions/{session}/observations/{key}", response_model=schemas.Advance, dependencies=[Depends(acceptable)]
)
async def patch_observation(session: SessionDep, key: str, request: Request, core: CoreDep) -> Response:
    """Correct one observation, named by its timestamp or, in digits, its step; what follows it is folded again.

    What is left out of the value, the covariates and the rows of `future` stays as it is.
    """
    correction = parsing.request(await json_body(request, core), schemas.Correction)
    given = conditions(request, "correct", (key, correction.model_dump(exclude_unset=True)))
    work = Correct(session, given.token, given.digest, given.if_match, key=key, correction=correction)
    return write_reply(await core.waves.submit(session, work, timeout_s=core.settings.long_deadline_s, alone=True))
