"""Calls that many tests make, and what they expect of a refusal."""

import time
from collections.abc import Callable
from typing import Any

import httpx2


def post(api: httpx2.Client, name: str, body: object, **headers: str) -> httpx2.Response:
    return api.post(f"/v1/sessions/{name}/observations", json=body, headers=headers)


def problem(answer: httpx2.Response, status: int, slug: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["type"]) == (status, f"/problems/{slug}"), body
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["instance"] == answer.headers["x-request-id"]
    return body


def wait_until(condition: Callable[[], bool], limit_s: float = 15.0) -> None:
    until = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.05)
