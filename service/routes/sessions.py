"""Sessions: create, read, list, change, reset, delete, verify."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from service.core import Core
from service.routes.exchange import (
    PROBLEMS,
    CoreDep,
    SessionDep,
    conditions,
    if_match,
    json_body,
    read_reply,
    reply,
    require_no_members,
    within,
    write_reply,
)
from service.sessions.work import Delete, Reset, Resettle, Rewind
from service.wire import parsing, schemas
from service.wire.pages import Place, read_token, write_token
from service.wire.problems import Fault, InvalidRequest, ServiceError
from service.wire.schemas import SessionPatch

router = APIRouter(tags=["sessions"], responses=PROBLEMS)
PATH = "/v1/sessions/{session}"
LOOKED_AT_ONCE = 500
LOOKS = 20
"""So often sessions are looked at for one page, to find those of a model; the next page goes on from there."""
Entry = tuple[str] | tuple[float, str] | tuple[int, str]
"""A session's place in an order, its id the last part: what a page token holds."""
ENTRIES: dict[str, Any] = {
    "session": tuple[str],
    "mase": tuple[float, str],
    "updated_at": tuple[Place, str],
}
"""The types of each order's parts."""


class ListQuery(BaseModel):
    page_size: Annotated[int, Field(ge=1)] | None = None
    """Sessions on a page; capped."""
    page_token: str = ""
    """The `next_page_token` of the page before."""
    prefix: str = Field(default="", pattern=schemas.PREFIX)
    """Only sessions whose id begins so."""
    model: str = ""
    """Only sessions of this model, NAME or NAME@VERSION."""
    order_by: Literal["session", "session desc", "updated_at", "updated_at desc", "mase", "mase desc"] = "session"
    """`mase`: the recent one; sessions that have none yet count as better than any."""

    @property
    def listed(self) -> object:
        """What tells the list from any other."""
        return self.model_dump(exclude={"page_size", "page_token"})


class PatchQuery(BaseModel):
    validate_only: bool = False
    """Change nothing, and answer the session as it would be."""


@router.put(PATH, response_model=schemas.Session, responses={201: {"model": schemas.Session, "description": "Created"}})
async def put_session(session: SessionDep, request: Request, core: CoreDep) -> Response:
    """Create a session, with its history if there is one. The same request again changes nothing and answers 200.

    In the history, an observation without `future` is told what is known in advance by the covariates of those that
    follow it, up to the first step that is not there.
    """
    asked, observations = parsing.session_put(await json_body(request, core))
    work = core.sessions.put(session, asked, observations)
    view, created = await within(core.settings.long_deadline_s, work)
    body = view.body(core.registry)
    if created:
        return reply(body, etag=view.etag, status=201, Location=f"/v1/sessions/{session}")
    return reply(body, etag=view.etag)


@router.get(PATH, response_model=schemas.Session)
async def get_session(session: SessionDep, request: Request, core: CoreDep) -> Response:
    """A session: its settings, where it stands, how well it is forecast."""
    view = await core.views.one(session)
    return read_reply(request, view.body(core.registry), view.etag)


@router.patch(PATH, response_model=schemas.Session)
async def patch_session(
    session: SessionDep, request: Request, query: Annotated[PatchQuery, Query()], core: CoreDep
) -> Response:
    """Change the settings that are given; the others stay. Another model folds again what is retained."""
    asked = parsing.request(await json_body(request, core), SessionPatch)
    given = conditions(request, "settings", asked.model_dump(mode="json", exclude_unset=True))
    work = Resettle(
        session, given.token, given.digest, given.if_match, asked=asked, validate_only=query.validate_only
    )
    return write_reply(await core.waves.submit(session, work, timeout_s=core.settings.long_deadline_s, alone=True))


@router.delete(PATH, status_code=204)
async def delete_session(session: SessionDep, request: Request, core: CoreDep) -> Response:
    """Forget a session; again 204 where it is forgotten already."""
    work = Delete(session, if_match=if_match(request))
    await core.waves.submit(session, work, timeout_s=core.settings.deadline_s, alone=True)
    return Response(status_code=204)


@router.post(PATH + ":reset", response_model=schemas.Session)
async def reset_session(session: SessionDep, request: Request, core: CoreDep) -> Response:
    """Forget all observations of a session; its settings stay."""
    await require_no_members(request, core)
    given = conditions(request, "reset", None)
    work = Reset(session, given.token, given.digest, given.if_match)
    return write_reply(await core.waves.submit(session, work, timeout_s=core.settings.deadline_s, alone=True))


