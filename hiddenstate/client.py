"""The client of a service: each method is one call of the API, or a loop over its pages."""

import datetime as dt
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Self, TypeVar, Unpack

import httpx2

from hiddenstate.answers.batches import BatchForecasts, BatchOutcome, BatchOutcomes
from hiddenstate.answers.events import Event
from hiddenstate.answers.forecasts import Forecasts
from hiddenstate.answers.observations import Advance, History, Record
from hiddenstate.answers.service import Model, Status
from hiddenstate.answers.sessions import Session, SessionPage, Verification
from hiddenstate.answers.states import Purged, State
from hiddenstate.errors import ServiceUnreachable
from hiddenstate.sending import batching, calls, streaming_threads
from hiddenstate.sending.connected import TIMEOUT, Connected, reason, request_of
from hiddenstate.sending.exchange import Ask, Call, Lost, Steps, Wait, answered, called
from hiddenstate.sending.listening import Listening
from hiddenstate.sending.outbox import AnswerT
from hiddenstate.sending.outboxes import Outboxes
from hiddenstate.sending.rows import rows_of
from hiddenstate.sending.shapes import BatchObservation, Frame, Observation, OnConflict, Settings
from hiddenstate.sending.streaming import Streaming

LEVELS = (80, 95)

ResultT = TypeVar("ResultT")


