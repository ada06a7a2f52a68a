"""A simulated process of the service: the real parts, joined as they are in production, over the simulated network."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any, NamedTuple, TypeVar

import orjson

from service.core import Core, running
from service.routes.exchange import within
from service.routes.observing import Observing
from service.sessions.registry import Registry
from service.sessions.views import Shown
from service.sessions.work import Conditions, Correct, Delete, Reply, Reset, Resettle, Rewind, digest_of, token_of
from service.settings import Settings
from service.storage.durability import Demand
from service.storage.store import Change, Outcome, SessionStore
from service.wire import parsing, render
from service.wire.problems import ServiceError
from service.wire.schemas import Correction, SessionPatch
from service.wire.schemas import Rewind as Rewound
from tests.simulation.loop import Owner, VirtualLoop, owner

ResultT = TypeVar("ResultT")

STORE_URL = "redis://store:6379/0"


class Answer(NamedTuple):
    """What a client is answered."""

    status: int
    body: bytes
    etag: str | None = None
    replayed: bool = False

    @property
    def slug(self) -> str:
        """The problem's type, without its path."""
        return str(orjson.loads(self.body)["type"]).removeprefix("/problems/")


class Call(NamedTuple):
    """A request. `path` is what follows the session's own."""

    method: str
    session: str
    path: str = ""
    query: str = ""
    body: bytes = b""
    key: str | None = None
    if_match: str | None = None


class _CountingStore(SessionStore):
    """The store, counting what becomes of changes."""

    outcomes: Counter[str]

    async def commit(self, changes: Sequence[Change]) -> list[Outcome]:
        outcomes = await super().commit(changes)
        self.outcomes.update(outcome.name for outcome in outcomes)
        return outcomes


