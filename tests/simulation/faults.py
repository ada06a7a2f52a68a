"""What goes wrong, and when: everything follows from the seed. Only what took effect is counted."""

from __future__ import annotations

import random
from collections import Counter
from typing import Literal, TypeVar

from tests.simulation.server import Server

Request = Literal["lost", "reset"] | float
Reply = Literal["lost", "reset", "cut"] | float
Arrival = Literal["crash before", "crash after", "twice"] | None

LATENCY_S = 0.002
"""On average, of the bytes of one direction of one connection."""
SLOW_S = (0.05, 3.0)
"""Between these, what comes late comes late: some of it beyond the deadlines."""
UNCONFIRMED = 0.15
"""Share of the waits for a replica that it does not answer in time."""

NotedT = TypeVar("NotedT")


class Faults:
    """Decides on each message.

    Args:
        often: how probable a fault is, for each change of the store.
        loses: whether the store can fall back to an older state.
    """

    def __init__(self, seed: int, *, often: float, loses: bool) -> None:
        self.effective: Counter[str] = Counter()
        self.active = True
        self._chance = random.Random(f"{seed}/faults")
        self._often = often
        self._loses = loses

    def latency(self) -> float:
        return self._chance.expovariate(1.0 / LATENCY_S)

    def on_request(self) -> Request:
        """What becomes of bytes that a worker sends: lost, the connection reset, or later by seconds."""
        if not self._happens(0.15):
            return 0.0
        match self._chance.randrange(4):
            case 0:
                return self._noted("request lost", "lost")
            case 1:
                return self._noted("connection reset before a request", "reset")
        self.effective["request delayed"] += 1
        return self._chance.uniform(*SLOW_S)

    def on_arrival(self, server: Server, key: bytes) -> Arrival:
        """What happens as a change (of this key, and perhaps of others) arrives at its server."""
        if self._loses and self._chance.random() < 0.35:
            server.remember()
        if not self._happens(1.0):
            return None
        match self._chance.choices(range(7), weights=(1, 1, 1, 3, 3, *((1, 8) if self._loses else (0, 0))))[0]:
            case 0:
                return self._noted("server crashed before a change", "crash before")
            case 1:
                return self._noted("server crashed after a change", "crash after")
            case 2:
                server.forget_scripts()
                self.effective["scripts forgotten"] += 1
            case 3:
                left_ms = server.lives_ms(key)
                if left_ms is not None and self._chance.random() < 0.5:
                    server.jump(left_ms + self._chance.randint(1, 50_000))
                else:
                    server.jump(self._chance.randint(-100_000, 400_000))
                self.effective["server's clock jumped"] += 1
            case 4:
                return self._noted("command run twice", "twice")
            case 5:
                self._older(server)
                return self._noted("server crashed before a change", "crash before")
            case 6:
                self._older(server)  # behind an address that keeps its connections
        return None

    def on_read(self, server: Server) -> float | None:
        """Seconds after which the server that answered a read crashes: what was read meets another state then.

        It crashes before what was computed is sent, or just after. None = it does not.
        """
        if not self._happens(0.5):
            return None
        if self._loses and self._chance.random() < 0.8:
            self._older(server)
        self.effective["server crashed after a read"] += 1
        return self._chance.choice((0.0, 0.0, 1e-6))

    def on_reply(self, changes: bool) -> Reply:
        """What becomes of the server's answer."""
        if not self._happens(0.5 if changes else 0.1):
            return 0.0
        match self._chance.randrange(5):
            case 0:
                return self._noted("reply lost", "lost")
            case 1:
                return self._noted("connection reset instead of a reply", "reset")
            case 2:
                return self._noted("reply cut in the middle", "cut")
        self.effective["reply delayed"] += 1
        return self._chance.uniform(*SLOW_S)

    def outage(self) -> float:
        """Seconds until a server that crashed is back."""
        return self._chance.choice((0.0, 0.0, 0.02, 0.1, 0.1, 1.0)) * self._chance.random()

    def confirms(self) -> bool:
        """Whether a replica confirms in time."""
        if not self.active or self._chance.random() >= UNCONFIRMED:
            return True
        self.effective["replica did not confirm"] += 1
        return False

    def _older(self, server: Server) -> None:
        if server.fall_back(self._chance):
            self.effective["store fell back to an older state"] += 1

    def _happens(self, weight: float) -> bool:
        return self.active and self._chance.random() < self._often * weight

    def _noted(self, what: str, action: NotedT) -> NotedT:
        self.effective[what] += 1
        return action
