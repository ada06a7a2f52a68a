"""The OpenAPI description: the framework's, the hot route added by hand, and the bodies that routes read themselves."""

from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from service.wire import door_schemas, event_description, schemas, stream_description
from service.wire.batch import description as batch_description
from service.wire.batch import schemas as batch_schemas
from service.wire.inference import description as inference_description
from service.wire.inference import schemas as inference_schemas
from service.wire.polish import polished
from service.wire.problems import MEDIA_TYPE

SINGLE: dict[str, Any] = {"timestamp": "2026-11-21", "value": 121.5}
EXAMPLES: dict[str, Any] = {
    "one": {"summary": "The next observation", "value": SINGLE},
    "counted": {"summary": "Without timestamps, where steps are counted", "value": {"value": 118}},
    "missing": {"summary": "A missing one", "value": {"timestamp": "2026-11-21", "value": None}},
    "many": {
        "summary": "Several, oldest first",
        "value": [{"timestamp": "2026-11-20", "value": 119.0}, SINGLE],
    },
}
"""Bodies of the hot route that its description shows; each works on a new session with ?create=true."""
REFERENCE = "#/components/schemas/"
SESSION = "/v1/sessions/{session}"
INFERENCE_SERVER = ("/v2", "/v2/health/live", "/v2/health/ready")
INFERENCE_MODELS = "/v2/models/{model}"
INFERENCE_VERSIONS = INFERENCE_MODELS + "/versions/{version}"
INFERENCE_MODEL = tuple(path + end for path in (INFERENCE_MODELS, INFERENCE_VERSIONS) for end in ("", "/ready"))
INFERENCE_PROBLEM = "InferenceProblem"
SHOWN = {"model": "daily", "version": "1"}
"""Values of parameters in paths."""
OPAQUE = "a `next_page_token`, as an answer gave it"

EVERYWHERE = (400, 405, 406, 408, 413, 500, 503, 504)
"""Refusals that every call may answer."""
MEANINGS = {
    304: "Not changed since the ETag in If-None-Match",
    400: "It cannot be read",
    404: "It is not here",
    405: "This address takes other methods",
    406: "No media type that is accepted is available",
    408: "It took too long to arrive",
    409: "The session does not stand where this is possible",
    412: "The session changed since the ETag in If-Match",
    413: "The body is too large",
    415: "The body is no JSON",
    422: "Something in it must be mended",
    428: "The session requires If-Match",
    500: "The service failed",
    503: "Not now: come back after Retry-After",
    504: "Not in time: the same request again settles what became of it",
}
TEXT = {"type": "string"}
ETAG = {"description": "Of the session; quoted", "schema": TEXT}
HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {"description": "The one that was sent, else one made", "schema": TEXT},
    "traceparent": {"description": "As it was sent", "schema": TEXT},
}
RETRY_AFTER = {"description": "Seconds", "required": True, "schema": {"type": "integer", "minimum": 0}}
TAG = r"""(W/)?("[!#-~]*"|[!#-+\--~]+)"""
TAGS = rf"^{TAG}([ \t]*,[ \t]*{TAG})*$"
REPLAYED = {"description": "The answer was given before", "schema": {"const": "true"}}


@dataclass(frozen=True)
class Call:
    """What the framework cannot know of a call.

    Attributes:
        refusals: statuses beside those that every call may answer.
        body: schema of the body, which the route reads itself.
        bodies, answers: content of bodies and answers of several media types.
        query: parameters that the route reads itself.
        problem: schema of refusals.
        prefers: whether it looks at Prefer.
        reads, conditional, keyed: whether it looks at If-None-Match, If-Match, Idempotency-Key.
        etag: whether its answers name the session's state.
    """

    refusals: tuple[int, ...] = ()
    body: str | None = None
    bodies: dict[str, Any] | None = None
    answers: dict[str, Any] | None = None
    query: tuple[dict[str, Any], ...] = ()
    prefers: bool = False
    reads: bool = False
    conditional: bool = False
    keyed: bool = False
    etag: bool = True
    problem: str = "Problem"

    def complete(self, described: dict[str, Any], method: str) -> dict[str, Any]:
        parameters = [_exact(parameter) for parameter in described.get("parameters", [])]
        parameters += self.query
        if self.prefers:
            short = "return=minimal: no more than whether each row was taken."
            parameters.append(_header("Prefer", short, "^return=(minimal|representation)$"))
        if self.reads:
            known = "The etag that is known: 304 where it is still the session's."
            parameters.append(_header("If-None-Match", known, TAGS))
        if self.conditional:
            last = "The etag of the last answer: refuse where the session has changed."
            parameters.append(_header("If-Match", last, TAGS))
        if self.keyed:
            same = "The same key and body again give the same answer."
            parameters.append(_header("Idempotency-Key", same, r"^[!-~]{1,200}$"))
        content = {"content": self.answers} if self.answers else {}
        successes = {
            status: {**answer, **content, "headers": self._headers(status, method)}
            for status, answer in described["responses"].items()
            if status.startswith("2")
        }
        has_body = self.body or self.bodies or "requestBody" in described
        refusals = {*EVERYWHERE, *self.refusals, *((415,) if has_body else ())}
        completed = {**described, "parameters": parameters}
        completed["responses"] = successes | {
            str(status): _refusal(status, self.problem) for status in sorted(refusals)
        }
        if self.body:
            completed["requestBody"] = _body({"$ref": REFERENCE + self.body})
        if self.bodies:
            completed["requestBody"] = {"required": True, "content": self.bodies}
        return completed

    def _headers(self, status: str, method: str) -> dict[str, Any]:
        headers = dict(HEADERS)
        if self.etag and status != "204":
            headers["ETag"] = {**ETAG, "required": True}
        if self.prefers:
            headers["Preference-Applied"] = {"description": "Where Prefer was followed", "schema": TEXT}
        if self.answers:
            headers["Vary"] = {"schema": TEXT}
        if self.keyed and self.etag:
            headers["Idempotency-Replayed"] = REPLAYED
        if status == "201":
            headers["Location"] = {"description": "Of the session", "required": True, "schema": TEXT}
        if method == "get":
            headers["Cache-Control"] = {"schema": TEXT}
        return headers


