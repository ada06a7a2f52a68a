"""Many who listen, on two workers of which one is killed meanwhile: each hears of every step, or hears of a gap.

    python -m tests.faults.listeners --listeners 1000 --observations 400 --kills 2 --seed 1

Sessions are fed at a steady pace, and whoever gets no answer asks again. Connections go with the worker that served
them; whoever listened there comes again, with the id of the last event that he has read. In the end each listener must
have heard of each step of each session, or of a gap within which that step was answered.
"""

import argparse
import asyncio
import random
import re
import sys
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import uvloop

from tests.faults.processes import Service, service
from tests.faults.wire import LOST, Connection, request

SESSIONS = 20
PER_SECOND = 40.0
"""Observations; each goes to every listener."""
HEARD_WITHIN_S = 60.0
AGAIN_S = 0.2
BLOCK = re.compile(
    rb'(?:id: (?P<id>\S+)\n)?event: (?P<kind>\w+)\ndata: (?:\{"session":"(?P<session>[^"]+)".*?"step":(?P<step>\d+),.*'
    rb'|\{"missed_from":"(?P<first>[^"]+)","missed_to":"(?P<last>[^"]+)"\}|\{\})\n'
)
STANDING = re.compile(rb"id: (\S+)\n\n$")

Step = tuple[bytes, int]


@dataclass(slots=True)
class Heard:
    """What became of it; `wrong` is empty if all is well.

    Attributes:
        told: events of observations that arrived, once and again.
        twice: those that had arrived before, at the same listener.
        lost: steps that a listener did not hear of, but of a gap.
        came_again: connections that were opened after the first of each listener.
    """

    told: int = 0
    twice: int = 0
    gaps: int = 0
    lost: int = 0
    came_again: int = 0
    steps: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.steps} steps, heard {self.told} times, {self.twice} of them again, {self.came_again} came again, "
            f"{self.gaps} gaps for {self.lost} steps that were not heard of: {len(self.wrong)} wrong"
        )


class Listener:
    """Listens until he is told to stop, and comes again whenever the connection ends."""

    def __init__(self, port: int) -> None:
        self.steps: set[Step] = set()
        self.gaps: list[tuple[float, float]] = []
        self.told = self.connections = 0
        self.is_listening = asyncio.Event()
        self._port = port
        self._last_id = b""

    async def listen(self) -> None:
        while True:
            with suppress(*LOST):
                await self._connected()
            await asyncio.sleep(AGAIN_S)

    def is_excused(self, answered: tuple[float, float]) -> bool:
        """Whether a step may be missing that was sent and answered at these times: there is a gap which holds it."""
        return any(first <= answered[1] and answered[0] <= last for first, last in self.gaps)

    async def _connected(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            again = f"&last_event_id={self._last_id.decode()}" if self._last_id else ""
            writer.write(request("GET", f"/v1/events?prefix=heard-{again}"))
            if b" 200 " not in await reader.readline():
                return
            self.connections += 1
            while True:
                self._take(await reader.readuntil(b"\n\n"))
        finally:
            writer.close()

    def _take(self, block: bytes) -> None:
        self.is_listening.set()
        found = BLOCK.search(block)
        if found is None:
            standing = STANDING.search(block)
            self._last_id = standing[1] if standing else self._last_id
            return
        self._last_id = found["id"] or self._last_id
        if found["kind"] == b"observation":
            self.told += 1
            self.steps.add((found["session"], int(found["step"])))
        elif found["kind"] == b"gap":
            self.gaps.append((_seconds(found["first"]), _seconds(found["last"])))


async def run(listeners: int, observations: int, kills: int, seed: int) -> Heard:
    """Feed so many observations, kill a worker so often, and compare what was heard."""
    heard = Heard(steps=observations)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hs-listeners-")))
        running = stack.enter_context(service(folder, workers="2"))
        await running.until_ready()
        everybody = [Listener(running.port) for _ in range(listeners)]
        tasks = [asyncio.create_task(one.listen()) for one in everybody]
        try:
            await asyncio.gather(*(one.is_listening.wait() for one in everybody))
            answered = await _feed(running, observations, kills, random.Random(seed))
            await _until_heard(everybody, answered)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
    for number, one in enumerate(everybody):
        _compare(number, one, answered, heard)
    return heard


async def _feed(
    running: Service, observations: int, kills: int, chance: random.Random
) -> dict[Step, tuple[float, float]]:
    """When each step was sent, and answered, in seconds since 1970."""
    answered: dict[Step, tuple[float, float]] = {}
    fatal = {(number + 1) * observations // (kills + 1) for number in range(kills)}
    begun = time.monotonic()
    async with asyncio.TaskGroup() as group:
        last: dict[bytes, asyncio.Task[None]] = {}
        for number in range(observations):
            if number in fatal:
                running.kill_worker(chance)
            session = b"heard-%d" % (number % SESSIONS)
            step = (session, number // SESSIONS + 1)
            last[session] = group.create_task(_observe(running.port, step, last.get(session), answered))
            await asyncio.sleep(begun + (number + 1) / PER_SECOND - time.monotonic())
    return answered


async def _observe(
    port: int, step: Step, before: asyncio.Task[None] | None, answered: dict[Step, tuple[float, float]]
) -> None:
    """Feed one step, after the one before it, until that is answered."""
    if before is not None:
        await before
    session, number = step
    body = b'{"step":%d,"value":%d}' % (number, number)
    asked = request("POST", f"/v1/sessions/{session.decode()}/observations?create=true", body)
    sent = time.time()
    async with Connection(port) as connection:
        while True:
            with suppress(*LOST):
                status, said = await connection.send(asked)
                if status in (200, 201):
                    answered[step] = sent, time.time()
                    return
                if status < 500:
                    raise RuntimeError(f"{step} was refused: {said!r}")
            await asyncio.sleep(AGAIN_S)


async def _until_heard(everybody: list[Listener], answered: dict[Step, tuple[float, float]]) -> None:
    """Until nobody lacks anything but what a gap tells, or it has taken too long."""
    for _ in range(round(HEARD_WITHIN_S / AGAIN_S)):
        if not any(_missing(one, answered) for one in everybody):
            return
        await asyncio.sleep(AGAIN_S)


def _missing(one: Listener, answered: dict[Step, tuple[float, float]]) -> list[Step]:
    return [step for step in answered.keys() - one.steps if not one.is_excused(answered[step])]


def _compare(number: int, one: Listener, answered: dict[Step, tuple[float, float]], heard: Heard) -> None:
    heard.told += one.told
    heard.twice += one.told - len(one.steps)
    heard.gaps += len(one.gaps)
    heard.came_again += one.connections - 1
    heard.lost += len(answered.keys() - one.steps)
    if missing := _missing(one, answered):
        heard.wrong.append(f"listener {number} heard neither of {sorted(missing)[:3]} ({len(missing)}) nor of a gap")
    if unknown := one.steps - answered.keys():
        heard.wrong.append(f"listener {number} heard of {sorted(unknown)[:3]}, which was never sent")


def _seconds(moment: bytes) -> float:
    return datetime.fromisoformat(moment.decode()).timestamp()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listeners", type=int, default=1000)
    parser.add_argument("--observations", type=int, default=400)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        heard = runner.run(run(given.listeners, given.observations, given.kills, given.seed))
    print("\n".join([*heard.wrong[:10], f"seed {given.seed}: {heard}"]))
    sys.exit(bool(heard.wrong))


if __name__ == "__main__":
    main()
