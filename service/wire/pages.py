"""Pages of lists: what a page token says."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Annotated, Any, TypeVar

import msgspec

from service.wire.problems import Fault, MalformedRequest
from service.wire.schemas import STEP_LIMIT

DIGEST_BYTES = 6
"""Of what is listed: enough to tell lists from each other, as tokens are no secrets."""

Place = Annotated[int, msgspec.Meta(ge=0, le=STEP_LIMIT)]
_decode = msgspec.json.Decoder(list[str | float | int]).decode
AfterT = TypeVar("AfterT", bound=tuple[Any, ...])


def write_token(listed: object, after: tuple[str | float, ...]) -> str:
    """The token of the page that follows.

    Args:
        listed: JSON values that tell this list from any other.
        after: where the page before ended.
    """
    digest = blake2b(msgspec.json.encode(listed), digest_size=DIGEST_BYTES).hexdigest()
    return urlsafe_b64encode(msgspec.json.encode([digest, *after])).decode().rstrip("=")


def read_token(token: str, listed: object, after: type[AfterT]) -> AfterT:
    """Where the page before ended, as `write_token` was told, in values of these types.

    Raises:
        MalformedRequest: it is no token of this very list.
    """
    try:
        _, *found = _decode(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        read: AfterT | None = msgspec.convert(found, after)
    except (ValueError, msgspec.DecodeError):
        read = None
    if read is None or write_token(listed, read) != token:
        fault = Fault("must be the next_page_token of this very list", parameter="page_token")
        raise MalformedRequest(f"page_token {fault.detail}", errors=[fault])
    return read
