"""Real stores for the tests: every kind of deployment, on free loopback ports, ended with the test run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from bench.servers import CLUSTER, REDIS_7, Server, free_port, is_whole, join, servers, wait_for
from service.storage.embedded import EmbeddedStore, server_binary

__all__ = [
    "DEPLOYMENTS",
    "ENGINES",
    "REDIS_7",
    "Deployment",
    "Server",
    "deployment",
    "free_port",
    "servers",
    "wait_for",
]

ENGINES = {"redis": REDIS_7, "valkey": server_binary()}


@dataclass(frozen=True)
class Deployment:
    url: str
    restart: Callable[[], None]
    """kill -9 of every server that holds sessions, and start them again over the same files."""
    forget_scripts: Callable[[], None]


@contextmanager
def embedded(folder: Path) -> Iterator[Deployment]:
    with EmbeddedStore(folder / "embedded") as store:

        def restart() -> None:
            assert store.pid is not None
            os.kill(store.pid, 9)
            store.start()

        def forget_scripts() -> None:
            with redis.Redis(unix_socket_path=store.url.removeprefix("unix://"), protocol=2) as client:
                client.script_flush()

        yield Deployment(store.url, restart, forget_scripts)


@contextmanager
def redis_7(folder: Path) -> Iterator[Deployment]:
    with servers([Server(REDIS_7, folder / "redis")]) as [server]:
        yield Deployment(f"redis://127.0.0.1:{server.port}/0", server.restart, _forgetting([server]))


@contextmanager
def valkey_9(folder: Path) -> Iterator[Deployment]:
    with servers([Server(server_binary(), folder / "valkey")]) as [server]:
        yield Deployment(f"redis://127.0.0.1:{server.port}/0", server.restart, _forgetting([server]))


@contextmanager
def cluster(folder: Path) -> Iterator[Deployment]:
    """Three primaries, each with a third of the slots; each serves them whether or not the others do."""
    nodes = [Server(server_binary(), folder / f"node{i}", *CLUSTER) for i in range(3)]
    with servers(nodes):
        join(nodes)

        def restart() -> None:
            for node in nodes:
                node.kill()
            for node in nodes:
                node.start()
            wait_for(lambda: is_whole(nodes), "the cluster after a restart")

        seeds = ",".join(f"127.0.0.1:{node.port}" for node in nodes[:2])
        yield Deployment(f"redis+cluster://{seeds}", restart, _forgetting(nodes))


@contextmanager
def sentinel(folder: Path) -> Iterator[Deployment]:
    """A primary with a replica, watched by two Sentinels; `restart` makes them change places."""
    with ExitStack() as stack:
        pair = stack.enter_context(servers([Server(server_binary(), folder / name) for name in ("a", "b")]))
        pair[1].ask("REPLICAOF", "127.0.0.1", pair[0].port)
        watchers = [watcher_of(pair[0], folder / f"sentinel{i}", quorum=1) for i in range(2)]
        stack.enter_context(servers(watchers))

        def replicating() -> bool:
            states = [server.ask("INFO", "replication") for server in pair]
            linked = any(state["role"] == "slave" and state["master_link_status"] == "up" for state in states)
            questions = [(watcher, kind) for watcher in watchers for kind in ("REPLICAS", "SENTINELS")]
            return linked and all(watcher.ask("SENTINEL", kind, "forecasts") for watcher, kind in questions)

        def primary() -> object:
            return watchers[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "forecasts")

        def change_places() -> None:
            before = primary()
            watchers[0].ask("SENTINEL", "FAILOVER", "forecasts")
            wait_for(lambda: primary() != before, "a new primary")
            wait_for(replicating, "the old primary as a replica")

        wait_for(replicating, "the replica")
        seeds = ",".join(f"127.0.0.1:{watcher.port}" for watcher in watchers)
        yield Deployment(f"redis+sentinel://{seeds}/forecasts/0", change_places, _forgetting(pair))


DEPLOYMENTS = {"embedded": embedded, "redis": redis_7, "valkey": valkey_9, "cluster": cluster, "sentinel": sentinel}


@contextmanager
def deployment(name: str) -> Iterator[Deployment]:
    with tempfile.TemporaryDirectory(prefix="hs-") as folder, DEPLOYMENTS[name](Path(folder)) as running:
        yield running


def watcher_of(primary: Server, folder: Path, *, quorum: int) -> Server:
    """A Sentinel of the service `forecasts`, which finds the replicas and the other Sentinels through the primary."""
    server = Server(server_binary(), folder)
    config = folder / "sentinel.conf"
    config.write_text(
        f"port {server.port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor forecasts 127.0.0.1 {primary.port} {quorum}\n"
        # Sentinel asks once a second: less than two of them takes a late answer for a death.
        "sentinel down-after-milliseconds forecasts 2000\nsentinel failover-timeout forecasts 3000\n"
    )
    server._command = [str(server_binary()), str(config), "--sentinel"]
    return server


def _forgetting(started: list[Server]) -> Callable[[], None]:
    def forget_scripts() -> None:
        for server in started:
            server.ask("SCRIPT", "FLUSH")

    return forget_scripts
