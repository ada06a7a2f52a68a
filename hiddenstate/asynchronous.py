"""The client of a service for programs that run in an event loop."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Self, TypeVar, Unpack

import httpx2

from hiddenstate.answers.batches import BatchForecasts, BatchOutcome, BatchOutcomes
from hiddenstate.answers.events import Event
from hiddenstate.answers.forecasts import Forecasts
from hiddenstate.answers.observations import Advance, History, Record
from hiddenstate.answers.service import Model, Status
from hiddenstate.answers.sessions import Session, SessionPage, Verification
from hiddenstate.answers.states import Purged, State
from hiddenstate.client import LEVELS, Client
from hiddenstate.errors import ServiceUnreachable
from hiddenstate.sending import batching, calls, streaming_tasks
from hiddenstate.sending.connected import TIMEOUT, Connected, reason, request_of
from hiddenstate.sending.exchange import Ask, Call, Lost, Steps, Wait, answered, called
from hiddenstate.sending.listening import Listening
from hiddenstate.sending.outbox import AnswerT
from hiddenstate.sending.outboxes import Outboxes
from hiddenstate.sending.rows import each_of, rows_of
from hiddenstate.sending.shapes import BatchObservation, Frame, Observation, OnConflict, Settings
from hiddenstate.sending.streaming import Streaming

ResultT = TypeVar("ResultT")


class AsyncClient(Connected[asyncio.Lock]):
    """A Client whose methods are awaited, and whose iterators are asynchronous; nothing else is different.

    Use it in an `async with` statement, from one event loop.
    """

    def __init__(self, url: str | None = None, *, api_key: str | None = None) -> None:
        super().__init__(url, api_key, Outboxes(asyncio.Lock))
        self._http = httpx2.AsyncClient(headers=self._authorization, timeout=TIMEOUT)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                await self.flush()
        finally:
            await self.aclose()

    async def put_session(
        self, session: str, observations: Sequence[Observation] | None = None, **settings: Unpack[Settings]
    ) -> Session:
        return self._seen(await self._call(calls.put_session(session, observations, settings)))

    async def session(self, session: str) -> Session:
        return self._seen(await self._call(calls.session(session)))

    async def sessions(self, *, prefix: str = "", model: str = "", order_by: str = "") -> AsyncIterator[Session]:
        page = await self.sessions_page(prefix=prefix, model=model, order_by=order_by)
        for one in page.sessions:
            yield one
        while page.next_page_token:
            page = await self.sessions_page(
                prefix=prefix, model=model, order_by=order_by, page_token=page.next_page_token
            )
            for one in page.sessions:
                yield one

    async def sessions_page(
        self, *, prefix: str = "", model: str = "", order_by: str = "", page_size: int = 100, page_token: str = ""
    ) -> SessionPage:
        return await self._call(calls.sessions_page(prefix, model, page_size, page_token, order_by))

    async def patch_session(
        self, session: str, *, validate_only: bool = False, **settings: Unpack[Settings]
    ) -> Session:
        call = calls.patch_session(session, settings, validate_only)
        return await self._call(call) if validate_only else await self._write(session, call)

    async def delete(self, session: str) -> None:
        await self._start_over(session, calls.delete(session))

    async def reset(self, session: str) -> Session:
        return await self._start_over(session, calls.reset(session))

    async def rewind(self, session: str, last: str | int | dt.date, *, idempotency_key: str | None = None) -> Advance:
        return await self._start_over(session, calls.rewind(session, last, idempotency_key))

    async def observe(
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
        observation = calls.observation(value, timestamp, step, covariates, future)
        creating = calls.creating(create, freq, model)
        return await self._write(session, calls.observe(session, observation, creating, on_conflict, idempotency_key))

    async def observe_many(
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
        creating = calls.creating(create, freq, model)
        call = calls.observe(session, list(observations), creating, on_conflict, idempotency_key)
        return await self._write(session, call)

    async def observe_batch(
        self,
        observations: Sequence[BatchObservation] | Frame,
        *,
        create: bool = False,
        freq: str | None = None,
        model: str | None = None,
        on_conflict: OnConflict = "reject",
        idempotency_key: str | None = None,
    ) -> BatchOutcomes:
        rows, creating = list(rows_of(observations)), calls.creating(create, freq, model)
        await self._send_waiting(row["session"] for row in rows)
        batch = await self._run(batching.observed(rows, creating, on_conflict, idempotency_key, self.url))
        for advance in batch.advances:
            self._outboxes.see(advance.session, advance.etag)
        return batch

    async def stream(
        self,
        rows: Iterable[BatchObservation] | AsyncIterable[BatchObservation] | Frame,
        *,
        create: bool = False,
        freq: str | None = None,
        model: str | None = None,
        on_conflict: OnConflict = "reject",
        idempotency_key: str | None = None,
    ) -> AsyncIterator[BatchOutcome]:
        await self.flush()
        core = Streaming(calls.streamed(calls.creating(create, freq, model), on_conflict), idempotency_key, self.url)
        outcomes = streaming_tasks.outcomes(core, each_of(rows), self._authorization)
        async with aclosing(outcomes):
            async for outcome in outcomes:
                yield self._told(outcome)

    async def observe_table(
        self, rows: bytes, *, on_conflict: OnConflict = "reject", content_type: str = calls.ARROW
    ) -> bytes:
        return (await self._run(answered(calls.observe_table(rows, on_conflict, content_type), self.url))).content

    async def correct(
        self, session: str, key: str | int | dt.date, value: float | None, *, idempotency_key: str | None = None
    ) -> Advance:
        return await self._write(session, calls.correct(session, key, value, idempotency_key))

    async def forecast(self, session: str, horizon: int = 1, levels: Sequence[int] = LEVELS) -> Forecasts:
        return await self._call(calls.forecast(session, horizon, levels))

    async def what_if(
        self,
        session: str,
        future: Sequence[Mapping[str, float | None]] = (),
        *,
        horizon: int | None = None,
        levels: Sequence[int] = LEVELS,
    ) -> Forecasts:
        return await self._call(calls.what_if(session, future, horizon, levels))

    async def forecast_batch(
        self,
        *,
        sessions: Sequence[str] | None = None,
        prefix: str | None = None,
        horizon: int = 1,
        levels: Sequence[int] = LEVELS,
    ) -> BatchForecasts:
        return await self._call(calls.forecast_batch(sessions, prefix, horizon, levels))

    async def forecast_table(
        self,
        *,
        sessions: Sequence[str] | None = None,
        prefix: str | None = None,
        horizon: int = 1,
        levels: Sequence[int] = LEVELS,
    ) -> AsyncIterator[bytes]:
        response = await self._run(answered(calls.forecast_table(sessions, prefix, horizon, levels), self.url))
        try:
            async for piece in response.aiter_bytes():
                yield piece
        except httpx2.TransportError as error:
            raise ServiceUnreachable(self.url, reason(error)) from error
        finally:
            await response.aclose()

    async def records(self, session: str, *, newest_first: bool = False) -> AsyncIterator[Record]:
        page = await self._call(calls.records_page(session, newest_first, ""))
        for one in page.observations:
            yield one
        while page.next_page_token:
            page = await self._call(calls.records_page(session, newest_first, page.next_page_token))
            for one in page.observations:
                yield one

    async def history(self, session: str) -> History:
        return History(session, [record async for record in self.records(session)])

    async def verify(self, session: str) -> Verification:
        return await self._call(calls.verify(session))

    async def state(self, session: str) -> State:
        return await self._call(calls.state(session))

    async def put_state(
        self, session: str, state: State | Mapping[str, Any], *, if_match: str | None = None
    ) -> Session:
        return self._seen(await self._call(calls.put_state(session, state, if_match)))

    async def purge(self, prefix: str, *, force: bool = False) -> Purged:
        return await self._call(calls.purge(prefix, force))

    async def model(self, name: str) -> Model:
        return await self._call(calls.model(name))

    async def events(
        self, *sessions: str, prefix: str = "", last_event_id: str | None = None
    ) -> AsyncIterator[Event]:
        listening = Listening(sessions, prefix, last_event_id)
        while True:
            response = await self._run(listening.connected(self.url))
            try:
                async for line in response.aiter_lines():
                    for event in listening.take(line, self.url):
                        yield event
            except httpx2.TransportError:
                continue
            finally:
                await response.aclose()

    async def models(self) -> list[Model]:
        return (await self._call(calls.models())).models

    async def status(self) -> Status:
        return await self._call(calls.status())

    async def flush(self) -> None:
        await self._send_waiting(self.waiting)

    async def _call(self, call: Call[ResultT]) -> ResultT:
        return await self._run(called(call, self.url))

    async def _write(self, session: str, call: Call[AnswerT]) -> AnswerT:
        with self._outboxes.of(session) as outbox:
            async with outbox.lock:
                return await self._run(outbox.send(call, self.url))

    async def _start_over(self, session: str, call: Call[ResultT]) -> ResultT:
        with self._outboxes.of(session) as outbox:
            async with outbox.lock:
                return await self._run(outbox.start_over(call, self.url))

    async def _send_waiting(self, sessions: Iterable[str]) -> None:
        for session in self._outboxes.waiting().keys() & set(sessions):
            with self._outboxes.of(session) as outbox:
                async with outbox.lock:
                    await self._run(outbox.send_waiting(self.url))

    async def _run(self, steps: Steps[ResultT]) -> ResultT:
        came = None
        while True:
            try:
                wanted = steps.send(came)
            except StopIteration as done:
                result: ResultT = done.value
                return result
            if isinstance(wanted, Wait):
                await asyncio.sleep(wanted.seconds)
                came = None
            else:
                came = await self._attempt(wanted)

    async def _attempt(self, ask: Ask) -> httpx2.Response | Lost:
        try:
            response = await self._http.send(request_of(self._http, self.url, ask), stream=ask.stream)
            if ask.stream and not response.is_success:
                await response.aread()
            return response
        except httpx2.TransportError as error:
            return Lost(reason(error))


for _name, _method in vars(AsyncClient).items():
    if not _name.startswith("_") and _name != "aclose":
        _method.__doc__ = getattr(Client, _name).__doc__
