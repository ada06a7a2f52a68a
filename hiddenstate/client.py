"""A client of the service: each method is one call of the API, each answer a plain dictionary of that shape."""

import datetime as dt
import math
import os
import random
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self, Unpack, cast
from urllib.parse import quote

import httpx2

from hiddenstate.errors import ProblemError, ServiceUnreachable
from hiddenstate.shapes import (
    Advance,
    BatchForecasts,
    BatchObservation,
    BatchOutcomes,
    Forecasts,
    Observation,
    Record,
    Session,
    SessionPage,
    Settings,
    Status,
    Verification,
)

DEFAULT_URL = "http://127.0.0.1:8000"
OnConflict = Literal["reject", "correct"]
ATTEMPTS = 3
LONGEST_WAIT_S = 30.0
"""A service that asks for a longer wait is not waited for: the caller gets its problem and decides."""

ARROW = "application/vnd.apache.arrow.stream"
TIMEOUT = httpx2.Timeout(65.0, connect=5.0)
"""The service gives up a warm-up or a verification after 60 s, everything else after 5."""


class Client:
    """Talks to one service; close it, or use it in a `with` statement. One client serves many threads.

    Requests that the service calls retryable, and those that got no answer, are sent again unchanged, three times in
    all. Each write carries one idempotency key over all its attempts, so none is applied twice.

    Args:
        url: where the service is; by default HIDDENSTATE_URL, else http://127.0.0.1:8000.
        api_key: sent as a bearer token; by default HIDDENSTATE_API_KEY, else none.

    Every method raises:
        ProblemError: the service refused.
        ServiceUnreachable: no answer came in three attempts.
    """

    def __init__(self, url: str | None = None, *, api_key: str | None = None) -> None:
        self.url = (url or os.environ.get("HIDDENSTATE_URL") or DEFAULT_URL).rstrip("/")
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"the address of the service must start with http:// or https://, not {self.url!r}")
        key = api_key or os.environ.get("HIDDENSTATE_API_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.Client(headers=headers, timeout=TIMEOUT)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def put_session(
        self, session: str, observations: Sequence[Observation] | None = None, **settings: Unpack[Settings]
    ) -> Session:
        """Create a session, warmed up with `observations`, oldest first. The same call again changes nothing."""
        body: dict[str, Any] = dict(settings)
        if observations is not None:
            body["observations"] = list(observations)
        return cast(Session, self._send("PUT", _path(session), json=body))

    def session(self, session: str) -> Session:
        """Its settings, where it stands, and its scores so far."""
        return cast(Session, self._send("GET", _path(session)))

    def sessions(self, *, prefix: str = "") -> Iterator[Session]:
        """All sessions whose id starts with `prefix`, fetched page by page."""
        page = self.sessions_page(prefix=prefix)
        yield from page["sessions"]
        while page["next_page_token"]:
            page = self.sessions_page(prefix=prefix, page_token=page["next_page_token"])
            yield from page["sessions"]

    def sessions_page(self, *, prefix: str = "", page_size: int = 100, page_token: str = "") -> SessionPage:
        """One page of the sessions whose id starts with `prefix`, and how many there are."""
        query = {"page_size": str(page_size), "prefix": prefix, "page_token": page_token}
        given = {name: value for name, value in query.items() if value}
        return cast(SessionPage, self._send("GET", "/v1/sessions", params=given))

    def observe(
        self,
        session: str,
        value: float | None,
        *,
        timestamp: str | dt.date | None = None,
        create: bool = False,
        on_conflict: OnConflict = "reject",
        idempotency_key: str | None = None,
    ) -> Advance:
        """Feed one value (None = missing) and get the forecast of the next step.

        Args:
            timestamp: ISO 8601, or a date or datetime; none for a session that only counts its steps.
            create: start the session if there is none.
            on_conflict: "correct" lets another value for a retained time correct it; else it is refused.
            idempotency_key: the same key again finds the first answer; by default a new one for each call.
        """
        observation: Observation = {"value": value}
        if timestamp is not None:
            observation["timestamp"] = timestamp if isinstance(timestamp, str) else timestamp.isoformat()
        return self._post_observations(session, observation, create, on_conflict, idempotency_key)

    def observe_many(
        self,
        session: str,
        observations: Sequence[Observation],
        *,
        create: bool = False,
        on_conflict: OnConflict = "reject",
        idempotency_key: str | None = None,
    ) -> Advance:
        """Feed several observations, oldest first: all of them are applied, or none.

        With `on_conflict="correct"` late and revised ones correct what is retained, in the same commit.
        """
        return self._post_observations(session, list(observations), create, on_conflict, idempotency_key)

    def observe_batch(
        self,
        observations: Sequence[BatchObservation],
        *,
        create: bool = False,
        on_conflict: OnConflict = "reject",
        idempotency_key: str | None = None,
    ) -> BatchOutcomes:
        """Feed observations of any sessions, at most 50,000; each has an outcome of its own, in the same order."""
        query = _observing(create, on_conflict)
        body = {"observations": list(observations)}
        answer = self._send("POST", "/v1/observations:batch", params=query, json=body, key=idempotency_key)
        return cast(BatchOutcomes, answer)

    def observe_table(self, rows: bytes, *, on_conflict: OnConflict = "reject") -> bytes:
        """Feed rows of any sessions, an Arrow stream with unique_id, ds and y; the columns row, status, replayed, step,
        problem and detail come back as one.

        Rows that got no answer are not sent again here: the caller knows which of them still make sense.
        """
        headers = {"Content-Type": ARROW, "Accept": ARROW, "Prefer": "return=minimal"}
        request = self._http.build_request(
            "POST",
            f"{self.url}/v1/observations:batch",
            params=_observing(False, on_conflict),
            content=rows,
            headers=headers,
        )
        return self._answered(request, attempts=1).content

    def correct(
        self, session: str, key: str | int | dt.date, value: float | None, *, idempotency_key: str | None = None
    ) -> Advance:
        """Give one retained observation another value (None = missing), and have what follows it folded again.

        Args:
            key: its timestamp, or its step.
        """
        name = key.isoformat() if isinstance(key, dt.date) else str(key)
        path = f"{_path(session)}/observations/{quote(name, safe='')}"
        return cast(Advance, self._send("PATCH", path, json={"value": value}, key=idempotency_key))

    def rewind(
        self, session: str, last: str | int | dt.date, *, idempotency_key: str | None = None
    ) -> Advance:
        """Forget the observations after the last one to keep, which its timestamp or its step names."""
        if isinstance(last, int):
            body: dict[str, str | int] = {"step": last}
        else:
            body = {"timestamp": last if isinstance(last, str) else last.isoformat()}
        return cast(Advance, self._send("POST", f"{_path(session)}:rewind", json=body, key=idempotency_key))

    def forecast(self, session: str, horizon: int = 1, levels: Sequence[int] = (80, 95)) -> Forecasts:
        """The next `horizon` steps, with an interval for each level (percent); changes nothing."""
        query = {"horizon": str(horizon), "levels": ",".join(map(str, levels))}
        return cast(Forecasts, self._send("GET", f"{_path(session)}/forecast", params=query))

    def forecast_batch(
        self,
        *,
        sessions: Sequence[str] | None = None,
        prefix: str | None = None,
        horizon: int = 1,
        levels: Sequence[int] = (80, 95),
    ) -> BatchForecasts:
        """The forecasts of these sessions, or of all whose id starts with `prefix`; changes nothing."""
        body = _asked_forecasts(sessions, prefix, horizon, levels)
        return cast(BatchForecasts, self._send("POST", "/v1/forecasts:batch", json=body))

    def forecast_table(
        self,
        *,
        sessions: Sequence[str] | None = None,
        prefix: str | None = None,
        horizon: int = 1,
        levels: Sequence[int] = (80, 95),
    ) -> Iterator[bytes]:
        """The same as an Arrow stream, piece by piece: unique_id, ds, cutoff, yhat, yhat-lo-80, yhat-hi-80 ..."""
        request = self._http.build_request(
            "POST",
            f"{self.url}/v1/forecasts:batch",
            json=_asked_forecasts(sessions, prefix, horizon, levels),
            headers={"Accept": ARROW},
        )
        response = self._answered(request, stream=True)
        try:
            yield from response.iter_bytes()
        except httpx2.TransportError as error:
            raise ServiceUnreachable(self.url, str(error) or type(error).__name__) from error
        finally:
            response.close()

    def history(self, session: str, *, newest_first: bool = False) -> Iterator[Record]:
        """The retained observations, each with the forecast that had been issued for it, fetched page by page."""
        query = {"order_by": "step desc" if newest_first else "step"}
        while True:
            page = self._send("GET", f"{_path(session)}/observations", params=query)
            yield from cast(list[Record], page["observations"])
            if not page["next_page_token"]:
                return
            query["page_token"] = page["next_page_token"]

    def reset(self, session: str) -> Session:
        """Forget what was observed and keep the settings."""
        return cast(Session, self._send("POST", f"{_path(session)}:reset"))

    def verify(self, session: str) -> Verification:
        """Fold the retained observations again and compare with the live state; changes nothing."""
        return cast(Verification, self._send("POST", f"{_path(session)}:verify"))

    def delete(self, session: str) -> None:
        """Forget the session; no error if there is none."""
        self._send("DELETE", _path(session))

    def models(self) -> list[dict[str, Any]]:
        """The models that the service has, and what each takes."""
        return cast(list[dict[str, Any]], self._send("GET", "/v1/models")["models"])

    def status(self) -> Status:
        """The service as a whole: store, models, limits."""
        return cast(Status, self._send("GET", "/v1/status"))

    def _post_observations(
        self,
        session: str,
        body: Observation | list[Observation],
        create: bool,
        on_conflict: OnConflict,
        idempotency_key: str | None,
    ) -> Advance:
        query = _observing(create, on_conflict)
        answer = self._send("POST", f"{_path(session)}/observations", params=query, json=body, key=idempotency_key)
        return cast(Advance, answer)

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object = None,
        key: str | None = None,
    ) -> Any:  # noqa: ANN401 - a JSON document; each caller knows its shape
        request = self._http.build_request(method, self.url + path, params=params, json=json)
        if method in ("POST", "PATCH"):
            request.headers["Idempotency-Key"] = key or uuid.uuid4().hex
        return self._content(self._answered(request))

    def _answered(
        self, request: httpx2.Request, *, attempts: int = ATTEMPTS, stream: bool = False
    ) -> httpx2.Response:
        """The answer to a request that succeeded; with `stream` its body is still to be read."""
        attempt = 1
        while True:
            answer = self._attempt(request, stream)
            if isinstance(answer, httpx2.Response) and answer.is_success:
                return answer
            error, wait_s = self._failure(answer, attempt)
            if attempt >= attempts or wait_s > LONGEST_WAIT_S:
                raise error
            time.sleep(wait_s)
            attempt += 1

    def _attempt(self, request: httpx2.Request, stream: bool) -> httpx2.Response | httpx2.TransportError:
        try:
            response = self._http.send(request, stream=stream)
            if not response.is_success:
                response.read()
            return response
        except httpx2.TransportError as error:
            return error

    def _failure(
        self, answer: httpx2.Response | httpx2.TransportError, attempt: int
    ) -> tuple[ProblemError | ServiceUnreachable, float]:
        """The error to raise, and the seconds after which another attempt makes sense (infinite: none does)."""
        if isinstance(answer, httpx2.TransportError):
            return ServiceUnreachable(self.url, str(answer) or type(answer).__name__), _backoff_s(attempt)
        problem = _problem(answer)
        retry_after = answer.headers.get("Retry-After", "")
        wait_s = float(retry_after) if retry_after.isdigit() else _backoff_s(attempt)
        return problem, wait_s if problem.retryable else math.inf

    def _content(self, response: httpx2.Response) -> Any:  # noqa: ANN401 - a JSON document; each caller knows its shape
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError:
            raise ServiceUnreachable(self.url, "what answers there is no hiddenstate service") from None


def _observing(create: bool, on_conflict: OnConflict) -> dict[str, str]:
    query = {"create": "true"} if create else {}
    return query if on_conflict == "reject" else {**query, "on_conflict": on_conflict}


def _asked_forecasts(
    sessions: Sequence[str] | None, prefix: str | None, horizon: int, levels: Sequence[int]
) -> dict[str, Any]:
    of: dict[str, Any] = {"prefix": prefix or ""} if sessions is None else {"sessions": list(sessions)}
    return {**of, "horizon": horizon, "levels": list(levels)}


def _path(session: str) -> str:
    return f"/v1/sessions/{quote(session, safe='')}"


def _problem(response: httpx2.Response) -> ProblemError:
    try:
        members = response.json()
    except ValueError:
        return ProblemError.of_text(response.status_code, response.text)
    return ProblemError(response.status_code, members if isinstance(members, dict) else {})


def _backoff_s(attempt: int) -> float:
    """0.1 to 0.2 s, then twice that: many clients that failed together do not come back together."""
    return 0.2 * float(2 ** (attempt - 1)) * random.uniform(0.5, 1.0)
