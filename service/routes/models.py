"""The models that are loaded."""

from collections.abc import Mapping

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

from models.artifacts.artifact import CURVE
from service.core import Core
from service.routes.exchange import PROBLEMS, CoreDep, reply
from service.sessions.registry import LoadedModel, describe
from service.wire import model_schemas
from service.wire.problems import NotFound

router = APIRouter(tags=["models"], responses=PROBLEMS)
pictures = APIRouter(tags=["models"], responses=PROBLEMS)
PNG = "image/png"


@router.get("/v1/models", response_model=model_schemas.ModelList)
async def list_models(core: CoreDep) -> Response:
    """Every version of every model here."""
    return reply({"models": [await _described(core, loaded) for loaded in core.registry.models]})


@router.get("/v1/models/{model}", response_model=model_schemas.Model)
async def get_model(model: str, core: CoreDep) -> Response:
    """One model: NAME is its newest version, NAME@VERSION a certain one."""
    return reply(await _described(core, _named(core, model)))


@pictures.get("/v1/models/{model}/curve", response_class=FileResponse)
async def get_training_curve(model: str, core: CoreDep) -> FileResponse:
    """The picture of a model's training curve, loss and validation error over the updates: PNG."""
    loaded = _named(core, model)
    picture = loaded.folder / CURVE
    if not picture.is_file():
        raise NotFound(f"{loaded.spec.label} was published without a training curve")
    return FileResponse(picture, media_type=PNG)


def _named(core: Core, model: str) -> LoadedModel:
    loaded = core.registry.named(model)
    if loaded is None:
        raise NotFound("there is no model of that name here; GET /v1/models lists those there are")
    return loaded


async def _described(core: Core, loaded: LoadedModel) -> Mapping[str, object]:
    count = await core.census.count()
    return describe(loaded, core.registry, None if count is None else count.by_model.get(loaded.spec.label, 0))
