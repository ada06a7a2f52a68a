"""Sessions that move: the state of one, read and put, also by another service."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.routes.exchange import (
    PROBLEMS,
    CoreDep,
    SessionDep,
    if_match,
    json_body,
    read_reply,
    reply,
    within,
)
from service.wire import schemas, state_schemas
from service.wire.problems import TooLarge

LARGER = "after decompression the state is larger than"

router = APIRouter(tags=["sessions"], responses=PROBLEMS)
PATH = "/v1/sessions/{session}/state"


@router.get(PATH, response_model=state_schemas.State)
async def get_state(session: SessionDep, request: Request, core: CoreDep) -> Response:
    """All that another service needs to go on with a session, to the bit: state, settings and retained history."""
    body, etag = await within(core.settings.long_deadline_s, core.exporter.export(session))
    return read_reply(request, body, etag)


@router.put(PATH, response_model=schemas.Session, responses={201: {"model": schemas.Session, "description": "Created"}})
async def put_state(session: SessionDep, request: Request, core: CoreDep) -> Response:
    """Go on with a session from its exported state, in a new life. The same state again changes nothing: 200.

    Over another session it is put only with If-Match. A state that was changed or damaged is refused.
    """
    limit = core.settings.state_limit_bytes
    try:
        body = await json_body(request, core, limit=limit)
    except TooLarge:
        raise TooLarge(limit, f"{LARGER} {limit} bytes, the service's setting HIDDENSTATE_STATE_LIMIT_BYTES") from None
    work = core.importer.put(session, body, if_match(request))
    view, created = await within(core.settings.long_deadline_s, work)
    answer = view.body(core.registry)
    if created:
        return reply(answer, etag=view.etag, status=201, Location=f"/v1/sessions/{session}")
    return reply(answer, etag=view.etag)
