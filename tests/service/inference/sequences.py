"""Requests of the Open Inference Protocol as bytes, and the answers to them taken apart."""

import json
import struct
from typing import Any

import httpx2

from tests.service.calls import Json

LENGTH = "Inference-Header-Content-Length"
PATH = "/v2/models/tiny/infer"
START_WORDS = "must specify the START flag on the first request"


def asked(sequence: object, *values: float | None, **parameters: object) -> Json:
    """A request in JSON alone."""
    tensor = {"name": "value", "shape": [1, len(values)], "datatype": "FP64", "data": list(values)}
    return {"inputs": [tensor], "parameters": {"sequence_id": sequence, **parameters}}


def packed(sequence: object, *values: float, kind: str = "d", **parameters: object) -> tuple[bytes, dict[str, str]]:
    """A request whose tensor stands behind the JSON, and the header that says where."""
    raw = struct.pack(f"<{len(values)}{kind}", *values)
    tensor = {
        "name": "value",
        "shape": [1, len(values)],
        "datatype": {"d": "FP64", "f": "FP32"}[kind],
        "parameters": {"binary_data_size": len(raw)},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"sequence_id": sequence, **parameters}}).encode()
    return head + raw, {LENGTH: str(len(head))}


def infer(api: httpx2.Client, body: Json, path: str = PATH, **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): given for name, given in headers.items()}
    return api.post(path, content=json.dumps(body), headers=named)


def outputs(answer: httpx2.Response) -> dict[str, list[float | None]]:
    """The tensors of an answer by name, wherever they stand."""
    assert answer.status_code == 200, answer.text
    length = int(answer.headers.get(LENGTH, len(answer.content)))
    head, behind = json.loads(answer.content[:length]), answer.content[length:]
    found: dict[str, list[float | None]] = {}
    for output in head["outputs"]:
        if "data" in output:
            found[output["name"]] = output["data"]
        else:
            size = output["parameters"]["binary_data_size"]
            found[output["name"]] = list(struct.unpack(f"<{size // 8}d", behind[:size]))
            behind = behind[size:]
    assert behind == b""
    return found


def refused(answer: httpx2.Response, status: int, slug: str) -> Json:
    """A problem that clients of the protocol can read."""
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["type"], body["error"]) == (status, f"/problems/{slug}", body["detail"]), body
    assert answer.headers["content-type"] == "application/problem+json"
    return body
