"""What an operator sees at /v1/status."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from models.artifacts.runtime import describe
from service.core import Core
from service.live.entries import RETAINED_MS
from service.live.streams import EVENTS_KEPT
from service.sessions.views import CONTINUED
from service.storage.layout import WINDOW
from service.storage.status import StoreStatus
from service.wire import parsing, render
from service.wire.batch.parsing import LINE_LIMIT
from service.wire.batch.rows import ROWS_LIMIT


def service_version() -> str:
    """The version of the installed distribution; "0" in a tree that is not installed."""
    try:
        return version("hiddenstate")
    except PackageNotFoundError:
        return "0"


async def summary(core: Core, reasons: Sequence[str], store: StoreStatus) -> render.Json:
    """A Status."""
    count = await core.census.count()
    return {
        "version": service_version(),
        "ready": not reasons,
        "reasons": list(reasons),
        "store": {
            "engine": store.engine,
            "version": store.version,
            "deployment": store.deployment,
            "persistence": store.persistence,
            "eviction": store.eviction,
            "durability": store.durability,
            "durability_asked": store.durability_asked,
            "replicas": store.replicas,
            "runtime": describe(),
            "used_bytes": store.used_bytes,
            "limit_bytes": store.limit_bytes,
        },
        "sessions": {
            "count": await core.index.count(),
            "bytes_each": None if count is None else count.bytes_each,
            "overdue": None if count is None else count.overdue,
        },
        "models": [loaded.spec.label for loaded in core.registry.models],
        "queue": {"depth": core.waves.waiting, "limit": core.waves.limit},
        "limits": _limits(core),
    }


def _limits(core: Core) -> dict[str, float]:
    """What requests may ask for, and what holds where they do not say; names end with their unit."""
    settings = core.settings
    return {
        "body_bytes": settings.body_limit_bytes,
        "state_bytes": settings.state_limit_bytes,
        "depth": parsing.DEPTH_LIMIT,
        "deadline_s": settings.deadline_s,
        "long_deadline_s": settings.long_deadline_s,
        "rows": ROWS_LIMIT,
        "line_bytes": LINE_LIMIT,
        "idempotency_window": WINDOW,
        "history": settings.history_limit,
        "history_default": settings.history,
        "max_gap_default": settings.history // 2,
        "warm_up_gap": settings.warm_up_gap_limit,
        "horizons_continued": CONTINUED,
        "page_size": settings.page_size_limit,
        "page_size_default": settings.page_size,
        "events": EVENTS_KEPT,
        "events_s": RETAINED_MS / 1000,
        "waiting": settings.queue_limit,
        "waiting_per_session": settings.session_queue_limit,
    }
