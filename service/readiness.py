"""Whether requests should be sent here, and if not, why."""

from dataclasses import dataclass

from service.core import Core
from service.storage.status import StoreStatus
from service.storage.store import StoreUnavailable


@dataclass(slots=True)
class Readiness:
    """Of one process. `core` is None before it has started."""

    core: Core | None = None
    draining: bool = False

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
