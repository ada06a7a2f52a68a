"""What the blocking and the asynchronous client have in common: where the service is, and what is kept."""

import os
from typing import Generic

import httpx2

from hiddenstate.answers.batches import BatchOutcome
from hiddenstate.answers.sessions import Session
from hiddenstate.sending.exchange import Ask
from hiddenstate.sending.outbox import LockT
from hiddenstate.sending.outboxes import Outboxes

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT = httpx2.Timeout(65.0, connect=5.0)
"""The service gives up a warm-up or a verification after 60 s, everything else after 5."""


class Connected(Generic[LockT]):
    """A service, and what was written to its sessions."""

    def __init__(self, url: str | None, api_key: str | None, outboxes: Outboxes[LockT]) -> None:
        self.url = address(url)
        self._authorization = authorization(api_key)
        self._outboxes = outboxes

    @property
    def waiting(self) -> dict[str, int]:
        """How many writes are kept without an answer, by session."""
        return self._outboxes.waiting()

    def _told(self, outcome: BatchOutcome) -> BatchOutcome:
        if outcome.advance is not None:
            self._outboxes.see(outcome.advance.session, outcome.advance.etag)
        return outcome

    def _seen(self, session: Session) -> Session:
        self._outboxes.see(session.session, session.etag)
        return session


def address(url: str | None) -> str:
    """Where the service is, also where the start of its paths was given too. Raises ValueError: no web address."""
    found = (url or os.environ.get("HIDDENSTATE_URL") or DEFAULT_URL).rstrip("/").removesuffix("/v1")
    if not found.startswith(("http://", "https://")):
        raise ValueError(f"the address of the service must start with http:// or https://, not {found!r}")
    return found


def authorization(api_key: str | None) -> dict[str, str]:
    key = api_key or os.environ.get("HIDDENSTATE_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def request_of(http: httpx2.Client | httpx2.AsyncClient, url: str, ask: Ask) -> httpx2.Request:
    """A request as the HTTP library sends it."""
    return http.build_request(
        ask.method, url + ask.path, params=ask.query or None, content=ask.content, headers=ask.headers
    )


def reason(error: httpx2.TransportError) -> str:
    return str(error) or type(error).__name__
