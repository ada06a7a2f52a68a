"""Whether requests should be sent here, and if not, why."""

from collections.abc import Callable
from dataclasses import dataclass, field

from service.core import Core
from service.storage.status import StoreStatus
from service.storage.store import StoreUnavailable


@dataclass(slots=True)
class Readiness:
    """Of one process.

    Attributes:
        core: None before it has started.
        draining: it takes nothing new up.
        closing: what is called once connections are to end which would go on for ever.
    """

    core: Core | None = None
    draining: bool = False
    closing: set[Callable[[], None]] = field(default_factory=set)

    def close(self) -> None:
        """Take nothing new up, and end what would go on for ever."""
        self.draining = True
        if self.core is not None:
            self.core.hub.close()
        for close in tuple(self.closing):
            close()

    async def check(self) -> tuple[list[str], StoreStatus | None]:
        """Reasons against sending requests here (none = ready), and what the store says of itself, if it answers."""
        if self.core is None:
            return ["the service is starting"], None
        reasons = ["the service is stopping"] if self.draining else []
        try:
            status = await self.core.store.status()
        except StoreUnavailable as error:
            return [*reasons, f"the store does not answer: {error}"], None
        return [*reasons, *status.faults], status
