"""What waits for a wave, and what is answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from service.wire.parsing import Observation
from service.wire.schemas import SessionSettings

NO_DIGEST = bytes(8)


@dataclass(frozen=True, slots=True)
class Observe:
    """Observations of one session, as one request sent them.

    Args:
        listed: they were sent as a list, so that faults are addressed by index.
        token, digest: of the Idempotency-Key and the payload; token None where no key was sent.
        if_match: the ETags of If-Match; None where it was not sent.
        creation: settings to create the session with where there is none; None = refuse.
    """

    session: str
    observations: Sequence[Observation]
    listed: bool
    token: bytes | None = None
    digest: bytes = NO_DIGEST
    if_match: tuple[str, ...] | None = None
    creation: SessionSettings | None = None

    def where(self, index: int) -> tuple[int, ...]:
        """Path to an observation in the body."""
        return (index,) if self.listed else ()


class Reply(NamedTuple):
    """The answer to a write."""

    status: int
    body: bytes
    etag: str | None
    replayed: bool = False
    location: str | None = None


def token_of(key: str) -> bytes:
    """The 16 bytes that an Idempotency-Key is kept as."""
    return blake2b(key.encode(), digest_size=16).digest()


def digest_of(operation: str, payload: object) -> bytes:
    """8 bytes that tell the payloads of one key apart."""
    return blake2b(msgspec.json.encode((operation, payload)), digest_size=8).digest()
