"""The OpenAPI description: the framework's, the hot route added by hand, and the bodies that routes read themselves."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from service.wire import schemas
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


def describe(app: FastAPI) -> dict[str, Any]:
    """The whole description; made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        components = document.setdefault("components", {}).setdefault("schemas", {})
        requests = (
            *(schemas.Observation, schemas.SessionPut, schemas.SessionPatch),
            *(schemas.Correction, schemas.Rewind),
        )
        answers = (schemas.Advance, schemas.Problem)
        _, described = models_json_schema(
            [*((model, "validation") for model in requests), *((model, "serialization") for model in answers)],
            ref_template=REFERENCE + "{model}",
        )
        components.update({name: schema for name, schema in described["$defs"].items() if name not in components})
        session = document["paths"]["/v1/sessions/{session}"]
        session["put"]["requestBody"] = _body({"$ref": REFERENCE + "SessionPut"})
        session["patch"]["requestBody"] = _body({"$ref": REFERENCE + "SessionPatch"})
        one = document["paths"]["/v1/sessions/{session}/observations/{key}"]
        one["patch"]["requestBody"] = _body({"$ref": REFERENCE + "Correction"})
        rewind = document["paths"]["/v1/sessions/{session}:rewind"]
        rewind["post"]["requestBody"] = _body({"$ref": REFERENCE + "Rewind"})
        document["paths"]["/v1/sessions/{session}/observations"]["post"] = _hot_route()
        app.openapi_schema = document
    return app.openapi_schema


def _body(schema: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"required": True, "content": {"application/json": {"schema": schema, **more}}}


def _hot_route() -> dict[str, Any]:
    observation = {"$ref": REFERENCE + "Observation"}
    advance = {"application/json": {"schema": {"$ref": REFERENCE + "Advance"}}}
    problem = {MEDIA_TYPE: {"schema": {"$ref": REFERENCE + "Problem"}}}
    return {
        "tags": ["observations"],
        "summary": "Post Observations",
        "description": "Observe: fold one observation, or several oldest first, and get the forecast that follows.",
        "operationId": "post_observations_v1_sessions__session__observations_post",
        "parameters": [
            {"name": "session", "in": "path", "required": True, "schema": {"type": "string"}},
            _query("create", "Create the session where there is none.", {"type": "boolean", "default": False}),
            _query("freq", "Of a session to create; else its first observation decides.", {"type": "string"}),
            _query("model", "Of a session to create, as NAME or NAME@VERSION.", {"type": "string"}),
            _query("on_conflict", "What another value for a stored time does.", {"enum": ["reject", "correct"]}),
            _header("Idempotency-Key", "The same key and body again give the same answer, for 8 answers."),
            _header("If-Match", "The etag of the last answer: refuse where the session has changed since."),
        ],
        "requestBody": _body(
            {"anyOf": [observation, {"type": "array", "items": observation, "minItems": 1}]}, examples=EXAMPLES
        ),
        "responses": {
            "200": {"description": "Folded, or folded before (Idempotency-Replayed)", "content": advance},
            "201": {"description": "Folded into a new session", "content": advance},
            "4XX": {"description": "Refused; see /problems/{slug}", "content": problem},
            "5XX": {"description": "Failed; see /problems/{slug}", "content": problem},
        },
    }


def _query(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _header(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name, "in": "header", "required": False, "description": description, "schema": {"type": "string"},
    }
