"""The Open Inference Protocol, version 2, with the extension for sequences. A sequence is a session."""

from collections.abc import Sequence

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.core import Core
from service.readiness import Readiness
from service.routes.exchange import CoreDep, if_match, reply
from service.sessions.registry import LoadedModel
from service.sessions.waves.forecaster import STEPS_IN_A_WAVE
from service.sessions.work import NO_DIGEST, End, Observe, digest_of, token_of
from service.storage.layout import QUANTILES
from service.summary import service_version
from service.wire import headers
from service.wire.exchange import given_headers, read_body, text
from service.wire.headers import GZIP_OR_DEFLATE
from service.wire.inference import reading as inference_reading
from service.wire.inference import schemas as schemas
from service.wire.inference import writing as inference_writing
from service.wire.inference.reading import HEADER_LENGTH, Inference
from service.wire.problems import Fault, InvalidRequest, NotFound, NotReady, ServiceError, pointer
from service.wire.schemas import SessionSettings
from service.wire.session_problems import SequenceNotStarted, SessionNotFound

EXTENSIONS = ("sequence", "sequence(string_id)", "binary_tensor_data", "parameters")
MODEL = "/v2/models/{model}"
VERSION = MODEL + "/versions/{version}"

router = APIRouter(tags=["inference"])


@router.get("/v2", response_model=schemas.ServerMetadata)
async def server_metadata() -> Response:
    """The service, and the extensions of the protocol that it knows."""
    return reply({"name": "hiddenstate", "version": service_version(), "extensions": EXTENSIONS})


@router.get("/v2/health/live", response_model=schemas.ServerLive)
async def server_live() -> Response:
    """200 while the process answers."""
    return reply({"live": True})


@router.get("/v2/health/ready", response_model=schemas.ServerReady)
async def server_ready(request: Request) -> Response:
    """200 while requests should be sent here, else 503 with the reasons."""
    readiness: Readiness = request.app.state.readiness
    reasons, _ = await readiness.check()
    if reasons:
        raise NotReady(reasons)
    return reply({"ready": True})


@router.get(MODEL, response_model=schemas.ModelMetadata)
async def model_metadata(model: str, core: CoreDep) -> Response:
    """A model's versions, inputs and outputs; `quantiles` lists which ones they are."""
    return _metadata(core, _loaded(core, model))


@router.get(VERSION, response_model=schemas.ModelMetadata)
async def model_version_metadata(model: str, version: str, core: CoreDep) -> Response:
    """The same of one version."""
    return _metadata(core, _loaded(core, model, version))


@router.get(MODEL + "/ready", response_model=schemas.ModelReady)
async def model_ready(model: str, core: CoreDep) -> Response:
    """200 where there is such a model."""
    return reply({"name": _loaded(core, model).spec.name, "ready": True})


@router.get(VERSION + "/ready", response_model=schemas.ModelReady)
async def model_version_ready(model: str, version: str, core: CoreDep) -> Response:
    """200 where there is this version of the model."""
    return reply({"name": _loaded(core, model, version).spec.name, "ready": True})


@router.post(MODEL + "/infer", response_model=schemas.InferenceAnswer)
async def infer(model: str, request: Request, core: CoreDep) -> Response:
    """Feed a sequence its next observations, and get the forecast that follows. New ones get the newest version."""
    return await _infer(request, core, _loaded(core, model), _loaded(core, model).spec.name)


@router.post(VERSION + "/infer", response_model=schemas.InferenceAnswer)
async def infer_version(model: str, version: str, request: Request, core: CoreDep) -> Response:
    """The same, of sequences of one version of the model."""
    loaded = _loaded(core, model, version)
    return await _infer(request, core, loaded, loaded.spec.label)


def _loaded(core: Core, model: str, version: str | None = None) -> LoadedModel:
    """A version of a model, or the newest. Raises NotFound."""
    found = core.registry.named(model) if version is None else core.registry.exactly(f"{model}@{version}")
    if found is None or found.spec.name != model:
        known = ", ".join(loaded.spec.label.replace("@", " version ") for loaded in core.registry.models)
        raise NotFound(f"there is no model of that name and version here; there is {known}")
    return found


