"""Ids of sessions, checked before they become part of a path: the service never sees one that has a slash."""

import re
import unicodedata
from urllib.parse import quote

from hiddenstate.errors import InvalidRequest

ALLOWED = re.compile(r"[A-Za-z0-9._~-]{1,128}")


def quoted(session: str) -> str:
    """As a part of a path.

    Raises:
        TypeError: it is no text.
        InvalidRequest: it is not allowed; the same that the service says of one.
    """
    if not isinstance(session, str):
        raise TypeError(f"the id of a session is a text, such as {str(session)!r}, and no {type(session).__name__}")
    if ALLOWED.fullmatch(session) is None:
        raise _refusal(session)
    return quote(session, safe="")


def _refusal(session: str) -> InvalidRequest:
    detail = f"must be 1 to 128 of A-Z a-z 0-9 . _ ~ -; the nearest allowed is {_nearest(session)}"
    members = {
        "type": "/problems/invalid-request",
        "title": "Invalid request",
        "status": 422,
        "retryable": False,
        "detail": f"session: {detail}",
        "errors": [{"parameter": "session", "detail": detail}],
    }
    return InvalidRequest(422, members)


def _nearest(session: str) -> str:
    plain = unicodedata.normalize("NFKD", session[:512]).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._~-]+", "-", plain).strip("-")[:128] or "session"
