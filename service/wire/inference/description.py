"""What the OpenAPI description says of bodies and answers of the Open Inference Protocol."""

from typing import Any

REFERENCE = "#/components/schemas/"
BYTES: dict[str, Any] = {"type": "string", "format": "binary"}
LENGTH: dict[str, Any] = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "required": False,
    "description": "Bytes of the JSON, before compression, where tensors stand behind it.",
    "schema": {"type": "string", "pattern": "^[0-9]{1,15}$"},
}
VALUE = {"name": "value", "shape": [1, 1], "datatype": "FP64", "data": [121.5]}
EXAMPLES: dict[str, Any] = {
    "start": {
        "summary": "The first observation of a sequence",
        "value": {"inputs": [VALUE], "parameters": {"sequence_id": 42, "sequence_start": True}},
    },
    "dated": {
        "summary": "With dates, several, under an id, for the forecast alone",
        "value": {
            "id": "5f1e",
            "inputs": [
                {"name": "value", "shape": [1, 2], "datatype": "FP64", "data": [119.0, None]},
                {"name": "timestamp", "shape": [1, 2], "datatype": "BYTES", "data": ["2026-11-20", "2026-11-21"]},
            ],
            "outputs": [{"name": "forecast"}],
            "parameters": {"sequence_id": "store-46", "sequence_start": True, "freq": "D"},
        },
    },
    "alone": {
        "summary": "A whole series at once, of which nothing is kept",
        "value": {
            "inputs": [{"name": "value", "shape": [1, 3], "datatype": "FP64", "data": [118, 121.5, 119]}],
            "parameters": {"sequence_id": "once", "sequence_start": True, "sequence_end": True},
        },
    },
}
"""Bodies that the description shows; each works where there is no such session."""


def asked() -> dict[str, Any]:
    """Bodies of a call to infer; their media type is not looked at."""
    described = {"schema": {"$ref": REFERENCE + "InferenceRequest"}, "examples": EXAMPLES}
    return {"application/json": described, "application/octet-stream": {"schema": BYTES}}


def answered() -> dict[str, Any]:
    """Its answers: bytes where a tensor stands behind the JSON."""
    described = {"schema": {"$ref": REFERENCE + "InferenceAnswer"}}
    return {"application/json": described, "application/octet-stream": {"schema": BYTES}}
