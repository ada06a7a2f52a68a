"""What happens to sessions, told while it happens: Server-Sent Events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.types import Receive, Scope, Send

from service.core import Core
from service.live import positions, rendering
from service.live.hub import Subscription
from service.live.positions import Place
from service.live.resuming import missed
from service.live.subscriber import Filter, Subscriber
from service.monitoring.meters import EVENTS, SENT
from service.readiness import Readiness
from service.routes.exchange import PROBLEMS, CoreDep
from service.storage.connection import StoreUnavailable
from service.wire import parsing, schemas
from service.wire.accepting import preferred
from service.wire.exchange import as_state, given_headers, text
from service.wire.problems import Fault, InvalidRequest, NotReady, Overloaded

router = APIRouter(tags=["events"], responses=PROBLEMS)

EVENT_STREAM = "text/event-stream"
COMMENT_S = 15.0
"""A stream on which nothing happens shows so often that it is there."""
SLOW_S = 15.0
"""A client that takes nothing for so long is let go."""
UNBUFFERED = {"X-Accel-Buffering": "no"}
DATA = b"\ndata: "
"""Once in each event."""


class EventQuery(BaseModel):
    session: Annotated[list[str], Field(max_length=1000)] = []
    """Only of this session; may be given many times. It need not exist yet."""
    prefix: str = Field(default="", pattern=schemas.PREFIX)
    """Only of sessions whose id begins so."""
    last_event_id: str = ""
    """As the header Last-Event-ID, for clients that cannot send it."""


@router.get("/v1/events")
async def get_events(request: Request, query: Annotated[EventQuery, Query()], core: CoreDep) -> Response:
    """What happens to sessions, while it happens. With Last-Event-ID, what was missed since comes first."""
    given = given_headers(request.scope["headers"])
    preferred(text(given, b"accept") or "*/*", [EVENT_STREAM])
    last = text(given, b"last-event-id") or query.last_event_id
    since = positions.read(last) if last else None
    readiness: Readiness = request.app.state.readiness
    if readiness.draining:
        raise NotReady(["the service is stopping"])
    if len(core.hub) >= core.settings.event_streams_limit:
        raise Overloaded("too many event streams are open; come back later")
    return _Events(core, _filter(query), since)


def _filter(query: EventQuery) -> Filter:
    if query.session and query.prefix:
        detail = "goes without session: name the sessions, or what their ids begin with"
        raise InvalidRequest([Fault(detail, parameter="prefix")])
    for session in query.session:
        try:
            parsing.session_id(session)
        except InvalidRequest as refused:
            raise InvalidRequest([Fault(fault.detail, parameter="session") for fault in refused.errors]) from None
    return Filter(frozenset(query.session), query.prefix)


class _Events(Response):
    """An answer that goes on until the client leaves, reads too slowly, or the service stops."""

    def __init__(self, core: Core, wants: Filter, since: Place | None) -> None:
        super().__init__(media_type=EVENT_STREAM, headers=UNBUFFERED)
        del self.headers["content-length"]
        self._core = core
        self._wants = wants
        self._since = since

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._core.monitor.streaming(EVENTS):
            await self._stream(scope, receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._core.hub.subscribed(self._wants) as subscription, _until_left(receive, subscription):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            try:
                async for part in self._parts(subscription, is_head=as_state(scope).get("is_head", False)):
                    await _sent(send, part)
                    self._core.monitor.messages(EVENTS, SENT, part.count(DATA))
                await _sent(send, b"", more=False)
            except TimeoutError:
                as_state(scope)["abort"]()

    async def _parts(self, subscription: Subscription, *, is_head: bool) -> AsyncIterator[bytes]:
        if is_head:
            return
        yield rendering.RETRY + rendering.standing(positions.written(self._since or subscription.place))
        if self._since is not None:
            try:
                async for part in missed(self._core.streams, self._since, subscription):
                    yield part
            except StoreUnavailable:
                return  # the client comes again with the last id it has read
        async for part in self._live(subscription.subscriber):
            yield part

    async def _live(self, subscriber: Subscriber) -> AsyncIterator[bytes]:
        hub = self._core.hub
        while True:
            if said := await subscriber.take(COMMENT_S):
                yield said
            elif subscriber.behind_from_ms is not None:
                yield rendering.gap(subscriber.behind_from_ms, self._core.streams.now_ms)
                return
            elif subscriber.is_closed:
                yield rendering.CLOSE
                return
            else:
                yield rendering.COMMENT + rendering.standing(positions.written(hub.place))


@asynccontextmanager
async def _until_left(receive: Receive, subscription: Subscription) -> AsyncIterator[None]:
    """Nothing is told any more to a client that has closed the connection."""

    async def leave() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        subscription.subscriber.close()

    leaving = asyncio.get_running_loop().create_task(leave(), name="subscriber")
    try:
        yield
    finally:
        leaving.cancel()
        await asyncio.wait({leaving})


async def _sent(send: Send, body: bytes, *, more: bool = True) -> None:
    """Raises TimeoutError: the client does not read."""
    async with asyncio.timeout(SLOW_S):
        await send({"type": "http.response.body", "body": body, "more_body": more})
