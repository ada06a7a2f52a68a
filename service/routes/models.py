"""The models that are loaded."""

from collections.abc import Mapping

from fastapi import APIRouter
from fastapi.responses import Response

from service.core import Core
from service.routes.exchange import PROBLEMS, CoreDep, reply
from service.sessions.registry import LoadedModel, describe
from service.wire import model_schemas
from service.wire.problems import NotFound

router = APIRouter(tags=["models"], responses=PROBLEMS)


@router.get("/v1/models", response_model=model_schemas.ModelList)
async def list_models(core: CoreDep) -> Response:
    """Every version of every model here."""
    return reply({"models": [await _described(core, loaded) for loaded in core.registry.models]})


@router.get("/v1/models/{model}", response_model=model_schemas.Model)
async def get_model(model: str, core: CoreDep) -> Response:
    """One model: NAME is its newest version, NAME@VERSION a certain one."""
    loaded = core.registry.named(model)
    if loaded is None:
        raise NotFound("there is no model of that name here; GET /v1/models lists those there are")
    return reply(await _described(core, loaded))


async def _described(core: Core, loaded: LoadedModel) -> Mapping[str, object]:
    count = await core.census.count()
    return describe(loaded, core.registry, None if count is None else count.by_model[loaded.spec.label])
