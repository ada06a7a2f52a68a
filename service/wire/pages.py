"""Pages of lists: what a page token says."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

from service.wire.problems import Fault, MalformedRequest


def write_token(*after: str | float) -> str:
    """The token of the page that follows."""
    return urlsafe_b64encode(msgspec.json.encode(after)).decode().rstrip("=")


def read_token(token: str, kinds: tuple[type[str] | type[int] | type[float], ...]) -> tuple[str | float, ...]:
    """What `write_token` wrote, values of these kinds.

    Raises:
        MalformedRequest: it is no token of such a list.
    """
    try:
        after = msgspec.json.decode(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, msgspec.DecodeError):
        after = None
    if not isinstance(after, list) or [type(part) for part in after] != list(kinds):
        fault = Fault("must be the next_page_token of this very list", parameter="page_token")
        raise MalformedRequest(f"page_token {fault.detail}", errors=[fault])
    return tuple(after)
