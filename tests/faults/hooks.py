"""What schemathesis makes up differently here."""

from typing import Any

import schemathesis


@schemathesis.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:  # noqa: ANN401
    """No page token is made up: only one that an answer gave can be valid, and that is what links are for."""
    return query and {name: value for name, value in query.items() if name != "page_token"}
