"""Refusals of what is one too many, before it is read as HTTP: what each costs is lost for serving.

Only a packet that plainly is one whole request is refused so; all others are read first, and then refused or served.
"""

from service.wire.direct import made_id, problem_bytes
from service.wire.problems import OVERLOADED, Overloaded

STAND_IN = b"0123456789abcdef"
"""Where the id stands in the prepared answer."""
TURNED_AWAY = problem_bytes(Overloaded(OVERLOADED), [(b"x-request-id", STAND_IN)])


def turned_away() -> bytes:
    """A whole answer under a new id."""
    return TURNED_AWAY.replace(STAND_IN, made_id())