@router.post(PATH + ":rewind", response_model=schemas.Advance)
async def rewind_session(session: SessionDep, request: Request, core: CoreDep) -> Response:
    """Forget the observations after the one that is named, the last to keep. What was cut off can be sent again."""
    last = parsing.request(await json_body(request, core), schemas.Rewind)
    given = conditions(request, "rewind", last.model_dump())
    work = Rewind(session, given.token, given.digest, given.if_match, last=last)
    return write_reply(await core.waves.submit(session, work, timeout_s=core.settings.long_deadline_s, alone=True))


@router.post(PATH + ":verify", response_model=schemas.Verification)
async def verify_session(session: SessionDep, request: Request, core: CoreDep) -> Response:
    """Fold the retained observations again: step by step against the live state, and unrolled within the tolerance."""
    await require_no_members(request, core)
    body, etag = await within(core.settings.long_deadline_s, core.verifier.verify(session))
    return reply(body, etag=etag)


@router.post("/v1/sessions:purge", response_model=schemas.Purged)
async def purge_sessions(request: Request, core: CoreDep) -> Response:
    """Count the sessions whose id begins with a prefix, and, with `force`, delete them. "" means all."""
    asked = parsing.request(await json_body(request, core), schemas.Purge)
    work = core.purging.purge(asked.prefix, force=asked.force)
    purged = await within(core.settings.long_deadline_s, work)
    return reply({"purge_count": purged.count, "purge_sample": purged.sample})


@router.get("/v1/sessions", response_model=schemas.SessionList)
async def list_sessions(query: Annotated[ListQuery, Query()], core: CoreDep) -> Response:
    """Sessions, page by page. Order and total may lag a few seconds.

    Of a model that few sessions have, a page may have fewer than asked for, or none, and a next one all the same.
    """
    size = min(query.page_size or core.settings.page_size, core.settings.page_size_limit)
    await core.bookkeeping.settle()
    names, token = await _page(core, query, size)
    views = await core.views.many(names)
    core.bookkeeping.gone([name for name, view in zip(names, views, strict=True) if view is None])
    shown = [view.body(core.registry) for view in views if view is not None and not isinstance(view, ServiceError)]
    total = await core.selecting.count(query.prefix, query.model)
    body = {"sessions": shown, "next_page_token": token, "total_size": total}
    return reply(body)


async def _page(core: Core, query: ListQuery, size: int) -> tuple[list[str], str]:
    """The ids on a page, and the token of the next one."""
    order = query.order_by.partition(" ")[0]
    if query.prefix and order != "session":
        raise InvalidRequest([Fault("goes with order_by=session only", parameter="prefix")])
    limit = max(size + 1, LOOKED_AT_ONCE) if query.model else size + 1
    after, found = _after(query, order), list[Entry]()
    for _ in range(LOOKS):
        entries = await _entries(core, query, after, limit)
        found += await _of_model(core, query.model, entries)
        if len(found) > size:
            return [name for *_, name in found[:size]], write_token(query.listed, found[size - 1])
        if len(entries) < limit:
            return [name for *_, name in found], ""
        after = entries[-1]
    return [name for *_, name in found], write_token(query.listed, entries[-1])


async def _entries(core: Core, query: ListQuery, after: Entry | None, limit: int) -> Sequence[Entry]:
    """Sessions in their order, those that follow `after` only."""
    order, _, descends = query.order_by.partition(" ")
    descending = bool(descends)
    if order == "session":
        name = "" if after is None else after[-1]
        names = await core.index.by_name(prefix=query.prefix, after=name, limit=limit, descending=descending)
        return [(name,) for name in names]
    if order == "mase":
        worst = None if after is None else (float(after[0]), after[-1])
        return await core.ranking.page(after=worst, limit=limit, descending=descending)
    last = None if after is None else (int(after[0]), after[-1])
    return await core.index.by_time(after=last, limit=limit, descending=descending)


async def _of_model(core: Core, model: str, entries: Sequence[Entry]) -> Sequence[Entry]:
    if not model:
        return entries
    chosen = await core.selecting.of_model([entry[-1] for entry in entries], model)
    return [entry for entry, is_chosen in zip(entries, chosen, strict=True) if is_chosen]


def _after(query: ListQuery, order: str) -> Entry | None:
    """What the page before ended with."""
    if not query.page_token:
        return None
    entry: Entry = read_token(query.page_token, query.listed, ENTRIES[order])
    return entry