class Client(Connected[threading.Lock]):
    """Talks to one service; close it, or use it in a `with` statement. One client serves many threads.

    Requests that the service calls retryable, and those that got no answer, are sent again unchanged, three times in
    all. Each write carries one idempotency key over all its attempts, so none is applied twice.

    Each call of `observe`, `observe_many`, `correct` and `patch_session` is one write, whatever becomes of it. The
    writes of a session go one at a time. One that got no answer in three attempts raises an error whose `kept` is true:
    the client keeps it and sends it before the session's next write, at `flush`, or at the end of the `with` statement.
    Hand it over again and it counts twice, unless it has a timestamp, a step or an idempotency key of yours.

    Where the store lost a session's latest observations (a failover), those that this client had sent are sent again.

    Args:
        url: where the service is; by default HIDDENSTATE_URL, else http://127.0.0.1:8000.
        api_key: sent as a bearer token; by default HIDDENSTATE_API_KEY, else none.

    Every method raises:
        ProblemError: the service refused; there is a class for each kind of refusal.
        ServiceUnreachable: no answer came in three attempts.
    """

    def __init__(self, url: str | None = None, *, api_key: str | None = None) -> None:
        super().__init__(url, api_key, Outboxes(threading.Lock))
        self._http = httpx2.Client(headers=self._authorization, timeout=TIMEOUT)

    def close(self) -> None:
        """Close the connections; what is kept and was not sent is lost."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self.close()

    def put_session(
        self, session: str, observations: Sequence[Observation] | None = None, **settings: Unpack[Settings]
    ) -> Session:
        """Create a session, warmed up with `observations`, oldest first. The same call again changes nothing."""
        return self._seen(self._call(calls.put_session(session, observations, settings)))

    def session(self, session: str) -> Session:
        """Its settings, where it stands, and its scores so far."""
        return self._seen(self._call(calls.session(session)))

    def sessions(self, *, prefix: str = "", model: str = "", order_by: str = "") -> Iterator[Session]:
        """All sessions whose id starts with `prefix`, of a `model` (name, or name@version), fetched page by page.

        Args:
            order_by: such as "mase desc".
        """
        page = self.sessions_page(prefix=prefix, model=model, order_by=order_by)
        yield from page.sessions
        while page.next_page_token:
            page = self.sessions_page(
                prefix=prefix, model=model, order_by=order_by, page_token=page.next_page_token
            )
            yield from page.sessions

    def sessions_page(
        self, *, prefix: str = "", model: str = "", order_by: str = "", page_size: int = 100, page_token: str = ""
    ) -> SessionPage:
        """One page of the sessions whose id starts with `prefix`, of a `model`, and how many there are."""
        return self._call(calls.sessions_page(prefix, model, page_size, page_token, order_by))

    def patch_session(
        self, session: str, *, validate_only: bool = False, **settings: Unpack[Settings]
    ) -> Session:
        """Change settings; `validate_only` shows the session as it would be, and changes nothing."""
        call = calls.patch_session(session, settings, validate_only)
        return self._call(call) if validate_only else self._write(session, call)

    def delete(self, session: str) -> None:
        """Forget the session; no error if there is none."""
        self._start_over(session, calls.delete(session))

    def reset(self, session: str) -> Session:
        """Forget what was observed and keep the settings."""
        return self._start_over(session, calls.reset(session))

    def rewind(self, session: str, last: str | int | dt.date, *, idempotency_key: str | None = None) -> Advance:
        """Forget the observations after the last one to keep, which its timestamp or its step names."""
        return self._start_over(session, calls.rewind(session, last, idempotency_key))

    def observe(
        self,
        session: str,
        value: float | None,
        *,
        timestamp: str | dt.date | None = None,
        step: int | None = None,
        covariates: Mapping[str, float | None] | None = None,
        future: Sequence[Mapping[str, float | None]] | None = None,
        create: bool = False,
        freq: str | None = None,
        model: str | None = None,
        on_conflict: OnConflict = "reject",
        idempotency_key: str | None = None,
    ) -> Advance:
        """Feed one value (None = missing) and get the forecast of the next step.

        Args:
            timestamp: ISO 8601, or a date or datetime; none for a session that only counts its steps.
            step: in such a session, the step that this is; it is then folded once, whoever sends it again.
            covariates: by name, those that the model takes.
            future: what is known already of the covariates of the steps that follow, nearest first.
            create: start the session if there is none, with this `freq` and `model`.
            on_conflict: "correct" lets another value for a retained time correct it; else it is refused.
            idempotency_key: the same key again finds the first answer; by default a new one for each call.
        """
        observation = calls.observation(value, timestamp, step, covariates, future)
        creating = calls.creating(create, freq, model)
        return self._write(session, calls.observe(session, observation, creating, on_conflict, idempotency_key))

    def observe_many(
        self,
        session: str,
        observations: Sequence[Observation],
        *,
        create: bool = False,
        freq: str | None = None,
        model: str | None = None,
        on_conflict: OnConflict = "reject",
        idempotency_key: str | None = None,
    ) -> Advance:
        """Feed several observations, oldest first: all of them are applied, or none.

        With `on_conflict="correct"` late and revised ones correct what is retained, in the same commit.
        """
        creating = calls.creating(create, freq, model)
        call = calls.observe(session, list(observations), creating, on_conflict, idempotency_key)
        return self._write(session, call)

    def observe_batch(
        self,
        observations: Sequence[BatchObservation] | Frame,
        *,
        create: bool = False,
        freq: str | None = None,
        model: str | None = None,
        on_conflict: OnConflict = "reject",
        idempotency_key: str | None = None,
    ) -> BatchOutcomes:
        """Feed observations of any sessions, any number of them; each has an outcome of its own, in the same order.

        Rows are objects with `session`, or table rows or a frame with unique_id, ds and y, where NaN is missing.
        Refusals are outcomes too and not raised. What got no answer is not kept: the same call with the same
        idempotency key settles it.
        """
        rows, creating = list(rows_of(observations)), calls.creating(create, freq, model)
        self._send_waiting(row["session"] for row in rows)
        batch = self._run(batching.observed(rows, creating, on_conflict, idempotency_key, self.url))
        for advance in batch.advances:
            self._outboxes.see(advance.session, advance.etag)
        return batch

    def stream(
        self,
        rows: Iterable[BatchObservation] | Frame,
        *,
        create: bool = False,
        freq: str | None = None,
        model: str | None = None,
        on_conflict: OnConflict = "reject",
        idempotency_key: str | None = None,
    ) -> Iterator[BatchOutcome]:
        """Feed observations of any sessions as they come, over one connection, and get the outcome of each.

        Rows are taken in a thread of their own, without waiting for outcomes: up to 1,024 are under way at once, eight
        of a session. Those of a session are applied in order. Outcomes come as rows are settled; refusals are outcomes.
        A connection that ends is opened again, and what has no outcome is sent again under the key that it had.

        Raises:
            StreamInterrupted: nothing was settled for a minute; it has the rows without an outcome.
        """
        self.flush()
        core = Streaming(calls.streamed(calls.creating(create, freq, model), on_conflict), idempotency_key, self.url)
        with closing(streaming_threads.outcomes(core, rows_of(rows), self._authorization)) as outcomes:
            yield from map(self._told, outcomes)

    def observe_table(
        self, rows: bytes, *, on_conflict: OnConflict = "reject", content_type: str = calls.ARROW
    ) -> bytes:
        """Feed rows of any sessions, an Arrow stream with unique_id, ds and y, or another table that `content_type`
        names; the columns row, status, replayed, step, problem and detail come back as an Arrow stream.

        Rows that got no answer are not sent again here: the caller knows which of them still make sense.
        """
        return self._run(answered(calls.observe_table(rows, on_conflict, content_type), self.url)).content

    def correct(
        self, session: str, key: str | int | dt.date, value: float | None, *, idempotency_key: str | None = None
    ) -> Advance:
        """Give one retained observation another value (None = missing), and have what follows it folded again.

        Args:
            key: its timestamp, or its step.
        """
        return self._write(session, calls.correct(session, key, value, idempotency_key))

    def forecast(self, session: str, horizon: int = 1, levels: Sequence[int] = LEVELS) -> Forecasts:
        """The next `horizon` steps, with an interval for each level (percent); changes nothing."""
        return self._call(calls.forecast(session, horizon, levels))

    def what_if(
        self,
        session: str,
        future: Sequence[Mapping[str, float | None]] = (),
        *,
        horizon: int | None = None,
        levels: Sequence[int] = LEVELS,
    ) -> Forecasts:
        """The forecast if `future` came, covariates known in advance, nearest first; nothing is committed.

        Without `horizon`, as many steps as `future` has rows.
        """
        return self._call(calls.what_if(session, future, horizon, levels))

    def forecast_batch(
        self,
        *,
        sessions: Sequence[str] | None = None,
        prefix: str | None = None,
        horizon: int = 1,
        levels: Sequence[int] = LEVELS,
    ) -> BatchForecasts:
        """The forecasts of these sessions, or of all whose id starts with `prefix`; changes nothing."""
        return self._call(calls.forecast_batch(sessions, prefix, horizon, levels))

    def forecast_table(
        self,
        *,
        sessions: Sequence[str] | None = None,
        prefix: str | None = None,
        horizon: int = 1,
        levels: Sequence[int] = LEVELS,
    ) -> Iterator[bytes]:
        """The same as an Arrow stream, piece by piece: unique_id, ds, cutoff, yhat, yhat-lo-80, yhat-hi-80 ..."""
        response = self._run(answered(calls.forecast_table(sessions, prefix, horizon, levels), self.url))
        try:
            yield from response.iter_bytes()
        except httpx2.TransportError as error:
            raise ServiceUnreachable(self.url, reason(error)) from error
        finally:
            response.close()

    def records(self, session: str, *, newest_first: bool = False) -> Iterator[Record]:
        """The retained observations, each with the forecast that had been issued for it, fetched page by page."""
        page = self._call(calls.records_page(session, newest_first, ""))
        yield from page.observations
        while page.next_page_token:
            page = self._call(calls.records_page(session, newest_first, page.next_page_token))
            yield from page.observations

    def history(self, session: str) -> History:
        """All of them at once, oldest first."""
        return History(session, list(self.records(session)))

    def verify(self, session: str) -> Verification:
        """Fold the retained observations again and compare with the live state; changes nothing."""
        return self._call(calls.verify(session))

    def state(self, session: str) -> State:
        """All that another service needs to go on with the session: state, settings and retained history."""
        return self._call(calls.state(session))

    def put_state(
        self, session: str, state: State | Mapping[str, Any], *, if_match: str | None = None
    ) -> Session:
        """Go on with a session from its state, in a new life. The same state again changes nothing.

        Over another session it is put only with `if_match`, the etag of that one.
        """
        return self._seen(self._call(calls.put_state(session, state, if_match)))

    def purge(self, prefix: str, *, force: bool = False) -> Purged:
        """Count the sessions whose id starts with `prefix` ("" = all), and, with `force`, delete them."""
        return self._call(calls.purge(prefix, force))

    def model(self, name: str) -> Model:
        """One model: NAME is its newest version, NAME@VERSION a certain one."""
        return self._call(calls.model(name))

    def events(self, *sessions: str, prefix: str = "", last_event_id: str | None = None) -> Iterator[Event]:
        """What happens to these sessions, or to all whose id starts with `prefix`, while it happens; without an end.

        A connection that ends is opened again, and what was missed meanwhile comes first; no event comes twice. What
        the service may have failed to tell is a Gap.

        Args:
            last_event_id: `id` of the event to go on after, such as the last one that another process was told.
        """
        listening = Listening(sessions, prefix, last_event_id)
        while True:
            response = self._run(listening.connected(self.url))
            try:
                for line in response.iter_lines():
                    yield from listening.take(line, self.url)
            except httpx2.TransportError:
                continue  # it goes on after the last event that came
            finally:
                response.close()

    def models(self) -> list[Model]:
        """The models that the service has, and what each takes."""
        return self._call(calls.models()).models

    def status(self) -> Status:
        """The service as a whole: store, models, limits."""
        return self._call(calls.status())

    def flush(self) -> None:
        """Send what is kept without an answer."""
        self._send_waiting(self.waiting)

    def _call(self, call: Call[ResultT]) -> ResultT:
        return self._run(called(call, self.url))

    def _write(self, session: str, call: Call[AnswerT]) -> AnswerT:
        with self._outboxes.of(session) as outbox, outbox.lock:
            return self._run(outbox.send(call, self.url))

    def _start_over(self, session: str, call: Call[ResultT]) -> ResultT:
        with self._outboxes.of(session) as outbox, outbox.lock:
            return self._run(outbox.start_over(call, self.url))

    def _send_waiting(self, sessions: Iterable[str]) -> None:
        for session in self._outboxes.waiting().keys() & set(sessions):
            with self._outboxes.of(session) as outbox, outbox.lock:
                self._run(outbox.send_waiting(self.url))

    def _run(self, steps: Steps[ResultT]) -> ResultT:
        came = None
        while True:
            try:
                wanted = steps.send(came)
            except StopIteration as done:
                result: ResultT = done.value
                return result
            if isinstance(wanted, Wait):
                time.sleep(wanted.seconds)
                came = None
            else:
                came = self._attempt(wanted)

    def _attempt(self, ask: Ask) -> httpx2.Response | Lost:
        try:
            response = self._http.send(request_of(self._http, self.url, ask), stream=ask.stream)
            if ask.stream and not response.is_success:
                response.read()
            return response
        except httpx2.TransportError as error:
            return Lost(reason(error))
