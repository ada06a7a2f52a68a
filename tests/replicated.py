"""Deployments that outlive the death of a primary: replicas stand by, and one of them takes over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from redis.crc import key_slot

from service.storage.embedded import server_binary
from tests.deployments import Server, servers, wait_for, watcher_of

SLOTS = 16384
REPLICATION = (
    *("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"),
    *("--user", "replica", "on", "nopass", "~*", "&*", "+@all", "--masteruser", "replica", "--masterauth", "any"),
)
"""Replicas are a user of their own, so that they alone can be shut out."""


class Replicated(Protocol):
    """A deployment of primaries, each with at least one replica."""

    @property
    def url(self) -> str: ...

    def primaries(self) -> list[Server]:
        """Those that run and take writes."""

    def holds(self, primary: Server, key: bytes) -> bool:
        """Whether the key lives, or lived until it was killed, on this server."""

    def replaced(self, dead: Server) -> bool:
        """Whether another has taken the place of a dead primary."""

    def revive(self, dead: Server) -> None:
        """Start a dead server, over what is left of its files, as a replica of the one that took its place."""

    def whole(self) -> bool:
        """Whether every server runs and every replica has all that its primary has."""


def cut_off(primary: Server) -> None:
    """Take its replicas from a primary, as a partition does; it goes on answering everybody else."""
    primary.ask("ACL", "SETUSER", "replica", "off")
    primary.ask("CLIENT", "KILL", "TYPE", "replica")


@dataclass
class SentinelGroup:
    """One primary, two replicas, three Sentinels of which two must agree."""

    group: list[Server]
    watchers: list[Server]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'127.0.0.1:{watcher.port}' for watcher in self.watchers)}/forecasts/0"

    def primaries(self) -> list[Server]:
        named = {self._named(watcher) for watcher in self.watchers}
        agreed = [server for server in self.group if named == {server.port}]
        return [server for server in agreed if server.runs and _role(server) == b"master"]

    def holds(self, primary: Server, key: bytes) -> bool:
        return primary in self.group

    def replaced(self, dead: Server) -> bool:
        return any(server is not dead for server in self.primaries())

    def revive(self, dead: Server) -> None:
        [primary] = self.primaries()
        dead.start("--replicaof", "127.0.0.1", str(primary.port))

    def whole(self) -> bool:
        if len(self.primaries()) != 1 or not all(server.runs and _in_step(server) for server in self.group):
            return False
        seen = [watcher.ask("SENTINEL", "REPLICAS", "forecasts") for watcher in self.watchers]
        others = [watcher.ask("SENTINEL", "SENTINELS", "forecasts") for watcher in self.watchers]
        fit = all(len(states) == 2 and all(_flags(state) == b"slave" for state in states) for states in seen)
        return fit and all(len(states) == 2 for states in others)

    def _named(self, watcher: Server) -> int:
        return int(watcher.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "forecasts")[1])


@dataclass
class ClusterGroup:
    """Three primaries with a third of the slots each, and a replica for each."""

    pairs: list[tuple[Server, Server]]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'127.0.0.1:{server.port}' for server in self._all()[:4])}"

    def primaries(self) -> list[Server]:
        return [server for server in self._all() if server.runs and _role(server) == b"master"]

    def holds(self, primary: Server, key: bytes) -> bool:
        [shard] = [number for number, pair in enumerate(self.pairs) if primary in pair]
        return key_slot(key) in _slots(shard)

    def replaced(self, dead: Server) -> bool:
        [other] = [server for pair in self.pairs if dead in pair for server in pair if server is not dead]
        return _role(other) == b"master"

    def revive(self, dead: Server) -> None:
        dead.start()  # the others tell it

    def whole(self) -> bool:
        if not all(server.runs and _in_step(server) for server in self._all()) or len(self.primaries()) != 3:
            return False
        infos = [str(server.ask("CLUSTER", "INFO")) for server in self._all()]
        return all("cluster_state:ok" in info and "cluster_known_nodes:6" in info for info in infos)

    def _all(self) -> list[Server]:
        return [server for pair in self.pairs for server in pair]


@contextmanager
def sentinel_group(folder: Path, *settings: str) -> Iterator[SentinelGroup]:
    group = [Server(server_binary(), folder / f"server{i}", *REPLICATION, *settings) for i in range(3)]
    with servers(group):
        for replica in group[1:]:
            replica.ask("REPLICAOF", "127.0.0.1", group[0].port)
        watchers = [watcher_of(group[0], folder / f"sentinel{i}", quorum=2) for i in range(3)]
        with servers(watchers):
            started = SentinelGroup(group, watchers)
            wait_for(started.whole, "the replicas and the Sentinels")
            yield started


@contextmanager
def cluster_group(folder: Path, *settings: str) -> Iterator[ClusterGroup]:
    cluster = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--cluster-require-full-coverage", "no")
    fixed = ("--cluster-allow-replica-migration", "no", "--cluster-replica-validity-factor", "0")
    nodes = [Server(server_binary(), folder / f"node{i}", *cluster, *fixed, *REPLICATION, *settings) for i in range(6)]
    started = ClusterGroup([(nodes[i], nodes[i + 3]) for i in range(3)])
    with servers(nodes):
        for epoch, node in enumerate(nodes, 1):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        for shard, (primary, _) in enumerate(started.pairs):
            primary.ask("CLUSTER", "ADDSLOTSRANGE", _slots(shard)[0], _slots(shard)[-1])
        for node in nodes[1:]:
            nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)
        wait_for(lambda: all(_knows(node, 6) for node in nodes), "the nodes to meet")
        for primary, replica in started.pairs:
            replica.ask("CLUSTER", "REPLICATE", primary.ask("CLUSTER", "MYID"))
        wait_for(started.whole, "the Cluster")
        yield started


GROUPS: dict[str, Callable[..., AbstractContextManager[Replicated]]] = {
    "sentinel": sentinel_group,
    "cluster": cluster_group,
}


def _slots(shard: int) -> range:
    return range(SLOTS * shard // 3, SLOTS * (shard + 1) // 3)


def _knows(node: Server, count: int) -> bool:
    return f"cluster_known_nodes:{count}" in str(node.ask("CLUSTER", "INFO"))


def _role(server: Server) -> bytes:
    role: bytes = server.ask("ROLE")[0]
    return role


def _in_step(server: Server) -> bool:
    """A primary, or a replica whose link is up."""
    role: list[bytes] = server.ask("ROLE")
    return role[0] == b"master" or role[3] == b"connected"


def _flags(state: list[bytes]) -> bytes:
    """Of one answer of Sentinel: names and values by turns."""
    return dict(zip(state[::2], state[1::2], strict=True))[b"flags"]
