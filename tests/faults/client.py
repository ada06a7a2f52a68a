"""A client behind a network that loses replies: every observation counts once, and nobody did more than observe.

    python -m tests.faults.client --observations 10000 --threads 16 --seed 1

Threads share one client and feed bare values, which nothing but the client's idempotency keys tells apart, to a few
sessions that they share too. Every tenth reply of the service is lost, and its connection with it. Of an observation
without an answer in three attempts the thread hears, and does nothing about it. In the end every value must be in its
session's history once, and the state be what that history makes of it.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from hiddenstate import AsyncClient, Client, ServiceUnreachable
from tests.faults.messages import messages
from tests.faults.processes import service
from tests.faults.proxy import Fault, proxy

SESSIONS = 8
LOST = 0.1
"""The part of all replies that does not arrive."""


@dataclass(slots=True)
class Seen:
    """What was seen; `wrong` is empty if all is well.

    Attributes:
        lost: replies that did not arrive.
        unanswered: calls that raised, because three replies in a row were lost.
        steps: of all sessions together.
    """

    lost: int = 0
    unanswered: int = 0
    steps: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.steps} steps, {self.lost} replies lost, {self.unanswered} calls without an answer in three "
            f"attempts: {len(self.wrong)} wrong"
        )


async def run(observations: int, threads: int, seed: int, *, in_threads: bool = True) -> Seen:
    """Feed the values from so many threads, or tasks of one loop, and compare what the service holds."""
    seen = Seen()
    shares = [range(first, observations, threads) for first in range(threads)]
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hs-client-")))
        running = stack.enter_context(service(folder))
        await running.until_ready()
        network = await stack.enter_async_context(proxy(running.port, seed=seed, split=messages))
        there, past = f"http://127.0.0.1:{running.port}", f"http://127.0.0.1:{network.port}"
        await asyncio.to_thread(_create, there, observations)
        network.chances = {Fault.LOST_REPLY: LOST}
        if in_threads:
            seen.unanswered = await asyncio.to_thread(_feed_from_threads, past, shares)
        else:
            async with AsyncClient(past) as client:
                seen.unanswered = sum(await asyncio.gather(*(_feed_in_a_task(client, share) for share in shares)))
        seen.lost = network.dealt.total()
        await asyncio.to_thread(_compare, there, observations, seen)
    return seen


def _session(value: int) -> str:
    """Each thread goes through all of the sessions, and meets others there."""
    return f"shared-{(value // 16 + value) % SESSIONS}"


def _create(url: str, observations: int) -> None:
    with Client(url) as client:
        for value in range(SESSIONS):
            client.put_session(_session(value), history=observations)


def _feed_from_threads(url: str, shares: Sequence[Iterable[int]]) -> int:
    with Client(url) as client, ThreadPoolExecutor(len(shares)) as pool:
        return sum(pool.map(lambda share: _feed(client, share), shares))


def _feed(client: Client, values: Iterable[int]) -> int:
    """Observe each value; returns how many calls raised."""
    unanswered = 0
    for value in values:
        try:
            client.observe(_session(value), value)
        except ServiceUnreachable:
            unanswered += 1
    return unanswered


async def _feed_in_a_task(client: AsyncClient, values: Iterable[int]) -> int:
    unanswered = 0
    for value in values:
        try:
            await client.observe(_session(value), value)
        except ServiceUnreachable:
            unanswered += 1
    return unanswered


def _compare(url: str, observations: int, seen: Seen) -> None:
    """Each value is where it belongs, once; the state of each session is what its history makes of it."""
    with Client(url) as client:
        for name in sorted({_session(value) for value in range(observations)}):
            expected = [float(value) for value in range(observations) if _session(value) == name]
            held = [record.value for record in client.records(name)]
            step = client.session(name).step
            seen.steps += step
            if step != len(expected) or sorted(value or 0.0 for value in held) != expected:
                missing, twice = len(set(expected) - set(held)), len(held) - len(set(held))
                seen.wrong.append(f"{name}: {step} steps for {len(expected)}, {missing} missing, {twice} twice")
            if not client.verify(name).ok:
                seen.wrong.append(f"{name}: its state is not that of its history")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observations", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--tasks", action="store_true", help="of one event loop, in place of threads")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(run(given.observations, given.threads, given.seed, in_threads=not given.tasks))
    print("\n".join([*seen.wrong[:10], f"seed {given.seed}: {seen}"]))
    sys.exit(bool(seen.wrong or seen.steps != given.observations))


if __name__ == "__main__":
    main()
