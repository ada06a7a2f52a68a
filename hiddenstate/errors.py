"""What can go wrong between a client and the service."""

from typing import Any, Self


class HiddenstateError(Exception):
    """Every error of this package."""


class ServiceUnreachable(HiddenstateError):
    """No answer came: nothing listens there, or the connection was lost.

    What was sent may have been applied; sending the same observation again settles it.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"no answer from {url}: {reason}")
        self.url = url
        self.reason = reason


class ProblemError(HiddenstateError):
    """The service refused: an RFC 9457 problem.

    Attributes:
        slug: what a program branches on, for example "session-not-found".
        status: the HTTP status.
        title, detail: for people; the detail says what to do next.
        retryable: sending the same request again, unchanged, may succeed.
        members: the whole answer, with the members that this kind of problem adds.
    """

    def __init__(self, status: int, members: dict[str, Any]) -> None:
        self.status = status
        self.members = members
        self.slug = str(members.get("type", "about:blank")).rpartition("/")[2]
        self.title = str(members.get("title", f"HTTP status {status}"))
        self.detail = str(members.get("detail", ""))
        self.retryable = bool(members.get("retryable", False))
        super().__init__(f"{self.title}: {self.detail}" if self.detail else self.title)

    @classmethod
    def of_text(cls, status: int, text: str) -> Self:
        """An answer that is no problem document: a proxy in between, or another server at this address."""
        first_line = text.strip().partition("\n")[0][:200]
        gateway = status in (502, 503, 504)
        return cls(status, {"title": f"HTTP status {status}", "detail": first_line, "retryable": gateway})
