"""The parts of a running service, joined, and their life: started before the first request, drained after the last."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from service.doors.stateless import Stateless
from service.listing.bookkeeping import Bookkeeping
from service.listing.census import Census
from service.listing.index import SessionIndex
from service.listing.purging import Purging
from service.listing.ranking import Ranking
from service.listing.selecting import Selecting
from service.live.hub import Hub
from service.live.log import EventLog
from service.live.streams import EventStreams
from service.monitoring.meters import Layout, Meters
from service.monitoring.monitor import Monitor
from service.sessions.advancing import Advancing
from service.sessions.altering import Altering
from service.sessions.applying import Applying
from service.sessions.bulk.bulk import Bulk
from service.sessions.bulk.forecasts import Forecasting
from service.sessions.bulk.planning import Parts
from service.sessions.creation import Creator
from service.sessions.folding import Folding
from service.sessions.lifecycle import Sessions
from service.sessions.rebuilding import Rebuilding
from service.sessions.records import WholeRecords
from service.sessions.registry import Registry
from service.sessions.verify import Unroller, Verifier
from service.sessions.views import Views
from service.sessions.waves.cache import StateCache
from service.sessions.waves.forecaster import Forecaster
from service.sessions.waves.waiting import Entry
from service.sessions.waves.waves import Waves
from service.sessions.work import Correct, Delete, End, Observe, Reply, Reset, Resettle, Rewind, Work
from service.settings import Settings
from service.states.exporting import Exporter
from service.states.importing import Importer
from service.storage.endings import Endings
from service.storage.store import SessionStore
from service.wire.problems import ServiceError

Clock = Callable[[], float]
"""Seconds, monotonic: the one that the event loop's timers follow."""
Randomness = Callable[[int], bytes]
"""That many random bytes."""

WRITER_BYTES = 8
"""Of the name under which a process logs events."""


@dataclass(frozen=True, slots=True)
class Core:
    """What routes call."""

    settings: Settings
    monitor: Monitor
    registry: Registry
    store: SessionStore
    index: SessionIndex
    bookkeeping: Bookkeeping
    census: Census
    ranking: Ranking
    selecting: Selecting
    waves: Waves[Work, Reply]
    bulk: Bulk
    forecasting: Forecasting
    records: WholeRecords
    sessions: Sessions
    views: Views
    verifier: Verifier
    exporter: Exporter
    importer: Importer
    purging: Purging
    stateless: Stateless
    streams: EventStreams
    log: EventLog
    hub: Hub


@asynccontextmanager
async def running(
    settings: Settings,
    connection: AbstractAsyncContextManager[SessionStore],
    registry: Registry,
    *,
    clock: Clock,
    randomness: Randomness,
    monitor: Monitor | None = None,
) -> AsyncIterator[Core]:
    """The parts, while the service runs. At the end all that waits is finished before the store is let go.

    Args:
        monitor: is told what happens; None = one whom nobody asks.
    """
    monitor = monitor or Monitor(Meters(Layout(())), slow_s=settings.slow_request_s)
    async with connection as store:
        store.watch = monitor
        core = _joined(settings, store, registry, clock, randomness, monitor)
        core.waves.start()
        core.bookkeeping.start()
        core.log.start()
        try:
            yield core
        finally:
            await core.waves.drain()
            await core.log.stop()
            await core.census.stop()
            await core.ranking.stop()
            await core.bookkeeping.stop()
            await core.verifier.unroller.close()


def _joined(
    settings: Settings,
    store: SessionStore,
    registry: Registry,
    clock: Clock,
    randomness: Randomness,
    monitor: Monitor,
) -> Core:
    index = SessionIndex(store)
    bookkeeping = Bookkeeping(index)
    census = Census(store, index, registry, bookkeeping.gone, clock)
    creator = Creator(registry, settings)
    cache = StateCache(registry.live_bytes)
    streams = EventStreams(store)
    log = EventLog(streams, randomness(WRITER_BYTES).hex().encode())

    def committed(sessions: Sequence[str], now_ms: int) -> None:
        cache.drop(sessions)
        bookkeeping.committed(sessions, now_ms)

    def gone(sessions: Sequence[str]) -> None:
        cache.drop(sessions)
        bookkeeping.gone(sessions)

    records = WholeRecords(store, registry, creator, randomness=randomness, committed=committed, log=log)
    views = Views(store, registry)
    forecaster = Forecaster(
        store,
        registry,
        randomness=randomness,
        committed=bookkeeping.committed,
        log=log,
        cache=cache,
        monitor=monitor,
    )

    async def between() -> None:
        await waves.between()

    folding = Folding(between)
    applying = Applying(folding)
    advancing = Advancing(records, applying, between)
    altering = Altering(records, applying)

    sessions = Sessions(
        *(records, advancing, applying, Rebuilding(folding), creator, registry),
        *(settings, views, Endings(store), gone, monitor),
    )

    async def alone(entry: Entry[Work, Reply]) -> None:
        """Answer one request beside the waves."""
        try:
            with monitor.on_behalf_of(entry.origin):
                reply = await done(entry)
        except ServiceError as refused:
            entry.fail(refused)
        else:
            fed = _fed(entry.work)
            if fed and reply.told is not None:
                monitor.replied(reply.told[1], fed, replayed=reply.replayed)
            entry.settle(reply)

    async def done(entry: Entry[Work, Reply]) -> Reply:
        match entry.work:
            case Observe():
                return await advancing.observe(entry.work)
            case End():
                return await sessions.end(entry.work)
            case Correct():
                return await altering.correct(entry.work)
            case Rewind():
                return await altering.rewind(entry.work)
            case Resettle():
                return await sessions.resettle(entry.work)
            case Reset():
                return await sessions.reset(entry.work)
            case Delete():
                return await sessions.delete(entry.work, lambda: entry.over)

    # What is not Observe is submitted as work that runs alone, so that no wave sees it.
    waves: Waves[Any, Reply] = Waves(
        monitor.waves(forecaster.wave),
        alone,
        clock=clock,
        origin=None if monitor.tracing is None else monitor.tracing.current,
        again=lambda work: work.again,
        max_waiting=settings.queue_limit,
        max_waiting_per_session=settings.session_queue_limit,
    )
    parts = Parts(store, cache, registry, creator, waves, settings, randomness, bookkeeping.committed, log, monitor)
    return Core(
        settings=settings,
        monitor=monitor,
        registry=registry,
        store=store,
        index=index,
        bookkeeping=bookkeeping,
        census=census,
        ranking=Ranking(store, registry, index, clock),
        selecting=Selecting(store, index, census, clock),
        waves=waves,
        bulk=Bulk(parts),
        forecasting=Forecasting(views, between),
        records=records,
        sessions=sessions,
        views=views,
        verifier=Verifier(records, folding, Unroller()),
        exporter=Exporter(records, registry.default, between),
        importer=Importer(records, creator, registry, views, between),
        purging=Purging(store, registry, gone, log),
        stateless=Stateless(creator, folding),
        streams=streams,
        log=log,
        hub=Hub(streams),
    )


def _fed(work: Work) -> int:
    """How many observations a request feeds or corrects."""
    match work:
        case Observe():
            return len(work.observations)
        case End():
            return len(work.last.observations)
        case Correct():
            return 1
    return 0
