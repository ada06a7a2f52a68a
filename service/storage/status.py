"""What a store is and promises, asked of its servers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.storage.connection import Failure, Servers, StoreUnavailable
from service.storage.durability import Abilities, Demand, Durability, Node, Wait

STATUS_S = 1.5
"""A store that does not say within this time how it is does not answer."""
SETTINGS = (b"appendonly", b"appendfsync", b"save")
# A script that does not say it only reads is refused wherever a commit would be: read-only, full, or out of order.
WRITE_PROBE = (b"EVAL", b"#!lua\nreturn 1", b"0")
ABILITIES = ((b"INFO",), (b"CONFIG", b"GET", *SETTINGS))


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What the store is and promises, in the words of `/v1/status`.

    Args:
        durability: what an answered commit has; of several servers the weakest.
        durability_asked: None = whatever there is.
        replicas: connected, of the server that has fewest.
        limit_bytes: None = no limit is set.
        used_share: of its limit, or else of its machine's memory, by the fullest server.
        faults: why requests should not be sent here, and the cures.
    """

    engine: str
    version: str
    deployment: str
    persistence: str
    eviction: str
    durability: Durability
    durability_asked: Durability | None
    replicas: int
    used_bytes: int
    limit_bytes: int | None
    used_share: float
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _ServerState:
    engine: str
    version: str
    eviction: str
    used_bytes: int
    limit_bytes: int | None
    machine_bytes: int
    abilities: Abilities
    refusal: str | None

    def faults(self, demand: Demand) -> list[str]:
        faults = []
        if self.refusal is not None:
            faults.append(f"the store takes no writes: {self.refusal}")
        if self.eviction != "noeviction":
            faults.append(f"the store may evict sessions: set maxmemory-policy noeviction in place of {self.eviction}")
        lacking = self.abilities.lacking(demand)
        return faults if lacking is None else [*faults, lacking]


async def read_status(
    servers: Servers, demand: Demand, timeout_s: float
) -> tuple[StoreStatus, Mapping[Node, Abilities]]:
    """Ask every server that holds sessions.

    Raises:
        StoreUnavailable: one did not answer.
    """
    deadline = asyncio.get_running_loop().time() + min(timeout_s, STATUS_S)
    nodes = await servers.primaries(deadline)
    states = await asyncio.gather(*(_server_state(servers, node, deadline) for node in nodes))
    weakest = min(states, key=lambda state: list(Durability).index(state.abilities.given(demand)))
    unsafe = next((state for state in states if state.eviction != "noeviction"), states[0])
    limits = [state.limit_bytes for state in states]
    status = StoreStatus(
        engine=weakest.engine,
        version=weakest.version,
        deployment=servers.deployment,
        persistence=weakest.abilities.persistence,
        eviction=unsafe.eviction,
        durability=weakest.abilities.given(demand),
        durability_asked=demand.durability,
        replicas=min(state.abilities.replicas for state in states),
        used_bytes=sum(state.used_bytes for state in states),
        limit_bytes=None if None in limits else sum(limit for limit in limits if limit),
        used_share=max(state.used_bytes / (state.limit_bytes or state.machine_bytes) for state in states),
        faults=tuple(dict.fromkeys(fault for state in states for fault in state.faults(demand))),
    )
    return status, {node: state.abilities for node, state in zip(nodes, states, strict=True)}


class Confirmation:
    """How each server is made to give what is asked; learnt when it is first written to, and with every status."""

    def __init__(self, servers: Servers, demand: Demand) -> None:
        self._servers = servers
        self._demand = demand
        self._known: dict[Node, Abilities] = {}

    async def at(self, node: Node, deadline: float) -> Wait | None:
        """What to send behind a commit. Raises StoreUnavailable: this server does not give what is asked."""
        if self._demand.durability is Durability.LOCAL:
            if node not in self._known:
                info, settings = await self._servers.probe(node, ABILITIES, deadline)
                self._known[node] = _abilities(_fields(info), settings)
            lacking = self._known[node].lacking(self._demand)
            if lacking is not None:
                raise StoreUnavailable(lacking)
        return self._demand.wait

    def forget(self, node: Node) -> None:
        """It may come back with another configuration."""
        self._known.pop(node, None)

    def learn(self, abilities: Mapping[Node, Abilities]) -> None:
        self._known = dict(abilities)


async def _server_state(servers: Servers, node: Node, deadline: float) -> _ServerState:
    info_text, settings, probe = await servers.probe(node, [*ABILITIES, WRITE_PROBE], deadline)
    info = _fields(info_text)
    valkey = info.get("server_name") == "valkey"
    return _ServerState(
        engine="valkey" if valkey else "redis",
        version=info["valkey_version" if valkey else "redis_version"],
        eviction=info["maxmemory_policy"],
        used_bytes=int(info["used_memory"]),
        limit_bytes=int(info["maxmemory"]) or None,
        machine_bytes=int(info["total_system_memory"]),
        abilities=_abilities(info, settings),
        refusal=probe.reason if isinstance(probe, Failure) else None,
    )


def _fields(info: bytes | Failure) -> dict[str, str]:
    if isinstance(info, Failure):
        raise StoreUnavailable(info.reason)
    return dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)


def _abilities(info: Mapping[str, str], settings: Sequence[bytes] | Failure) -> Abilities:
    linked = [value for name, value in info.items() if name.startswith("slave") and "state=online" in value]
    return Abilities(_persistence(settings, info), len(linked))


def _persistence(settings: Sequence[bytes] | Failure, info: Mapping[str, str]) -> str:
    if isinstance(settings, Failure):  # hosted servers hide their configuration, and with it when they fsync
        return "aof" if info["aof_enabled"] == "1" else "unknown"
    names = [item.decode() for item in settings]
    known = dict(zip(names[::2], names[1::2], strict=True))
    if known["appendonly"] == "yes":
        return f"aof {known['appendfsync']}"
    return "rdb" if known["save"] else "none"
