"""Coming again: what a subscriber has missed since the last event he read, from the log itself."""

from collections.abc import AsyncIterator

from service.live import positions, rendering
from service.live.entries import RETAINED_MS, unread
from service.live.events import Event, Missed
from service.live.hub import Subscription
from service.live.positions import Place
from service.live.streams import EventStreams


async def missed(streams: EventStreams, since: Place, subscription: Subscription) -> AsyncIterator[bytes]:
    """What happened after a place, up to the one from which on the subscriber is told.

    What the log does not hold any more, or never held, is a `gap`. Raises StoreUnavailable.
    """
    resuming = _Resuming(streams, since, subscription)
    if since.ms < subscription.since_ms or subscription.place.ms - since.ms > RETAINED_MS:
        yield rendering.gap(since.ms, subscription.place.ms)
        return
    for shard, _ in enumerate(since.at):
        async for said in resuming.of_stream(shard):
            yield said


class _Resuming:
    def __init__(self, streams: EventStreams, since: Place, subscription: Subscription) -> None:
        self._streams = streams
        self._place = since._replace(ms=subscription.place.ms)
        self._until = subscription.place
        self._wants = subscription.subscriber.wants

    async def of_stream(self, shard: int) -> AsyncIterator[bytes]:
        read, until = self._place.at[shard], self._until.at[shard]
        while read < until:
            entries = await self._streams.look(shard, read)
            if not entries:
                yield rendering.gap(read.ms, self._until.ms)
                return
            for position, event in unread(entries, read):
                if position > until:  # appended meanwhile: the subscriber is told of it already
                    return
                self._place = self._place.moved(shard, position)
                if self._takes(event) and (parts := rendering.told(event, position.ms)):
                    yield rendering.identified(positions.written(self._place), parts)
            read = entries[-1].last
        # Further than the stream goes: the store has lost its end, or all of it.
        if read > until and read > (end := await self._streams.end(shard)) and self._until.ms - read.ms <= RETAINED_MS:
            yield rendering.gap(end.ms or read.ms - RETAINED_MS, self._until.ms)

    def _takes(self, event: Event) -> bool:
        return isinstance(event, Missed) or self._wants.takes(event.session)
