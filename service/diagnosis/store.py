"""The store's servers: whether they answer, what they promise, and what they will do to sessions one day."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence

from service.diagnosis.findings import Finding, ok, problem, warning
from service.storage.connection import Failure, Node, Servers, StoreUnavailable
from service.storage.durability import Durability
from service.storage.status import StoreStatus
from service.storage.store import SessionStore

OLDEST_REDIS = 7
FULL, NEARLY_FULL = 0.95, 0.8
"""Shares of its memory: beyond the first writes may soon be refused, beyond the second somebody should hear of it."""
SKEW_S, GREAT_SKEW_S = 1.0, 60.0
SETTINGS = ("min-replicas-to-write", "cluster-require-full-coverage")
QUESTIONS = ((b"INFO",), (b"TIME",), (b"CONFIG", b"GET", *(name.encode() for name in SETTINGS)))


async def examine_store(store: SessionStore) -> tuple[bool, list[Finding]]:
    """Whether it answers, and the findings."""
    try:
        status = await store.status()
        nodes = await store.servers.nodes(store.timeout_s)
        told = await asyncio.gather(*(_asked(store.servers, node, store.timeout_s) for node in nodes))
    except StoreUnavailable as error:
        cure = "start it, or mend HIDDENSTATE_STORE_URL, its password or the network in between; then run this again"
        return False, [problem("store", f"it does not answer: {error}", cure)]
    findings = [*_of_status(status)]
    for node, (info, settings, skew_s) in zip(nodes, told, strict=True):
        findings += _of_server(_named(node, status.deployment), info, settings, skew_s, status.deployment)
    if status.deployment == "cluster":
        findings += await _of_cluster(store, nodes)
    return True, findings


def _of_status(status: StoreStatus) -> Iterator[Finding]:
    named = f"{status.engine} {status.version}, {status.deployment}"
    if status.engine == "redis" and int(status.version.split(".")[0]) < OLDEST_REDIS:
        yield problem("store", f"{named} is too old", f"use Redis {OLDEST_REDIS} or newer, or Valkey")
    else:
        yield ok("store", f"{named}, answers")
    yield from _writes(status)
    yield _durability(status)
    yield _eviction(status)
    yield _memory(status)


def _writes(status: StoreStatus) -> Iterator[Finding]:
    for fault in status.faults:
        if fault.startswith("the store takes no writes"):
            cure = "the store's own words say which: free memory or disk, start its replicas, or name the primary"
            yield problem("writes", fault, cure)


def _durability(status: StoreStatus) -> Finding:
    asked = status.durability_asked or "nothing in particular"
    said = f"persistence is {status.persistence}, {status.replicas} replicas, asked for is {asked}: answers are "
    said += {"memory": "in memory only", "local": "on disk", "replica": "on replicas"}[status.durability]
    lacking = [fault for fault in status.faults if fault.startswith("durability")]
    if lacking:
        return problem("durability", lacking[0], lacking[0].rpartition(": ")[2])
    if status.durability is Durability.MEMORY and status.durability_asked is None:
        cure = (
            "CONFIG SET appendonly yes and CONFIG SET appendfsync always, and in its configuration file; "
            "or say that this is wanted: HIDDENSTATE_DURABILITY=memory"
        )
        return warning("durability", f"{said}: a crash of the store loses the last of them", cure)
    return ok("durability", said)


def _eviction(status: StoreStatus) -> Finding:
    if status.eviction == "noeviction":
        return ok("eviction", "noeviction: sessions stay")
    said = f"maxmemory-policy is {status.eviction}: when memory is full, sessions are deleted without a word"
    cure = "CONFIG SET maxmemory-policy noeviction, and in its configuration file; no other data should need another"
    return problem("eviction", said, cure)


def _memory(status: StoreStatus) -> Finding:
    of = "its limit (maxmemory)" if status.limit_bytes else "its machine, as no maxmemory is set"
    said = f"{status.used_bytes / 2**20:.0f} MiB used, {status.used_share:.1%} of {of}"
    cure = "raise maxmemory (CONFIG SET maxmemory), add servers, or purge sessions that nobody needs"
    if status.used_share > FULL:
        return problem("memory", said, cure)
    return warning("memory", said, cure) if status.used_share > NEARLY_FULL else ok("memory", said)


def _of_server(
    name: str, info: Mapping[str, str], settings: Mapping[str, str], skew_s: float, deployment: str
) -> Iterator[Finding]:
    yield _clock(name, skew_s)
    for file, key in (("append-only file", "aof_last_write_status"), ("snapshot", "rdb_last_bgsave_status")):
        if info.get(key, "ok") != "ok":
            cure = "look for its cause in the server's log: mostly a full disk or a folder it cannot write to"
            yield problem("persistence", f"the last write of the {file}{name} failed", cure)
    replicas = int(info.get("connected_slaves", 0))
    if deployment in ("sentinel", "cluster") and not replicas:
        said = f"the primary{name} has no replica: its loss is an outage"
        yield warning("replication", said, "start a replica of it")
    if replicas:
        yield _replication(name, info, settings, replicas)


def _replication(name: str, info: Mapping[str, str], settings: Mapping[str, str], replicas: int) -> Finding:
    online = sum(key.startswith("slave") and "state=online" in value for key, value in info.items())
    if online < replicas:
        said = f"{replicas - online} of {replicas} replicas{name} are not in step"
        return warning("replication", said, "wait for them to load, or mend the network between the servers")
    if settings.get("min-replicas-to-write") == "0":
        said = f"{replicas} replicas{name}, and a primary that is cut off goes on taking writes that are lost"
        return warning("replication", said, "CONFIG SET min-replicas-to-write 1, and in its configuration file")
    return ok("replication", f"{replicas} replicas{name}, in step")


def _clock(name: str, skew_s: float) -> Finding:
    said = f"the store{name} is {abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} this machine"
    cure = "set both clocks by NTP (timedatectl set-ntp true): sessions expire and are overdue by the store's"
    if abs(skew_s) > GREAT_SKEW_S:
        return problem("clock", said, cure)
    return warning("clock", said, cure) if abs(skew_s) > SKEW_S else ok("clock", said)


async def _of_cluster(store: SessionStore, nodes: Sequence[Node]) -> list[Finding]:
    [reply] = await store.servers.run_at(nodes[0], [(b"CLUSTER", b"INFO")], store.timeout_s)
    if isinstance(reply, Failure):
        return [problem("cluster", f"it does not say how it is: {reply.reason}", "ask a node: CLUSTER INFO")]
    told = _fields(reply)
    if told.get("cluster_state") != "ok" or told.get("cluster_slots_ok") != "16384":
        said = f"state {told.get('cluster_state')}, {told.get('cluster_slots_ok')} of 16384 slots are served"
        return [problem("cluster", said, "start the missing nodes, or: valkey-cli --cluster fix HOST:PORT")]
    return [ok("cluster", f"all slots are served, by {len(nodes)} primaries")]


async def _asked(servers: Servers, node: Node, timeout_s: float) -> tuple[dict[str, str], dict[str, str], float]:
    """What a server says of itself, its settings (none where it hides them), and how far its clock is ahead."""
    before = time.time()
    deadline = asyncio.get_running_loop().time() + timeout_s
    info, now, settings = await servers.probe(node, QUESTIONS, deadline)
    here = (before + time.time()) / 2
    if isinstance(info, Failure) or isinstance(now, Failure):
        raise StoreUnavailable(info.reason if isinstance(info, Failure) else now.reason)
    known = {} if isinstance(settings, Failure) else _pairs(settings)
    return _fields(info), known, int(now[0]) + int(now[1]) / 1e6 - here


def _fields(told: bytes) -> dict[str, str]:
    return dict(line.split(":", 1) for line in told.decode().splitlines() if ":" in line)


def _pairs(told: Sequence[bytes]) -> dict[str, str]:
    names = [item.decode() for item in told]
    return dict(zip(names[::2], names[1::2], strict=True))


def _named(node: Node, deployment: str) -> str:
    """How a server is told from the others, after a noun."""
    return f" at {node[0]}:{node[1]}" if deployment == "cluster" else ""