class Worker(Owner):
    """Args:
    demand: what must have become of a commit before it is answered.
    outcomes: where it is counted what became of the changes that it committed.
    """

    def __init__(
        self,
        name: str,
        loop: VirtualLoop,
        settings: Settings,
        registry: Registry,
        chance: Random,
        demand: Demand,
        outcomes: Counter[str],
    ) -> None:
        super().__init__(name)
        self.core: Core | None = None
        self._loop = loop
        self._settings = settings
        self._registry = registry
        self._chance = chance
        self._demand = demand
        self._outcomes = outcomes
        self._requests: list[asyncio.Task[Answer]] = []
        self._stopping = asyncio.Event()
        self._observing: Observing | None = None
        self._life: asyncio.Task[None] | None = None

    async def start(self) -> None:
        started = self._loop.create_future()
        self._life = self._spawn(self._run(started))
        await started

    async def stop(self) -> None:
        """Drain, as at SIGTERM."""
        assert self._life is not None
        self._stopping.set()
        await self._life

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        self._requests = [task for task in self._requests if not task.done()]
        return bool(self._requests)

    def left_over(self) -> str:
        """What a drained worker still holds; "" = nothing."""
        assert self.core is not None
        pools = self.core.store.servers._pools.values()
        in_use = sum(pool.in_use for pool in pools)
        waiting = self.core.waves.waiting
        return f"{waiting} waiting, {in_use} connections in use" if waiting or in_use else ""

    def take(self, call: Call) -> asyncio.Task[Answer]:
        """Begin to answer a request."""
        task = self._spawn(self._answered(call))
        self._requests.append(task)
        return task

    def _spawn(self, work: Coroutine[Any, Any, ResultT]) -> asyncio.Task[ResultT]:
        token = owner.set(self)
        try:
            return self._loop.create_task(work)
        finally:
            owner.reset(token)

    async def _run(self, started: asyncio.Future[None]) -> None:
        settings, chance = self._settings, self._chance
        async with running(
            settings, self._store(), self._registry, clock=self._loop.time, randomness=chance.randbytes
        ) as core:
            self.core = core
            self._observing = Observing(core.waves, core.registry, settings)
            started.set_result(None)
            await self._stopping.wait()

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[SessionStore]:
        settings = self._settings
        opened = _CountingStore.open(
            STORE_URL, namespace=settings.namespace, timeout_s=settings.store_timeout_s, demand=self._demand
        )
        async with opened as store:
            assert isinstance(store, _CountingStore)
            store.outcomes = self._outcomes
            yield store

    async def _answered(self, call: Call) -> Answer:
        try:
            return await self._routed(call)
        except ServiceError as refused:
            return Answer(refused.status, refused.render(None))

    async def _routed(self, call: Call) -> Answer:
        """What the routes do, without the framework."""
        assert self.core is not None
        core, patience, long = self.core, self._settings.deadline_s, self._settings.long_deadline_s
        match call.method, call.path:
            case "POST", "/observations":
                return await self._observed(call)
            case "GET", "":
                return self._shown(200, await core.views.one(call.session))
            case "GET", "/forecast":
                view = await core.views.one(call.session)
                return Answer(200, view.forecast(1, [80, 95]), view.etag)
            case "GET", "/observations":
                whole, observed, _ = await core.records.page(call.session, size=1000, after=None, descending=False)
                body = render.observations(whole.place.label, observed, "")
                return Answer(200, body, render.head_etag(whole.record.head))
            case "PUT", "":
                asked, observations = parsing.session_put(call.body)
                work = core.sessions.put(call.session, asked, observations)
                view, created = await within(long, work)
                return self._shown(201 if created else 200, view)
            case "PATCH", "":
                patch = parsing.request(call.body, SessionPatch)
                given = _conditions(call, "settings", patch.model_dump(mode="json", exclude_unset=True))
                change = Resettle(
                    call.session, given.token, given.digest, given.if_match, asked=patch, validate_only=False
                )
                return _written(await core.waves.submit(call.session, change, timeout_s=patience, alone=True))
            case "POST", ":reset":
                given = _conditions(call, "reset", None)
                reset = Reset(call.session, given.token, given.digest, given.if_match)
                return _written(await core.waves.submit(call.session, reset, timeout_s=patience, alone=True))
            case "POST", ":rewind":
                last = parsing.request(call.body, Rewound)
                given = _conditions(call, "rewind", last.model_dump(mode="json"))
                rewind = Rewind(call.session, given.token, given.digest, given.if_match, last=last)
                return _written(await core.waves.submit(call.session, rewind, timeout_s=long, alone=True))
            case "PATCH", path:
                correction = parsing.request(call.body, Correction)
                key = path.removeprefix("/observations/")
                given = _conditions(call, "correct", (key, correction.model_dump(exclude_unset=True)))
                correct = Correct(
                    call.session, given.token, given.digest, given.if_match, key=key, correction=correction
                )
                return _written(await core.waves.submit(call.session, correct, timeout_s=long, alone=True))
            case "DELETE", "":
                delete = Delete(call.session, if_match=_matching(call))
                return _written(await core.waves.submit(call.session, delete, timeout_s=patience, alone=True))
        raise AssertionError(call)

    async def _observed(self, call: Call) -> Answer:
        assert self.core is not None
        assert self._observing is not None
        given = {b"content-type": b"application/json"}
        if call.key is not None:
            given[b"idempotency-key"] = call.key.encode()
        if call.if_match is not None:
            given[b"if-match"] = f'"{call.if_match}"'.encode()
        work, timeout_s, alone = self._observing.read(call.session, call.query.encode(), given, call.body)
        return _written(await self.core.waves.submit(call.session, work, timeout_s=timeout_s, alone=alone))

    def _shown(self, status: int, view: Shown) -> Answer:
        return Answer(status, orjson.dumps(view.body(self._registry)), view.etag)


def _written(reply: Reply) -> Answer:
    return Answer(reply.status, reply.body, reply.etag, reply.replayed)


def _conditions(call: Call, operation: str, payload: object) -> Conditions:
    if call.key is None:
        return Conditions(_matching(call))
    return Conditions(_matching(call), token_of(call.key), digest_of(operation, payload))


def _matching(call: Call) -> tuple[str, ...] | None:
    return None if call.if_match is None else (call.if_match,)
