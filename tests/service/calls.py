"""Calls that many tests make, and what they expect of a refusal."""

import time
from collections.abc import Callable
from typing import Any

import httpx2

Json = dict[str, Any]


def post(api: httpx2.Client, name: str, body: object, **headers: str) -> httpx2.Response:
    return api.post(f"/v1/sessions/{name}/observations", json=body, headers=headers)


def correct(api: httpx2.Client, name: str, key: object, value: float | None, **headers: str) -> httpx2.Response:
    return api.patch(f"/v1/sessions/{name}/observations/{key}", json={"value": value}, headers=headers)


def rewind(api: httpx2.Client, name: str, last: Json, **headers: str) -> httpx2.Response:
    return api.post(f"/v1/sessions/{name}:rewind", json=last, headers=headers)


def history(api: httpx2.Client, name: str) -> list[Json]:
    """All retained observations, oldest first."""
    found: list[Json] = []
    token = ""
    while True:
        page = api.get(f"/v1/sessions/{name}/observations", params={"page_token": token} if token else {}).json()
        found += page["observations"]
        token = page["next_page_token"]
        if not token:
            return found


def problem(answer: httpx2.Response, status: int, slug: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["type"]) == (status, f"/problems/{slug}"), body
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["instance"] == answer.headers["x-request-id"]
    return body


def wait_until(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    until = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.05)
