"""What must have become of a commit before it is answered, and how a server is made to say so.

WAITAOF is not used. Under `appendfsync everysec` it is answered before the fsync it stands for has begun, and with
replicas each of its answers takes the second between two of their reports.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

Node = tuple[str, int]
"""Host and port of a server."""


class Durability(StrEnum):
    """What an answered commit survives, from the weakest on."""

    MEMORY = "memory"
    """Nothing: it is in the server's memory."""
    LOCAL = "local"
    """The death of the server and of its machine: it was fsynced there."""
    REPLICA = "replica"
    """The loss of the server: replicas have received it."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of the store.

    Args:
        durability: None = whatever the store's own configuration gives.
        replicas: that must have received a commit, where `replica` is asked.
        timeout_s: after which a commit that they did not report is answered as unconfirmed.
    """

    durability: Durability | None = None
    replicas: int = 1
    timeout_s: float = 1.0

    @property
    def wait(self) -> Wait | None:
        """What to send behind a commit, on the same connection; None = its answer says all."""
        if self.durability is not Durability.REPLICA:
            return None
        return Wait(self.replicas, self.timeout_s)


@dataclass(frozen=True, slots=True)
class Wait:
    """A command that is answered once replicas have what its connection wrote, or with how many do when time is up."""

    replicas: int
    timeout_s: float

    @property
    def args(self) -> tuple[bytes, ...]:
        return b"WAIT", b"%d" % self.replicas, b"%d" % max(round(1000 * self.timeout_s), 1)

    def is_met(self, reply: Any) -> bool:  # noqa: ANN401 - what the server answered
        """Whether enough have it."""
        return isinstance(reply, int) and reply >= self.replicas


@dataclass(frozen=True, slots=True)
class Abilities:
    """What one server can give.

    Args:
        persistence: `aof always`, `aof everysec`, `aof no`; `aof` where the server hides when it fsyncs; `rdb`, `none`.
        replicas: connected and in step.
    """

    persistence: str
    replicas: int

    def lacking(self, demand: Demand) -> str | None:
        """Why commits cannot be confirmed as asked, and the cure; None = they can."""
        if demand.durability is Durability.LOCAL and self.persistence != "aof always":
            return (
                f"durability local was asked for, and the store's persistence is {self.persistence}: "
                "set appendonly yes and appendfsync always"
            )
        if demand.durability is Durability.REPLICA and self.replicas < demand.replicas:
            return (
                f"durability replica was asked for with {demand.replicas} replicas, and {self.replicas} are connected: "
                "start the others, or lower durability_replicas"
            )
        return None

    def given(self, demand: Demand) -> Durability:
        """What an answered commit has."""
        if demand.durability is Durability.REPLICA and self.lacking(demand) is None:
            return Durability.REPLICA
        return Durability.LOCAL if self.persistence == "aof always" else Durability.MEMORY


class Waits(Protocol):
    """How servers are made to confirm what they were sent."""

    async def at(self, node: Node, deadline: float) -> Wait | None:
        """What to send behind the commands; None = nothing. Raises StoreUnavailable: this server cannot confirm."""

    def forget(self, node: Node) -> None:
        """The server may come back as another."""
