"""The parts of a running service, joined, and their life: started before the first request, drained after the last."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from service.advancing import Advancing
from service.bookkeeping import Bookkeeping
from service.census import Census
from service.creation import Creator
from service.folding import Folding
from service.forecaster import Forecaster
from service.index import SessionIndex
from service.observing import Observing
from service.registry import Registry
from service.sessions import Sessions
from service.settings import Settings
from service.store import SessionStore
from service.verify import Unroller, Verifier
from service.views import Views
from service.waves import Waves
from service.whole import WholeRecords
from service.work import Observe, Reply

Clock = Callable[[], float]
"""Seconds, monotonic: the one that the event loop's timers follow."""
Randomness = Callable[[int], bytes]
"""That many random bytes."""


@dataclass(frozen=True, slots=True)
class Core:
    """What routes call."""

    settings: Settings
    registry: Registry
    store: SessionStore
    index: SessionIndex
    bookkeeping: Bookkeeping
    census: Census
    waves: Waves[Observe, Reply]
    observing: Observing
    records: WholeRecords
    sessions: Sessions
    views: Views
    verifier: Verifier


@asynccontextmanager
async def running(
    settings: Settings,
    connection: AbstractAsyncContextManager[SessionStore],
    registry: Registry,
    *,
    clock: Clock,
    randomness: Randomness,
) -> AsyncIterator[Core]:
    """The parts, while the service runs. At the end all that waits is finished before the store is let go."""
    async with connection as store:
        core = _joined(settings, store, registry, clock, randomness)
        core.waves.start()
        core.bookkeeping.start()
        try:
            yield core
        finally:
            await core.waves.drain()
            await core.census.stop()
            await core.bookkeeping.stop()
            await core.verifier.unroller.close()


def _joined(settings: Settings, store: SessionStore, registry: Registry, clock: Clock, randomness: Randomness) -> Core:
    index = SessionIndex(store)
    bookkeeping = Bookkeeping(index)
    records = WholeRecords(
        store, registry, Creator(registry, settings), randomness=randomness, committed=bookkeeping.committed
    )
    views = Views(store, registry)
    forecaster = Forecaster(store, registry, randomness=randomness, committed=bookkeeping.committed)

    async def between() -> None:
        await waves.between()

    folding = Folding(between)
    advancing = Advancing(records, folding, between)
    waves: Waves[Observe, Reply] = Waves(
        forecaster.wave,
        advancing.work_off,
        clock=clock,
        max_waiting=settings.queue_limit,
        max_waiting_per_session=settings.session_queue_limit,
    )
    return Core(
        settings=settings,
        registry=registry,
        store=store,
        index=index,
        bookkeeping=bookkeeping,
        census=Census(store, index, clock),
        waves=waves,
        observing=Observing(waves, registry, settings),
        records=records,
        sessions=Sessions(records, advancing, registry, settings, views, bookkeeping.gone),
        views=views,
        verifier=Verifier(records, folding, Unroller()),
    )
