"""Health of the process, and what an operator wants to see of the service."""

from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from service.readiness import Readiness
from service.routes.exchange import PROBLEMS, CoreDep, reply
from service.summary import summary
from service.wire import status_schemas
from service.wire.problems import NotReady, StoreUnavailable


class Health(BaseModel):
    status: Literal["ok"]


router = APIRouter(tags=["operation"], responses=PROBLEMS)


@router.get("/health/live", response_model=Health)
async def live() -> Response:
    """200 while the process answers; whatever the store does."""
    return reply({"status": "ok"})


@router.get("/health/ready", response_model=Health)
async def ready(request: Request) -> Response:
    """200 while requests should be sent here, else 503 with the reasons."""
    reasons, _ = await _readiness(request).check()
    if reasons:
        raise NotReady(reasons)
    return reply({"status": "ok"})


@router.get("/v1/status", response_model=status_schemas.Status)
async def status(request: Request, core: CoreDep) -> Response:
    """The store and what it promises, the sessions, the models, the queue, the limits."""
    reasons, store = await _readiness(request).check()
    if store is None:
        raise StoreUnavailable("; ".join(reasons))
    return reply(await summary(core, reasons, store))


def _readiness(request: Request) -> Readiness:
    readiness: Readiness = request.app.state.readiness
    return readiness
