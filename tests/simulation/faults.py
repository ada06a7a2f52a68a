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
JUMPS_MS = (1_000, 400_000)

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

    def on_arrival(self, server: Server) -> Arrival:
        """What happens as a change arrives at its server."""
        if self._loses and self._chance.random() < 0.2:
            server.remember()
        if not self._happens(1.0):
            return None
        match self._chance.randrange(10 if self._loses else 9):
            case 9:
                return self._noted("server crashed before a change", self._older(server))
            case 0:
                return self._noted("server crashed before a change", "crash before")
            case 1:
                return self._noted("server crashed after a change", "crash after")
            case 2:
                server.forget_scripts()
                self.effective["scripts forgotten"] += 1
            case 3 | 8:
                server.jump(self._chance.randint(*JUMPS_MS) * self._chance.choice((1, 1, -1)))
                self.effective["server's clock jumped"] += 1
            case 4 | 5 | 6:
                return self._noted("command run twice", "twice")
        return None

    def on_read(self, server: Server) -> bool:
        """Whether the server crashes as it has answered a read: what is computed from it then meets another state."""
        if not self._happens(0.15):
            return False
        if self._loses and self._chance.random() < 0.8:
            self._older(server)
        self.effective["server crashed after a read"] += 1
        return True

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
        return self._chance.choice((0.0, 0.005, 0.1, 0.5, 2.0)) * self._chance.random()

    def _older(self, server: Server) -> Arrival:
        if server.fall_back(self._chance):
            self.effective["store fell back to an older state"] += 1
        return "crash before"

    def _happens(self, weight: float) -> bool:
        return self.active and self._chance.random() < self._often * weight

    def _noted(self, what: str, action: NotedT) -> NotedT:
        self.effective[what] += 1
        return action
