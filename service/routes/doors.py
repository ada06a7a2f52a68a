"""Forecasts of histories that are sent whole, in the shapes of other APIs. No session is read or made."""

import time
from typing import TypeVar

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ValidationError

from service.core import Core
from service.doors import columns, frequencies, time_series
from service.doors.stateless import FEWER, Ahead, Fan
from service.routes.exchange import PROBLEMS, CoreDep, json_body, reply, within
from service.wire import parsing
from service.wire.door_schemas import (
    ColumnsRequest,
    ColumnsResponse,
    Detail,
    ForecastRequest,
    ForecastResponse,
    ModelNames,
    ModelParameters,
    own_model,
)
from service.wire.headers import GZIP_OR_ZSTD
from service.wire.problems import TIME_SERIES, Fault, InvalidRequest, ServiceError, TooLarge

router = APIRouter(tags=["forecasts"], responses=PROBLEMS)
ID_BYTES = 16

RequestT = TypeVar("RequestT", bound=BaseModel)


@router.post(TIME_SERIES, response_model=ForecastResponse)
async def forecast_time_series(request: Request, core: CoreDep) -> Response:
    """Forecast histories in KServe's shape; `usage` tells what a session would save. `mean_forecast` is the median."""
    asked = await _read(request, core, ForecastRequest)
    levels = time_series.levels_of(asked.options.quantiles)
    histories = [time_series.read(sent, index) for index, sent in enumerate(asked.inputs)]
    ahead = Ahead(asked.options.horizon, levels, ("options", "horizon"), ("options", "quantiles"))
    work = core.stateless.forecast(histories, asked.model, ahead)
    found = await within(core.settings.long_deadline_s, work)
    fans = [fan for fan in found if isinstance(fan, Fan)]
    if not fans:
        raise _first_refusal(found)
    sent = sum(len(series.values) for series in histories)
    outputs = [
        time_series.output(one, fan, asked.options, levels, _id(core))
        for one, fan in zip(asked.inputs, found, strict=True)
    ]
    refused = [output for output in outputs if output["error"] is not None]
    return reply(
        {
            "id": f"resp_{_id(core)}",
            "created_at": int(time.time()),
            "status": "partial" if refused else "completed",
            "error": refused[0]["error"] if refused else None,
            "model": fans[0].model,
            "outputs": outputs,
            "usage": time_series.usage(sent, sum(len(fan.quantiles) for fan in fans)),
        }
    )


@router.post("/v2/forecast", response_model=ColumnsResponse)
async def forecast_columns(request: Request, core: CoreDep) -> Response:
    """Forecast histories in TimeGPT's shape: columns in `series`, or records of unique_id, ds and y in `df`."""
    asked = await _read(request, core, ColumnsRequest)
    names, histories = columns.read(asked)
    levels = columns.levels_of(asked.level)
    work = core.stateless.forecast(histories, asked.own_model, Ahead(asked.h, levels, ("h",), ("level",)))
    found = await within(core.settings.long_deadline_s, work)
    fans = [fan for fan in found if isinstance(fan, Fan)]
    if len(fans) < len(found):
        raise _first_refusal(found)
    sent = int(np.sum([len(series.values) for series in histories]))
    return reply(columns.answer(asked, names, fans, levels, sent))


@router.get("/model_params", response_model=ModelParameters)
async def model_parameters(core: CoreDep, freq: str, model: str | None = None) -> Response:
    """How much history TimeGPT's clients are to send of a series, by its model or else by its frequency."""
    try:
        named = frequencies.named(freq, None)
    except frequencies.FrequencyError as error:
        raise InvalidRequest([Fault(str(error), parameter="freq")]) from None
    return reply(columns.reach(core.stateless.model(own_model(model), named)))


@router.get("/v2/models", response_model=ModelNames)
async def model_names(core: CoreDep) -> Response:
    """The models, as TimeGPT's clients list them."""
    return reply({"models": [{"name": name} for name in sorted({loaded.spec.name for loaded in core.registry.models})]})


@router.get("/validate_api_key", response_model=Detail)
async def validate_api_key() -> Response:
    """200 where requests with this key are answered, as TimeGPT's clients ask."""
    return reply({"detail": "requests from here are answered"})


async def _read(request: Request, core: Core, schema: type[RequestT]) -> RequestT:
    """A body that may have more members than are read. Raises TooLarge, MalformedRequest, InvalidRequest."""
    try:
        body = await json_body(request, core, codings=GZIP_OR_ZSTD)
    except TooLarge:
        raise TooLarge(core.settings.body_limit_bytes, FEWER) from None
    try:
        return schema.model_validate(parsing.read_json(body))
    except ValidationError as error:
        raise InvalidRequest(parsing.faults(error, schema)) from None


def _first_refusal(found: list[Fan | ServiceError]) -> ServiceError:
    return next(one for one in found if isinstance(one, ServiceError))


def _id(core: Core) -> str:
    return core.records.randomness(ID_BYTES).hex()