def _query(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


OBSERVING = (
    _query("create", "Create the session where there is none.", {"type": "boolean", "default": False}),
    _query("freq", "Of a session to create; else its first observation decides.", {"type": "string"}),
    _query("model", "Of a session to create, as NAME or NAME@VERSION.", {"type": "string"}),
    _query("on_conflict", "What another value for a stored time does.", {"enum": ["reject", "correct"]}),
)
WRITE = (404, 409, 412, 422, 428)
CALLS = {
    (SESSION, "put"): Call((404, 409, 422), body="SessionPut"),
    (SESSION, "get"): Call((304, 404, 409, 422), reads=True),
    (SESSION, "patch"): Call(WRITE, body="SessionPatch", conditional=True, keyed=True),
    (SESSION, "delete"): Call((409, 412, 422, 428), conditional=True),
    (SESSION + ":reset", "post"): Call((*WRITE, 415), conditional=True, keyed=True),
    (SESSION + ":rewind", "post"): Call(WRITE, body="Rewind", conditional=True, keyed=True),
    (SESSION + ":verify", "post"): Call((404, 409, 415, 422)),
    (SESSION + ":forecast", "post"): Call((404, 409, 422), body="WhatIf", etag=False),
    (SESSION + "/state", "get"): Call((304, 404, 409, 422), reads=True),
    (SESSION + "/state", "put"): Call((409, 412, 422), body="State", conditional=True),
    ("/v1/sessions:purge", "post"): Call((409, 422), body="Purge", etag=False),
    ("/v1/sessions", "get"): Call((422,), etag=False),
    (SESSION + "/observations", "post"): Call(WRITE, conditional=True, keyed=True),
    (SESSION + "/observations", "get"): Call(
        (304, 404, 409, 422), answers=batch_description.table("ObservationList"), reads=True
    ),
    (SESSION + "/observations/{key}", "patch"): Call(WRITE, body="Correction", conditional=True, keyed=True),
    (SESSION + "/forecast", "get"): Call(
        (304, 404, 409, 422), answers=batch_description.table("Forecasts"), reads=True
    ),
    ("/v1/observations:batch", "post"): Call(
        (404, 422),
        bodies=batch_description.observed(),
        answers=batch_description.outcomes(),
        query=OBSERVING,
        prefers=True,
        keyed=True,
        etag=False,
    ),
    ("/v1/forecasts:batch", "post"): Call(
        (413, 415, 422),
        bodies=batch_description.asked(),
        answers=batch_description.forecasts(),
        query=(_query("levels", "Of a future frame: intervals in percent.", {"type": "string", "default": "80,95"}),),
        etag=False,
    ),
    ("/v1/events", "get"): Call((422,), answers=event_description.ANSWER, query=(event_description.LAST,), etag=False),
    ("/v1/timeseries/forecast", "post"): Call((404, 422), body="ForecastRequest", etag=False),
    ("/v2/forecast", "post"): Call((404, 422), body="ColumnsRequest", etag=False, problem=INFERENCE_PROBLEM),
    ("/v2/models", "get"): Call(etag=False, problem=INFERENCE_PROBLEM),
    ("/model_params", "get"): Call((404, 422), etag=False),
    ("/validate_api_key", "get"): Call(etag=False),
    ("/v1/models", "get"): Call(etag=False),
    ("/v1/models/{model}", "get"): Call((404,), etag=False),
    ("/v1/models/{model}/curve", "get"): Call(
        (404,), answers={"image/png": {"schema": {"type": "string", "contentMediaType": "image/png"}}}, etag=False
    ),
    ("/metrics", "get"): Call(etag=False),
    ("/health/live", "get"): Call(etag=False),
    ("/health/ready", "get"): Call(etag=False),
    ("/v1/status", "get"): Call(etag=False),
    ("/problems/{slug}", "get"): Call((404,), etag=False),
    **{(path, "get"): Call(etag=False, problem=INFERENCE_PROBLEM) for path in INFERENCE_SERVER},
    **{(path, "get"): Call((404,), etag=False, problem=INFERENCE_PROBLEM) for path in INFERENCE_MODEL},
    **{
        (f"{path}/infer", "post"): Call(
            (404, 409, 412, 422, 428),
            bodies=inference_description.asked(),
            answers=inference_description.answered(),
            query=(inference_description.LENGTH,),
            conditional=True,
            keyed=True,
            etag=False,
            problem=INFERENCE_PROBLEM,
        )
        for path in (INFERENCE_MODELS, INFERENCE_VERSIONS)
    },
}


def read_by_route(path: str, method: str) -> list[str]:
    """The parameters of the query that a route reads itself, and which the framework therefore does not know."""
    call = CALLS.get((path, method), Call())
    return [parameter["name"] for parameter in call.query if parameter["in"] == "query"]


def _exact(parameter: dict[str, Any]) -> dict[str, Any]:
    if parameter["name"] == "session":
        return {**parameter, "schema": {"type": "string", "pattern": schemas.SESSION_ID, "examples": ["store-42"]}}
    if parameter["name"] in SHOWN:
        return {**parameter, "schema": {"type": "string", "examples": [SHOWN[parameter["name"]]]}}
    if parameter["name"] == "page_token":
        return {**parameter, "description": OPAQUE}
    return parameter


def _refusal(status: int, problem: str) -> dict[str, Any]:
    headers = dict(HEADERS)
    if status == 304:
        return {"description": MEANINGS[status], "headers": {**headers, "ETag": {**ETAG, "required": True}}}
    if status in (408, 503, 504):
        headers["Retry-After"] = RETRY_AFTER
    if status == 405:
        headers["Allow"] = {"description": "Methods that it takes", "required": True, "schema": TEXT}
    if status == 412:
        headers["ETag"] = {"description": "Where the session stands, if there is one", "schema": TEXT}
    content = {MEDIA_TYPE: {"schema": {"$ref": REFERENCE + problem}}}
    return {"description": f"{MEANINGS[status]}; see /problems/{{slug}}", "headers": headers, "content": content}


def describe(app: FastAPI) -> dict[str, Any]:
    """The whole description; made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        components = document.setdefault("components", {}).setdefault("schemas", {})
        requests = (
            *(schemas.Observation, schemas.SessionPut, schemas.SessionPatch),
            *(schemas.Correction, schemas.Rewind, schemas.WhatIf, schemas.Purge),
            *(batch_schemas.ObservationBatch, batch_schemas.ForecastBatch),
            *(inference_schemas.InferenceRequest, door_schemas.ForecastRequest, door_schemas.ColumnsRequest),
        )
        answers = (schemas.Advance, schemas.Problem, batch_schemas.MinimalOutcomes, inference_schemas.InferenceProblem)
        _, described = models_json_schema(
            [*((model, "validation") for model in requests), *((model, "serialization") for model in answers)],
            ref_template=REFERENCE + "{model}",
        )
        components.update({name: schema for name, schema in described["$defs"].items() if name not in components})
        paths = document["paths"]
        paths[SESSION + "/observations"]["post"] = _hot_route()
        for (path, method), call in CALLS.items():
            paths[path][method] = call.complete(paths[path][method], method)
        document["x-websockets"] = {stream_description.STREAM: stream_description.websocket(OBSERVING)}
        app.openapi_schema = polished(document)
    return app.openapi_schema


def _body(schema: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"required": True, "content": {"application/json": {"schema": schema, **more}}}


def _hot_route() -> dict[str, Any]:
    observation = {"$ref": REFERENCE + "Observation"}
    advance = {"application/json": {"schema": {"$ref": REFERENCE + "Advance"}}}
    return {
        "tags": ["observations"],
        "summary": "Post Observations",
        "description": "Observe: fold one observation, or several oldest first, and get the forecast that follows. "
        "In a list, an observation without `future` is told what is known in advance by the covariates of those that "
        "follow it, up to the first step that is not there.",
        "operationId": "post_observations_v1_sessions__session__observations_post",
        "parameters": [
            {"name": "session", "in": "path", "required": True, "schema": TEXT},
            *OBSERVING,
        ],
        "requestBody": _body(
            {"anyOf": [observation, {"type": "array", "items": observation, "minItems": 1}]}, examples=EXAMPLES
        ),
        "responses": {
            "200": {"description": "Folded, or folded before (Idempotency-Replayed)", "content": advance},
            "201": {"description": "Folded into a new session", "content": advance},
        },
    }


def _header(name: str, description: str, pattern: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", "pattern": pattern},
    }
