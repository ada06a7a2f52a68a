"""What an operator can set, each by one environment variable."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.monitoring.logs import LogFormat, LogLevel
from service.storage.durability import Demand, Durability

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseSettings):
    """Read once from HIDDENSTATE_* variables; passed to create_app(), never imported as a global."""

    model_config = SettingsConfigDict(
        env_prefix="HIDDENSTATE_", env_ignore_empty=True, frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    store_url: str | None = None
    """Address of a store that speaks the Redis protocol, such as redis://host:6379; unset starts the embedded one."""

    namespace: str = Field(default="default", pattern=r"^[A-Za-z0-9._~-]{1,64}$")
    """First part of every key in the store, so that several services can share one server."""

    data_dir: Path = Path("~/.local/share/hiddenstate")
    """Folder of the embedded store's files."""

    models_dir: Path | None = None
    """Folder of further artifacts, as NAME/VERSION/, beside the shipped ones."""

    host: str = "127.0.0.1"
    """Address to listen on."""

    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 lets the system choose one."""

    workers: int = Field(default=1, ge=1)
    """Processes that answer requests."""

    default_model: str = "daily"
    """Model of a session that names none and whose freq no model was trained for."""

    session_ttl_s: Seconds = 400 * 24 * 3600
    """Seconds after its last commit at which a session is forgotten, where the session does not say."""

    history: int = Field(default=64, ge=0, le=10_000)
    """Observations a session retains, where the session does not say."""

    history_limit: int = Field(default=10_000, ge=1, le=10_000)
    """Most observations that a session may ask to retain."""

    warm_up_gap_limit: int = Field(default=10_000, ge=1)
    """Most steps imputed between two observations of the request that creates a session."""

    body_limit_bytes: int = Field(default=8 * 2**20, ge=1024)
    """Largest JSON body, after decompression."""

    state_limit_bytes: int = Field(default=64 * 2**20, ge=1024)
    """Largest state to import, after decompression: some 130,000 observations of a full history."""

    deadline_s: Seconds = 5.0
    """Seconds after which an ordinary request is given up."""

    long_deadline_s: Seconds = 60.0
    """Seconds after which a warm-up, correction, model change or verification is given up."""

    store_timeout_s: Seconds = 4.0
    """Seconds after which one call of the store is given up."""

    durability: Durability | None = None
    """What a write must survive before it is answered: memory, local (disk), replica; unset = what the store gives."""

    durability_replicas: int = Field(default=1, ge=1)
    """Replicas that must hold a write, where durability is replica."""

    durability_timeout_s: Seconds = 2.0
    """Seconds to wait for that, less than store_timeout_s; then the write is answered 503 durability-unconfirmed."""

    queue_limit: int = Field(default=8192, ge=1)
    """Observations that may wait for a wave; beyond, requests are answered 503."""

    session_queue_limit: int = Field(default=64, ge=1)
    """Observations of one session that may wait; beyond, requests are answered 503."""

    connection_limit: int = Field(default=4096, ge=1)
    """Connections that a process holds open; beyond, the next is answered 503 and closed."""

    event_streams_limit: int = Field(default=2048, ge=1)
    """Event streams that a process sends, of the connections it holds open; beyond, the next is answered 503."""

    page_size: int = Field(default=100, ge=1, le=1000)
    """Sessions on one page of a list, where the request does not say."""

    page_size_limit: int = Field(default=1000, ge=1)
    """Most entries on one page of any list."""

    log_format: LogFormat = LogFormat.AUTO
    """Lines of the log: json, console (readable), or auto: readable on a terminal, JSON elsewhere."""

    log_level: LogLevel = LogLevel.INFO
    """Least grave lines to log: debug, info (each refused request), warning, error."""

    slow_request_s: Seconds = 1.0
    """Seconds after which an answered request is logged as slow."""

    stop_grace_s: Seconds = 30.0
    """Seconds that requests in progress are given at a stop."""

    @model_validator(mode="after")
    def _check_waits(self) -> Self:
        if self.durability is not None and self.durability_timeout_s >= self.store_timeout_s:
            raise ValueError("durability_timeout_s must be less than store_timeout_s, which holds it")
        return self

    @property
    def demand(self) -> Demand:
        """What is asked of the store."""
        return Demand(self.durability, self.durability_replicas, self.durability_timeout_s)
