"""What a store is and promises, asked of its servers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.storage.connection import Failure, Servers, StoreUnavailable

SETTINGS = ("appendonly", "appendfsync", "save")
# A script that does not say it only reads is refused wherever a commit would be: read-only, full, or out of order.
WRITE_PROBE = (b"EVAL", b"#!lua\nreturn 1", b"0")


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What the store is and promises, in the words of `/v1/status`.

    `durability`: `local` = fsynced before a commit is answered, `memory` = not. `limit_bytes` None = no limit is set.
    """

    engine: str
    version: str
    deployment: str
    persistence: str
    eviction: str
    durability: str
    used_bytes: int
    limit_bytes: int | None
    writable: bool


async def read_status(servers: Servers, timeout_s: float) -> StoreStatus:
    """Ask every server that holds sessions.

    Raises:
        StoreUnavailable: one did not answer.
    """
    states = [await _server_status(servers, node, timeout_s) for node in await servers.nodes(timeout_s)]
    weakest = next((state for state in states if state.durability == "memory"), states[0])
    unsafe = next((state for state in states if state.eviction != "noeviction"), states[0])
    limits = [state.limit_bytes for state in states]
    return StoreStatus(
        engine=weakest.engine,
        version=weakest.version,
        deployment=weakest.deployment,
        persistence=weakest.persistence,
        eviction=unsafe.eviction,
        durability=weakest.durability,
        used_bytes=sum(state.used_bytes for state in states),
        limit_bytes=None if None in limits else sum(limit for limit in limits if limit),
        writable=all(state.writable for state in states),
    )


async def _server_status(servers: Servers, node: tuple[str, int], timeout_s: float) -> StoreStatus:
    questions = [(b"INFO",), (b"CONFIG", b"GET", *(name.encode() for name in SETTINGS)), WRITE_PROBE]
    info_text, settings, probe = await servers.run_at(node, questions, timeout_s)
    if isinstance(info_text, Failure):
        raise StoreUnavailable(info_text.reason)
    info = dict(line.split(":", 1) for line in info_text.decode().splitlines() if ":" in line)
    valkey = info.get("server_name") == "valkey"
    persistence = _persistence(settings, info)
    return StoreStatus(
        engine="valkey" if valkey else "redis",
        version=info["valkey_version" if valkey else "redis_version"],
        deployment=servers.deployment,
        persistence=persistence,
        eviction=info["maxmemory_policy"],
        durability="local" if persistence == "aof always" else "memory",
        used_bytes=int(info["used_memory"]),
        limit_bytes=int(info["maxmemory"]) or None,
        writable=probe == 1,
    )


def _persistence(settings: Sequence[bytes] | Failure, info: dict[str, str]) -> str:
    if isinstance(settings, Failure):  # hosted servers hide their configuration, and with it when they fsync
        return "aof" if info["aof_enabled"] == "1" else "unknown"
    names = [item.decode() for item in settings]
    known = dict(zip(names[::2], names[1::2], strict=True))
    if known["appendonly"] == "yes":
        return f"aof {known['appendfsync']}"
    return "rdb" if known["save"] else "none"
