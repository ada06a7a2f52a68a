"""Refusals of what is one too many, before it is read as HTTP: what each costs is lost for serving.

Only a packet that plainly is one whole request is refused so; all others are read first, and then refused or served.
"""

import re

from service.wire.direct import made_id, problem_bytes
from service.wire.problems import OVERLOADED, Overloaded

STAND_IN = b"0123456789abcdef"
"""Where the id stands in the prepared answer."""
TURNED_AWAY = problem_bytes(Overloaded(OVERLOADED), [(b"x-request-id", STAND_IN)])

HARMLESS = (
    *("accept", "accept-encoding", "accept-language", "authorization", "content-encoding", "content-type"),
    *("host", "idempotency-key", "if-match", "user-agent"),
)
"""Headers that change nothing about a refusal, nor about where the request ends."""


def _pattern() -> re.Pattern[bytes]:
    def cased(name: str) -> str:
        return re.sub(r"\b[a-z]", lambda first: f"[{first[0].upper()}{first[0]}]", name)

    names = "|".join(map(cased, HARMLESS))
    headers = rf"(?:(?:{names}):[\t -~]*+\r\n|{cased('connection')}: ?+keep-alive\r\n)*+"
    length = rf"{cased('content-length')}: ?+([0-9]{{1,9}})\r\n"
    return re.compile(rf"POST /[!-~]++ HTTP/1\.1\r\n{headers}{length}{headers}\r\n".encode())


PLAIN_HEAD = _pattern()


def turned_away() -> bytes:
    """A whole answer under a new id."""
    return TURNED_AWAY.replace(STAND_IN, made_id())


def is_plain_post(packet: bytes) -> bool:
    """Whether a packet plainly is one whole POST, after which the connection stays open, and which names itself not."""
    head = PLAIN_HEAD.match(packet)
    return head is not None and head.end() + int(head[1]) == len(packet)
