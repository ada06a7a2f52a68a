"""Reaching the server that holds a key: one server, the primary that Sentinel names, or a Cluster's primaries.

Commands that go to one server are sent back to back on one connection. A command is sent again only where the server
said that it did not run it (MOVED, ASK, NOSCRIPT, READONLY), or where running it twice does no harm.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import PurePath
from urllib.parse import urlsplit

from redis.asyncio.connection import AbstractConnection
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
)

from service.storage.durability import Node, Waits
from service.storage.exchange import MAX_PROBES, Command, Failure, Lines, Reply, Unconfirmed, exchange

__all__ = ["Command", "Failure", "Node", "Reply", "Servers", "StoreUnavailable", "Unconfirmed", "connect", "exchange"]

EMBEDDED_SOCKET = "embedded.sock"
"""A unix socket of this name belongs to the embedded store."""
ANSWERS_WITHIN_S, ASKED_EVERY_S = 0.25, 1.0
"""A server that has fallen silent is asked so often, and must answer so soon, to be used again."""
ROUNDS = 4
"""Attempts at reaching a key that moves while it is asked for."""


class StoreUnavailable(Exception):
    """The store could not be asked, or refused: nothing was changed."""


class Servers:
    """One server, the same for every key."""

    batch = 128
    """Keys that one script call may have."""
    greeting: Callable[[AbstractConnection], Awaitable[None]] | None = None
    """What is asked of a server on each new connection."""

    def __init__(self, deployment: str, seeds: Sequence[Node], url_of: Callable[[Node], str], timeout_s: float) -> None:
        self.deployment = deployment
        self._seeds = list(seeds)
        self._url_of = url_of
        self._timeout_s = timeout_s
        self._pools: dict[Node, Lines] = {}
        self._probes: dict[Node, Lines] = {}
        self._silent: dict[Node, float] = {}  # when to ask again those that left a call unanswered
        self._asking: dict[Node, asyncio.Task[None]] = {}

    async def node_of(self, key: bytes, deadline: float) -> Node:
        return self._seeds[0]

    async def primaries(self, deadline: float) -> list[Node]:
        return [self._seeds[0]]

    def forget(self) -> None:
        """The next command asks again where its key is."""

    def moved(self, error: MovedError) -> None:
        self.forget()

    def pool(self, node: Node) -> Lines:
        if node not in self._pools:
            self._pools[node] = Lines(self._url_of(node), self._timeout_s, greeting=self.greeting)
        return self._pools[node]

    async def close(self) -> None:
        await asyncio.gather(*self._asking.values())
        for pool in (*self._pools.values(), *self._probes.values()):
            pool.close()
        self._pools.clear()
        self._probes.clear()

    async def run(
        self, commands: Sequence[Command], timeout_s: float, *, repeatable: bool = False, waits: Waits | None = None
    ) -> list[Reply]:
        """The reply to each command, or the Failure to get one; none takes longer than `timeout_s`.

        With `waits`, each server is asked, behind its commands and on their connection, to confirm them.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        replies: list[Reply] = [None] * len(commands)
        waiting = dict(enumerate(commands))
        asked: dict[int, Node] = {}
        for _ in range(ROUNDS):
            groups = await self._by_node(waiting, asked, replies, deadline)
            asked_all = [self._ask(node, waiting, rows, replies, deadline, waits) for node, rows in groups.items()]
            await (asked_all[0] if len(asked_all) == 1 else asyncio.gather(*asked_all))  # without a task for one
            waiting, asked = self._again(waiting, replies, repeatable)
            if not waiting:
                break
        return replies

    async def nodes(self, timeout_s: float) -> list[Node]:
        """The servers that hold sessions. Raises StoreUnavailable."""
        return await self.primaries(asyncio.get_running_loop().time() + timeout_s)

    async def run_at(self, node: Node, commands: Sequence[tuple[bytes, ...]], timeout_s: float) -> list[Reply]:
        """The replies of one server, without redirections."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        return await exchange(self.pool(node), [Command(b"", args) for args in commands], deadline)

    async def probe(self, node: Node, commands: Sequence[tuple[bytes, ...]], deadline: float) -> list[Reply]:
        """The replies of one server to questions about itself, however many other calls hang."""
        if node not in self._probes:
            self._probes[node] = Lines(
                self._url_of(node), self._timeout_s, connections=MAX_PROBES, greeting=self.greeting
            )
        replies = await exchange(self._probes[node], [Command(b"", args) for args in commands], deadline)
        if all(isinstance(reply, Failure) for reply in replies):
            self.forget()
        return replies

    async def _by_node(
        self, waiting: dict[int, Command], asked: dict[int, Node], replies: list[Reply], deadline: float
    ) -> dict[Node, list[int]]:
        groups: dict[Node, list[int]] = defaultdict(list)
        for row, command in waiting.items():
            try:
                groups[asked.get(row) or await self.node_of(command.key, deadline)].append(row)
            except StoreUnavailable as error:
                replies[row] = Failure(sent=False, reason=str(error))
        return groups

    async def _ask(
        self,
        node: Node,
        waiting: dict[int, Command],
        rows: list[int],
        replies: list[Reply],
        deadline: float,
        waits: Waits | None,
    ) -> None:
        commands = [waiting[row] for row in rows]
        try:
            await self._require_answering(node)
            wait = await waits.at(node, deadline) if waits is not None else None
        except StoreUnavailable as error:
            answers: list[Reply] = [Failure(sent=False, reason=str(error))] * len(rows)
        else:
            if wait is not None:
                commands.append(Command(b"", wait.args))
            answers = await exchange(self.pool(node), commands, deadline)
            if wait is not None and not wait.is_met(answers.pop()):
                answers = [answer if isinstance(answer, Failure) else Unconfirmed(answer) for answer in answers]
        if waits is not None and any(isinstance(answer, Failure) and answer.redirect is None for answer in answers):
            waits.forget(node)
        if any(isinstance(answer, Failure) and answer.silent for answer in answers):
            self._silent[node] = asyncio.get_running_loop().time()
        for row, answer in zip(rows, answers, strict=True):
            replies[row] = answer

    async def _require_answering(self, node: Node) -> None:
        """A server that left a call unanswered is asked a short question before it is sent anything else.

        Otherwise each call would wait for it to the end, and with it the sessions of all other servers.

        Raises:
            StoreUnavailable: it does not answer.
        """
        if node not in self._silent:
            return
        if node not in self._asking and asyncio.get_running_loop().time() >= self._silent[node]:
            self._asking[node] = asyncio.create_task(self._ask_whether_it_answers(node))
        if node in self._asking:
            await asyncio.shield(self._asking[node])
        if node in self._silent:
            raise StoreUnavailable("the server does not answer")

    async def _ask_whether_it_answers(self, node: Node) -> None:
        try:
            now = asyncio.get_running_loop().time()
            [answer] = await self.probe(node, [(b"PING",)], now + ANSWERS_WITHIN_S)
            if isinstance(answer, Failure):
                self._silent[node] = now + ASKED_EVERY_S
            else:
                self._silent.pop(node, None)
        finally:
            del self._asking[node]

    def _again(
        self, waiting: dict[int, Command], replies: list[Reply], repeatable: bool
    ) -> tuple[dict[int, Command], dict[int, Node]]:
        """Which commands to send once more, and those of them that another node was named for."""
        again: dict[int, Command] = {}
        asked: dict[int, Node] = {}
        for row, command in waiting.items():
            failure = replies[row]
            if not isinstance(failure, Failure):
                continue
            match failure.redirect:
                case NoScriptError() if command.script:
                    again[row] = replace(command, args=(b"EVAL", command.script, *command.args[2:]), asking=False)
                case AskError() as error:
                    again[row], asked[row] = replace(command, asking=True), (error.host, error.port)
                case MovedError() as error:
                    self.moved(error)
                    again[row] = replace(command, asking=False)
                case ReadOnlyError():
                    self.forget()
                    again[row] = command
                case ClusterDownError() | MasterDownError():
                    self.forget()
                case ResponseError():
                    pass
                case _:
                    self.forget()
                    if repeatable or not failure.sent:
                        again[row] = command
        return again, asked


async def _require_primary(connection: AbstractConnection) -> None:
    """Raises ReadOnlyError: it is none."""
    await connection.on_connect()
    await connection.send_command(b"ROLE")
    role = await connection.read_response()
    if role[0] != b"master":
        raise ReadOnlyError("this server is not the primary any more")


class SentinelServers(Servers):
    """The primary of a service, as the first Sentinel that answers names it; asked for again after every fault.

    A primary that was replaced while nobody asked it anything comes back as a replica, with old sessions to read: so
    each new connection asks the server whether it is the primary.
    """

    greeting = staticmethod(_require_primary)

    def __init__(self, seeds: Sequence[Node], service: str, url_of: Callable[[Node], str], timeout_s: float) -> None:
        super().__init__("sentinel", seeds, url_of, timeout_s)
        self._service = service.encode()
        self._primary: Node | None = None
        self._sentinels = [Lines(f"redis://{host}:{port}", timeout_s) for host, port in seeds]

    async def node_of(self, key: bytes, deadline: float) -> Node:
        if self._primary is None:
            self._primary = await self._discover(deadline)
        return self._primary

    async def primaries(self, deadline: float) -> list[Node]:
        return [await self.node_of(b"", deadline)]

    def forget(self) -> None:
        self._primary = None

    async def close(self) -> None:
        for pool in self._sentinels:
            pool.close()
        await super().close()

    async def _discover(self, deadline: float) -> Node:
        question = Command(b"", (b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._service))
        for pool in list(self._sentinels):
            [answer] = await exchange(pool, [question], _share(deadline, len(self._sentinels)))
            if isinstance(answer, list):
                host, port = answer
                self._sentinels.remove(pool)  # the next question begins with the one that answered
                self._sentinels.insert(0, pool)
                return host.decode(), int(port)
        raise StoreUnavailable(f"no Sentinel names a primary for service {self._service.decode()!r}")


class ClusterServers(Servers):
    """The primaries of a Cluster by slot; the map is read again whenever a node redirects or does not answer."""

    batch = 1

    def __init__(self, seeds: Sequence[Node], url_of: Callable[[Node], str], timeout_s: float) -> None:
        super().__init__("cluster", seeds, url_of, timeout_s)
        self._slots: dict[int, Node] = {}
        self._stale = True
        self._refreshing = asyncio.Lock()

    async def node_of(self, key: bytes, deadline: float) -> Node:
        await self._refresh(deadline)
        node = self._slots.get(key_slot(key))
        if node is None:
            raise StoreUnavailable("no node of the Cluster serves the slot of this session")
        return node

    async def primaries(self, deadline: float) -> list[Node]:
        await self._refresh(deadline)
        return sorted(set(self._slots.values()))

    def forget(self) -> None:
        self._stale = True

    def moved(self, error: MovedError) -> None:
        self._slots[error.slot_id] = (error.host, error.port)

    async def _refresh(self, deadline: float) -> None:
        if not self._stale:
            return
        async with self._refreshing:
            if self._stale:
                self._slots = await self._read_slots(deadline)
                self._stale = False

    async def _read_slots(self, deadline: float) -> dict[int, Node]:
        known = sorted(dict.fromkeys([*self._slots.values(), *self._seeds]), key=self._silent.__contains__)
        for asked in known:
            question = Command(b"", (b"CLUSTER", b"SLOTS"))
            [ranges] = await exchange(self.pool(asked), [question], _share(deadline, len(known)))
            if isinstance(ranges, list) and ranges:
                slots: dict[int, Node] = {}
                for first, last, (host, port, *_), *_ in ranges:
                    node = (host.decode() if host else asked[0], int(port))
                    slots.update(dict.fromkeys(range(first, last + 1), node))
                return slots
        raise StoreUnavailable("no node of the Cluster answers")


def connect(url: str, timeout_s: float) -> Servers:
    """The servers behind a URL; nothing is sent yet.

    Raises:
        ValueError: the URL is none of `redis://`, `rediss://`, `unix://`, `redis+sentinel://h1:p,h2:p/service/db`,
            `redis+cluster://h1:p,h2:p` (the last two also as `rediss+...`).
    """
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    if scheme in ("redis", "rediss", "unix") and not kind:
        embedded = scheme == "unix" and PurePath(parts.path).name == EMBEDDED_SOCKET
        return Servers("embedded" if embedded else "server", [("", 0)], lambda node: url, timeout_s)
    if scheme not in ("redis", "rediss") or kind not in ("sentinel", "cluster"):
        raise ValueError(
            "a store URL begins with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://, "
            f"not with {parts.scheme}://"
        )
    credentials, at, hosts = parts.netloc.rpartition("@")
    service, _, db = parts.path.strip("/").partition("/")
    seeds = [_node(host, 26379 if kind == "sentinel" else 6379) for host in hosts.split(",")]

    def url_of(node: Node) -> str:
        host = f"[{node[0]}]" if ":" in node[0] else node[0]
        return f"{scheme}://{credentials}{at}{host}:{node[1]}/{db or 0}"

    if kind == "cluster":
        return ClusterServers(seeds, url_of, timeout_s)
    if not service:
        raise ValueError("a redis+sentinel:// URL names its service: redis+sentinel://host:port,host:port/SERVICE/0")
    return SentinelServers(seeds, service, url_of, timeout_s)


def _node(text: str, default_port: int) -> Node:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(f"{text!r} is not a host:port of a store")
    return parts.hostname, parts.port or default_port


def _share(deadline: float, askers: int) -> float:
    """The deadline of one of several that are asked in turn: a silent one must leave time for the others."""
    now = asyncio.get_running_loop().time()
    return now + (deadline - now) / askers
