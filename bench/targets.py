"""The services that are compared, ready to be loaded: the project over its stores, and what it is compared with."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import redis

from bench.creation import create_sessions, write_series
from bench.load import Load, Target
from bench.processes import hiddenstate, uvicorn
from bench.servers import CLUSTER, REDIS_7, Server, join, servers
from bench.workload import Histories, Observations
from service.storage.embedded import EmbeddedStore, server_binary

TITLES = {
    "bare": "bare ASGI handler",
    "route": "plain FastAPI route",
    "redis": "hiddenstate, Redis 7.0, no AOF",
    "redis-2": "hiddenstate, Redis 7.0, no AOF, 2 workers",
    "embedded": "hiddenstate, embedded, AOF always",
    "embedded-2": "hiddenstate, embedded, AOF always, 2 workers",
    "rewriting": "hiddenstate, embedded, AOF being rewritten",
    "cluster": "hiddenstate, Cluster of three, no AOF",
    "naive": "FastAPI, GET, LSTM, SET",
    "resend-10": "FastAPI, LSTM over 10 values resent",
    "resend-100": "FastAPI, LSTM over 100 values resent",
    "resend-1000": "FastAPI, LSTM over 1,000 values resent",
}
UNSAVED = ("--appendonly", "no")


@dataclass(frozen=True, slots=True)
class Store:
    """A running store: its address and its processes."""

    url: str
    pids: tuple[int, ...]


class Stores:
    """The stores, each started when it is first asked for, and ended with the stack."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder

    @cached_property
    def redis(self) -> Store:
        [server] = self._stack.enter_context(servers([Server(REDIS_7, self._folder / "redis", *UNSAVED)]))
        return Store(f"redis://127.0.0.1:{server.port}/0", (server.pid,))

    @cached_property
    def embedded(self) -> Store:
        return self._embedded("embedded")

    @cached_property
    def embedded_2(self) -> Store:
        """One more, so that the other holds no more sessions than the others do when its file is rewritten."""
        return self._embedded("embedded-2")

    @cached_property
    def cluster(self) -> Store:
        nodes = [Server(server_binary(), self._folder / f"node{i}", *CLUSTER, *UNSAVED) for i in range(3)]
        self._stack.enter_context(servers(nodes))
        join(nodes)
        seeds = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        return Store(f"redis+cluster://{seeds}", tuple(node.pid for node in nodes))

    def _embedded(self, name: str) -> Store:
        store = self._stack.enter_context(EmbeddedStore(self._folder / name))
        assert store.pid is not None
        return Store(store.url, (store.pid,))


@contextmanager
def running(
    names: Sequence[str], *, model: Path, sessions: int, note: Callable[[str], None], store_url: str | None = None
) -> Iterator[dict[str, Target]]:
    """Targets by name, of TITLES or `url` (the project over `store_url`), their sessions created."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hs-")))
        stores, series = Stores(stack, folder), write_series(folder, sessions)
        started = {name: _target(name, stores, model, sessions, store_url) for name in names if name != "rewriting"}
        for target in started.values():
            stack.enter_context(target.program)
        for target in started.values():
            target.program.wait_until_ready()
        for target in started.values():
            if isinstance(target, Ours):
                note(f"creating {sessions} sessions: {target.title}")
                create_sessions(series, target.url, model, target.namespace)
        if "rewriting" in names:
            one = started["embedded"]
            started["rewriting"] = Rewriting(
                TITLES["rewriting"], one.program, one.workload, one.store, stores.embedded.url
            )
        yield started


@dataclass
class Ours(Target):
    """The project over the store at `url`, whose sessions are in a namespace of its own."""

    url: str = ""
    namespace: str = ""


@dataclass
class Rewriting(Ours):
    """The service over the embedded store, which rewrites its append-only file over and over meanwhile."""

    def load(self, connections: int, seconds: int) -> Load:
        over = threading.Event()
        rewriter = threading.Thread(target=self._rewrite, args=(over,))
        rewriter.start()
        try:
            return Target.load(self, connections, seconds)
        finally:
            over.set()
            rewriter.join()

    def _rewrite(self, over: threading.Event) -> None:
        with redis.Redis(unix_socket_path=self.url.removeprefix("unix://"), protocol=2) as client:
            while not over.wait(0.02):
                if not client.info("persistence")["aof_rewrite_in_progress"]:
                    client.execute_command("BGREWRITEAOF")


def _target(name: str, stores: Stores, model: Path, sessions: int, store_url: str | None) -> Target:
    kind, _, number = name.partition("-")
    title = TITLES.get(name, f"hiddenstate, {store_url}")
    match kind:
        case "bare" | "route":
            return Target(title, uvicorn(f"bench.{kind}:app"), Observations(sessions))
        case "naive":
            program = uvicorn("bench.naive:app", STORE_URL=stores.redis.url)
            return Target(title, program, Observations(sessions), stores.redis.pids)
        case "resend":
            return Target(title, uvicorn("bench.resend:app"), Histories(int(number)))
    if store_url and kind == "url":
        store = Store(store_url, ())
    else:
        store = stores.embedded_2 if name == "embedded-2" else getattr(stores, kind)
    namespace = f"{name}-{os.getpid()}"  # services that share a store must not find each other's sessions
    program = hiddenstate(
        *("--store-url", store.url), model=model, workers=int(number or 1), HIDDENSTATE_NAMESPACE=namespace
    )
    return Ours(title, program, Observations(sessions), store.pids, store.url, namespace)