def _metadata(core: Core, loaded: LoadedModel) -> Response:
    name = loaded.spec.name
    quantiles = [float(quantile) for quantile in QUANTILES]
    return reply(
        {
            "name": name,
            "versions": [str(other.spec.version) for other in core.registry.models if other.spec.name == name],
            "platform": "onnxruntime_onnx",
            "inputs": _inputs(loaded.encoding.covariates.observed),
            "outputs": [
                {"name": "forecast", "datatype": "FP64", "shape": [1, 1]},
                {
                    "name": "quantiles",
                    "datatype": "FP64",
                    "shape": [1, len(quantiles)],
                    "parameters": {"quantiles": quantiles},
                },
            ],
        }
    )


def _inputs(columns: Sequence[str]) -> list[dict[str, object]]:
    """What the tensors of a request are; `columns` are the model's covariates."""
    inputs: list[dict[str, object]] = [
        {"name": schemas.VALUE, "datatype": "FP64", "shape": [1, -1]},
        {"name": schemas.TIMESTAMP, "datatype": "BYTES", "shape": [1, -1]},
    ]
    if columns:
        shape, told = [1, -1, len(columns)], {"columns": columns}
        inputs.append({"name": schemas.COVARIATES, "datatype": "FP64", "shape": shape, "parameters": told})
    return inputs


async def _infer(request: Request, core: Core, loaded: LoadedModel, model: str) -> Response:
    """Args: model: the name, or `name@version`, that the sequence's model must have."""
    given, settings = given_headers(request.scope["headers"]), core.settings
    body = await read_body(
        request.receive,
        given,
        limit=settings.body_limit_bytes,
        timeout_s=settings.deadline_s,
        codings=GZIP_OR_DEFLATE,
    )
    asked = inference_reading.read(
        body, text(given, HEADER_LENGTH.lower().encode()), loaded.encoding.covariates.observed
    )
    key = asked.id or headers.idempotency_key(text(given, b"idempotency-key"))
    observe = _observing(asked, model, key, if_match(request))
    work = End(asked.session, last=observe) if asked.parameters.sequence_end else observe
    long = len(asked.observations) > STEPS_IN_A_WAVE
    try:
        answered = await core.waves.submit(
            asked.session,
            work,
            timeout_s=settings.long_deadline_s if long else settings.deadline_s,
            alone=long or work is not observe or observe.anew,
        )
    except SessionNotFound:
        raise SequenceNotStarted(asked.session, loaded.spec.name) from None
    except ServiceError as refused:
        raise asked.placed(refused) from None
    assert answered.told is not None, "an observation is answered by an Advance"
    written = inference_writing.answer(asked, *answered.told, text(given, b"accept-encoding"))
    repeated = {"Idempotency-Replayed": "true"} if answered.replayed else {}
    return Response(written.body, headers=written.headers | repeated)


def _observing(asked: Inference, model: str, key: str | None, if_match: tuple[str, ...] | None) -> Observe:
    """What a request asks for, its end left aside."""
    parameters, creation, token, digest = asked.parameters, None, None, NO_DIGEST
    if "freq" in parameters.model_fields_set:
        if not parameters.sequence_start:
            raise InvalidRequest([Fault("goes with sequence_start only", pointer("parameters", "freq"))])
        creation = SessionSettings(model=model, freq=parameters.freq)
    elif parameters.sequence_start:
        creation = SessionSettings(model=model)
    if key is not None:
        flags = f"infer {model} {parameters.sequence_start:d}{parameters.sequence_end:d}"
        token, digest = token_of(key), digest_of(flags, asked.observations)
    return Observe(
        asked.session,
        token,
        digest,
        if_match,
        observations=asked.observations,
        listed=len(asked.observations) > 1,
        creation=creation,
        model=model,
        anew=parameters.sequence_start,
    )
