"""State documents, taken and put over HTTP, and made wrong."""

import json
from typing import Any

import httpx2

from service.states import document

Json = dict[str, Any]


def exported(api: httpx2.Client, name: str) -> Json:
    answer = api.get(f"/v1/sessions/{name}/state")
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def put(api: httpx2.Client, name: str, state: Json, **headers: str) -> httpx2.Response:
    return api.put(f"/v1/sessions/{name}/state", json=state, headers=headers)


def sealed(state: Json) -> Json:
    """The document with the checksum that it should have."""
    parsed = document._decoder.decode(json.dumps(state).encode())
    return {**state, "checksum": f"sha256:{document.digest(parsed).hex()}"}
