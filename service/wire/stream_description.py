"""What the description of the API says of its WebSocket, for which OpenAPI has no words of its own."""

from typing import Any

from service.wire.batch import description as batch_description
from service.wire.media import Media

STREAM = "/v1/stream"
RETURN: dict[str, Any] = {
    "name": "return",
    "in": "query",
    "required": False,
    "description": "minimal: no more than whether each row was taken; as Prefer, which pages cannot send.",
    "schema": {"enum": ["minimal", "representation"]},
}
MEANING = (
    "Observations up and outcomes down over one connection. Each message is a line of a batch, or several; each line "
    "has an outcome of its own, an empty one too, in their order, `row` counting the lines of the connection from 0. "
    "Send without waiting for outcomes: what waits is worked on together. Rows without an outcome when a connection "
    "ends may have been applied: send them again, with a timestamp, a `step` or an `idempotency_key`. A row that could"
    " not be taken just now (`retryable`) holds up the later ones of its session: open another connection. A request "
    "without `Upgrade` is 426, one that makes no sense is refused as everywhere."
)
CLOSES = {
    "1007": "A message of text was not UTF-8.",
    "1009": "A message was longer than 1 MiB.",
    "1011": "The service failed.",
    "1012": "The service stops, after an outcome whose `row` is null: come again.",
    "1013": "The service can take no more now, after an outcome whose `row` is null: come again later.",
}


def websocket(parameters: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """Its description. `parameters`: those that it has in common with batches."""
    return {
        "description": MEANING,
        "parameters": [*parameters, RETURN],
        "receives": batch_description.observed()[Media.LINES],
        "sends": batch_description.outcomes()[Media.LINES],
        "closes": CLOSES,
    }
