"""What the description of the API says of batches: bodies and answers in each of their media types, with examples."""

from typing import Any

from service.wire.media import Media

OBJECTS: dict[str, Any] = {
    "observations": [
        {"session": "store-42", "timestamp": "2026-11-21", "value": 121.5},
        {"session": "store-43", "value": None},
    ]
}
LINES = (
    '{"unique_id": "store-42", "ds": "2026-11-21", "y": 121.5}\n'
    '{"session": "store-43", "value": 118, "idempotency_key": "till-3/17"}\n'
)
ANSWERED = (
    '{"row": 0, "status": 200, "replayed": false, "unique_id": "store-42", "step": 812, '
    '"etag": "6f1c0a0000000000-812", "ds": "2026-11-22", "cutoff": "2026-11-21", "yhat": 122.3, "yhat-lo-80": 113.4, '
    '"yhat-hi-80": 131.0, "yhat-lo-95": 108.9, "yhat-hi-95": 136.2, "problem": null, "detail": null}\n'
)
FRAME = '{"unique_id": "store-42", "ds": "2026-11-22"}\n{"unique_id": "store-42", "ds": "2026-11-23"}\n'
FORESEEN = (
    '{"row": 0, "status": 200, "unique_id": "store-42", "ds": "2026-11-22", "cutoff": "2026-11-21", "yhat": 122.3, '
    '"yhat-lo-80": 113.4, "yhat-hi-80": 131.0, "yhat-lo-95": 108.9, "yhat-hi-95": 136.2, '
    '"problem": null, "detail": null}\n'
)


def observed() -> dict[str, Any]:
    """The body of a batch of observations, by media type."""
    schema = {"$ref": "#/components/schemas/ObservationBatch"}
    return {
        Media.JSON: {"schema": schema, "examples": {"batch": {"summary": "Of two sessions", "value": OBJECTS}}},
        **_streams(LINES),
    }


def outcomes() -> dict[str, Any]:
    """The answer to it, by media type; minimal outcomes are JSON, too."""
    schema = {"$ref": "#/components/schemas/ObservationOutcomes"}
    short = {"$ref": "#/components/schemas/MinimalOutcomes"}
    return {Media.JSON: {"schema": {"anyOf": [schema, short]}}, **_streams(ANSWERED)}


def asked() -> dict[str, Any]:
    """The body of a batch of forecasts, by media type: which sessions, or a future frame."""
    return {Media.JSON: {"schema": {"$ref": "#/components/schemas/ForecastBatch"}}, **_streams(FRAME)}


def forecasts() -> dict[str, Any]:
    """The answer to a batch of forecasts, by media type."""
    return table("ForecastOutcomes")


def table(schema: str) -> dict[str, Any]:
    """An answer that is a schema as JSON, and rows of forecasts otherwise."""
    return {Media.JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}, **_streams(FORESEEN)}


def _streams(example: str) -> dict[str, Any]:
    lines = {"schema": {"description": "One JSON object a line"}, "example": example}
    return {Media.LINES: lines, Media.NDJSON: lines, Media.ARROW: {"schema": {"description": "The same as columns"}}}
