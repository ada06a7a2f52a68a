"""What schemathesis makes up differently here."""

import json
from typing import Any

import schemathesis


@schemathesis.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:  # noqa: ANN401
    """No page token is made up: only one that an answer gave can be valid, and that is what links are for."""
    return query and {name: value for name, value in query.items() if name != "page_token"}


@schemathesis.serializer("application/jsonl", "application/x-ndjson", "application/vnd.apache.arrow.stream")
def as_it_is(context: Any, body: Any) -> bytes:  # noqa: ANN401
    """Rows are sent as they were made up, be they rows or not."""
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()
