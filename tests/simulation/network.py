"""Connections between the workers and the store: bytes in order; late, cut off, lost or run twice, as faults say."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.simulation.faults import Faults
from tests.simulation.loop import Owner, VirtualLoop, owner
from tests.simulation.replies import Requests
from tests.simulation.server import Server


class Network:
    """Joins clients to servers, by host.

    Args:
        servers: what listens, by host name.
    """

    def __init__(self, loop: VirtualLoop, faults: Faults, servers: dict[str, Server]) -> None:
        self.loop = loop
        self.faults = faults
        self._servers = servers
        self._links: list[Link] = []
        loop.connect = self.connect
        loop.delay = faults.latency
        for server in servers.values():
            server.on_crash = self._lost

    def connect(self, protocol: asyncio.BaseProtocol, host: str, port: int) -> asyncio.Transport:
        server = self._servers[host]
        if not server.up:
            raise ConnectionRefusedError(f"nothing listens at {host}")
        self._links = [link for link in self._links if not link.is_closing()]
        link = Link(self, protocol, server, owner.get())
        self._links.append(link)
        protocol.connection_made(link)
        return link

    def forget(self, gone: Owner) -> None:
        """Close every connection of a process that was killed; what it had sent still arrives."""
        for link in [link for link in self._links if link.owner is gone]:
            link.abort()

    def _lost(self, server: Server) -> None:
        for link in [link for link in self._links if link.server is server]:
            link.reset()


class Link(asyncio.Transport):
    """One connection: the client's end of it, and what is on its way in both directions."""

    def __init__(
        self, network: Network, protocol: asyncio.BaseProtocol, server: Server, owned_by: Owner | None
    ) -> None:
        super().__init__()
        assert isinstance(protocol, asyncio.Protocol)
        self.server = server
        self.owner = owned_by
        self._network = network
        self._protocol = protocol
        self._requests = Requests()
        self._up = _Line(network.loop, self._arrived)
        self._down = _Line(network.loop, self._answered)
        self._open = True
        self._joined = True  # what was sent before the client closed still arrives; after a reset nothing does
        self._silent = False
        self._wrote = 0

    # ------------------------------------------------ the client's end

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._open and not self._silent:
            faults = self._network.faults
            match faults.on_request():
                case "lost":
                    self._silent = True  # nothing comes through this connection any more
                case "reset":
                    self._network.loop.call_later(faults.latency(), self.reset)
                case late:
                    self._up.send(bytes(data), faults.latency() + late)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if self._open:
            self._open = False
            self._network.loop.call_soon(self._protocol.connection_lost, None)

    def reset(self) -> None:
        """The other end is gone."""
        self._joined = False
        if self._open:
            self._open = False
            self._network.loop.call_soon(self._protocol.connection_lost, ConnectionResetError("connection reset"))

    def is_closing(self) -> bool:
        return not self._open

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as its base class has it
        return default

    # ------------------------------------------------ the server's end

    def _arrived(self, data: bytes) -> None:
        if not (self._joined and self.server.up):
            return
        commands = self._requests.feed(data)
        changed = [command[3] for command in commands if self.server.is_change(command)]
        changes = bool(changed)
        action = self._network.faults.on_arrival(self.server, changed[0]) if changes else None
        if action == "crash before":
            self.server.crash()
            return
        replies = self._served(commands)
        crash_after_s = None
        if self.server.is_read(commands[0]):
            crash_after_s = self._network.faults.on_read(self.server)
        if action == "crash after":
            self.server.crash()
        elif crash_after_s is not None:
            self._down.send(replies, 0.0)
            self._network.loop.call_later(crash_after_s, self.server.crash)
        elif action == "twice":
            # A command whose reply was lost was sent again by what lies below: its second reply is the one that comes.
            self._network.loop.call_later(self._network.faults.latency(), self._again, commands)
        else:
            self._answer(replies, changes)

    def _again(self, commands: list[list[bytes]]) -> None:
        if self._joined and self.server.up:
            self._answer(self._served(commands), True)

    def _served(self, commands: list[list[bytes]]) -> bytes:
        replies, self._wrote = self.server.serve(commands, self._wrote)
        return replies

    def _answer(self, replies: bytes, changes: bool) -> None:
        faults = self._network.faults
        match faults.on_reply(changes):
            case "lost":
                self._silent = True
            case "reset":
                self._network.loop.call_later(faults.latency(), self.reset)
            case "cut":
                self._down.send(replies[: len(replies) // 2], faults.latency())
                self._network.loop.call_later(1.0, self.reset)
            case late:
                self._down.send(replies, faults.latency() + late)

    def _answered(self, data: bytes) -> None:
        if self._open and not self._silent:
            self._protocol.data_received(data)


class _Line:
    """One direction of a connection: bytes arrive in the order in which they were sent."""

    def __init__(self, loop: VirtualLoop, arrived: Callable[[bytes], None]) -> None:
        self._loop = loop
        self._arrived = arrived
        self._under_way: deque[bytes] = deque()
        self._latest = 0.0

    def send(self, data: bytes, after_s: float) -> None:
        self._latest = max(self._latest, self._loop.time() + after_s)
        self._under_way.append(data)
        self._loop.call_at(self._latest, self._deliver)

    def _deliver(self) -> None:
        self._arrived(self._under_way.popleft())
