"""The yardstick: an ASGI handler that reads the body and answers fixed bytes of an answer's size."""

from __future__ import annotations

from typing import Any

ANSWER_BYTES = 730
"""Of an answer to one observation, with the forecast issued for it and the next: 716 without dates, 741 with them."""
BODY = b'{"padding":"%b"}' % (b"x" * (ANSWER_BYTES - 14))
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own callables
    """Answer every request alike."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
