"""The answer of /v1/status."""

from pydantic import BaseModel


class StoreStatus(BaseModel):
    engine: str
    version: str
    deployment: str
    persistence: str
    eviction: str
    durability: str
    durability_asked: str | None
    replicas: int
    runtime: str
    used_bytes: int
    limit_bytes: int | None


class SessionsStatus(BaseModel):
    """`overdue`: the next observation is more than one period late."""

    count: int
    bytes_each: int | None
    overdue: int | None


class QueueStatus(BaseModel):
    depth: int
    limit: int


class Status(BaseModel):
    version: str
    ready: bool
    reasons: list[str]
    store: StoreStatus
    sessions: SessionsStatus
    models: list[str]
    queue: QueueStatus
    limits: dict[str, float | None]
    """What requests may ask for, and what holds where they do not say; names end with their unit. The `future` of
    an observation takes at most the model's horizon, that of a forecast `horizons_continued` times as much.
    """
