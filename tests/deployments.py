"""Real stores for the tests: every kind of deployment, on free loopback ports, ended with the test run."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import redis

from service.storage.embedded import EmbeddedStore, launch, server_binary

REDIS_7 = Path("/usr/bin/redis-server")
"""Debian's redis-server, 7.0."""
ENGINES = {"redis": REDIS_7, "valkey": server_binary()}


@dataclass(frozen=True)
class Deployment:
    url: str
    restart: Callable[[], None]
    """kill -9 of every server that holds sessions, and start them again over the same files."""
    forget_scripts: Callable[[], None]


class Server:
    """One server process over its own folder and ports; a restart keeps both."""

    def __init__(self, binary: Path, folder: Path, *settings: str) -> None:
        folder.mkdir(parents=True)
        self.port, self.bus = free_port(), free_port()
        self._folder = folder
        self._command = [
            *(str(binary), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)),
            *("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--repl-diskless-sync-delay", "0"),
            *settings,
        ]
        if "--cluster-enabled" in settings:
            self._command += ["--cluster-port", str(self.bus)]
        self._process: Popen[bytes] | None = None
        self._silent = False

    def start(self, *settings: str) -> None:
        """Start it with these settings besides its own."""
        with (self._folder / "log").open("ab") as log:
            self._process = launch([*self._command, *settings], log=log.fileno())
        wait_for(self._serving, f"server on port {self.port}: {self._folder / 'log'}")

    @property
    def runs(self) -> bool:
        """Whether it runs and answers."""
        return self._process is not None and self._process.poll() is None and not self._silent

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._silent = False

    def silence(self) -> None:
        """Keep it from answering, as a host that is cut off: connections stay, and nothing refuses new ones."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        self._silent = True

    def wake(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        self._silent = False

    def restart(self) -> None:
        self.kill()
        self.start()

    def ask(self, *command: str | int) -> Any:  # noqa: ANN401 - a reply is what the command gives
        with redis.Redis(port=self.port, protocol=2) as client:
            return client.execute_command(*command)

    def _serving(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except redis.RedisError:
            return False


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
    settings = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no")
    nodes = [Server(server_binary(), folder / f"node{i}", *settings) for i in range(3)]
    with servers(nodes):
        for i, node in enumerate(nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            node.ask("CLUSTER", "ADDSLOTSRANGE", 16384 * i // 3, 16384 * (i + 1) // 3 - 1)
        for node in nodes[1:]:
            nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)

        def whole() -> bool:
            infos = [str(node.ask("CLUSTER", "INFO")) for node in nodes]
            return all("cluster_state:ok" in info and "cluster_known_nodes:3" in info for info in infos)

        def restart() -> None:
            for node in nodes:
                node.kill()
            for node in nodes:
                node.start()
            wait_for(whole, "the cluster after a restart")

        wait_for(whole, "the cluster")
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


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for(condition: Callable[[], bool], what: str, limit_s: float = 60.0) -> None:
    give_up = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError(what)
        time.sleep(0.02)


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


@contextmanager
def servers(started: list[Server]) -> Iterator[list[Server]]:
    """Started now, killed at the end."""
    try:
        for server in started:
            server.start()
        yield started
    finally:
        for server in started:
            server.kill()


def _forgetting(started: list[Server]) -> Callable[[], None]:
    def forget_scripts() -> None:
        for server in started:
            server.ask("SCRIPT", "FLUSH")

    return forget_scripts
