"""Store servers as processes of their own, on free loopback ports: what benchmarks and tests run against."""

from __future__ import annotations

import atexit
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import redis

from service.storage.embedded import launch

REDIS_7 = Path("/usr/bin/redis-server")
"""Debian's redis-server, 7.0."""
CLUSTER = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no")
"""Settings of a Cluster's node: each serves its slots whether or not the others do."""
SLOTS = 16384
PORTS_KEPT = 100
"""The last of those that were given out are kept for who is to listen on them, also where it is started again."""


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
def servers(started: list[Server]) -> Iterator[list[Server]]:
    """Started now, killed at the end."""
    try:
        for server in started:
            server.start()
        yield started
    finally:
        for server in started:
            server.kill()


def join(nodes: Sequence[Server]) -> None:
    """Make running servers with CLUSTER's settings one Cluster, each with as many of the slots."""
    for i, node in enumerate(nodes):
        node.ask("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        node.ask("CLUSTER", "ADDSLOTSRANGE", SLOTS * i // len(nodes), SLOTS * (i + 1) // len(nodes) - 1)
    for node in nodes[1:]:
        nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)
    wait_for(lambda: is_whole(nodes), "the cluster")


def is_whole(nodes: Sequence[Server]) -> bool:
    """Whether all nodes know each other and every slot is served."""
    infos = [str(node.ask("CLUSTER", "INFO")) for node in nodes]
    return all("cluster_state:ok" in info and f"cluster_known_nodes:{len(nodes)}" in info for info in infos)


def free_port() -> int:
    """A port that the system gives to nobody else while it is kept here: neither to listen on nor to connect from."""
    keeper = socket.socket()
    keeper.bind(("127.0.0.1", 0))
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a server that says the same can listen on it
    _keepers.append(keeper)
    if len(_keepers) > PORTS_KEPT:
        _keepers.popleft().close()
    port: int = keeper.getsockname()[1]
    return port


_keepers: deque[socket.socket] = deque()


@atexit.register
def _let_go() -> None:
    for keeper in _keepers:
        keeper.close()


def wait_for(condition: Callable[[], bool], what: str, limit_s: float = 120.0) -> None:
    give_up = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > give_up:
            raise TimeoutError(what)
        time.sleep(0.02)
