"""Twice the load that the service can carry: what it still serves, how fast it refuses the rest, what that costs.

    python -m tests.faults.overload --seconds 30 --seed 1

Measures the service's capacity with a closed loop of clients, then posts at twice that rate whatever comes back. In the
end every session stands where it was acknowledged.
"""

import argparse
import asyncio
import os
import random
import re
import resource
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import uvloop

from tests.faults.openloop import Posting, Tally
from tests.faults.processes import Service, service
from tests.faults.wire import Connection, request

SESSIONS = 8000
CONNECTIONS = 3900
CLIENTS = 512
"""Of the closed loop that measures the peak."""
WITHIN_S = 0.05


@dataclass(slots=True)
class Findings:
    """What was seen.

    Attributes:
        peak, goodput: requests served a second, before and during the overload.
        memory: resident bytes of the service over the overload.
        cpu_s: seconds of a processor that the service and the load took of the overload.
        peak_cpu_s: seconds of a processor that the service took while the peak was measured.
    """

    seconds: float
    peak: float = 0.0
    goodput: float = 0.0
    rate: float = 0.0
    tally: Tally = field(default_factory=Tally)
    memory: list[int] = field(default_factory=list)
    cpu_s: tuple[float, float] = (0.0, 0.0)
    peak_cpu_s: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        refused = sorted(self.tally.refused_s) or [0.0]
        served = sorted(self.tally.served_s) or [0.0]
        late = sum(took > WITHIN_S for took in refused)
        ms = [1000 * percentile(refused, percent) for percent in (50, 99, 100)]
        return (
            f"peak {self.peak:.0f}/s; at {self.rate:.0f}/s: goodput {self.goodput:.0f}/s, "
            f"{self.goodput / self.peak:.2f} of peak, after {1000 * percentile(served, 99):.0f} ms (p99); refused "
            f"{len(self.tally.refused_s)} after {ms[0]:.1f} (p50), {ms[1]:.1f} (p99), {ms[2]:.1f} ms (most), {late} of "
            f"them later than {1000 * WITHIN_S:.0f} ms, {self.tally.bare} without Retry-After; answers "
            f"{dict(self.tally.statuses)}, {self.tally.unsent} not sent, {self.tally.lost} lost; memory "
            f"{max(self.memory) / self.memory[0] - 1:+.1%}; processor {self.cpu_s[0]:.1f} s service, "
            f"{self.cpu_s[1]:.1f} s load; served in a second of it {self._per_cpu_s():.0f}, before "
            f"{self.peak * self.seconds / 3 / self.peak_cpu_s:.0f}; {len(self.wrong)} wrong"
        )

    def _per_cpu_s(self) -> float:
        return self.goodput * self.seconds / self.cpu_s[0]


def percentile(ordered: list[float], percent: float) -> float:
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


async def run(
    seconds: float,
    seed: int,
    *,
    sessions: int = SESSIONS,
    connections: int = CONNECTIONS,
    clients: int = CLIENTS,
    **settings: str,
) -> Findings:
    """Start a service, create the sessions, measure, overload, and count."""
    findings = Findings(seconds)
    with tempfile.TemporaryDirectory(prefix="hs-overload-") as folder, service(Path(folder), **settings) as running:
        await running.until_ready()
        await _create(running.port, sessions)
        posting = Posting(running.port, sessions, seed)
        await posting.connect(connections)
        await posting.closed(clients, seconds / 6)
        before = cpu_s(running.pid)
        measured = await posting.closed(clients, seconds / 3)
        findings.peak_cpu_s = cpu_s(running.pid) - before
        findings.peak = measured.statuses[200] / (seconds / 3)
        findings.rate = 2 * findings.peak
        before, own = cpu_s(running.pid), sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        watch = asyncio.create_task(_watch(running, findings))
        findings.tally = await posting.open(findings.rate, seconds)
        watch.cancel()
        findings.cpu_s = cpu_s(running.pid) - before, sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) - own
        findings.goodput = findings.tally.statuses[200] / seconds
        findings.wrong = await _compare(running.port, posting)
        posting.close()
    return findings


async def _create(port: int, sessions: int) -> None:
    """With a first observation each: that one is not what a service is loaded with day by day."""
    first = b'{"observations":[{"value":1.5}]}'
    rows = iter(range(sessions))

    async def client() -> None:
        async with Connection(port) as connection:
            for row in rows:
                status, body = await connection.send(request("PUT", f"/v1/sessions/load-{row}", first))
                assert status == 201, body

    await asyncio.gather(*(client() for _ in range(32)))


async def _watch(running: Service, findings: Findings) -> None:
    while True:
        findings.memory.append(resident_bytes(running.pid))
        await asyncio.sleep(0.5)


def resident_bytes(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return 1024 * int(found[1])


def cpu_s(pid: int) -> float:
    """Seconds of a processor that a process has taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _compare(port: int, posting: Posting) -> list[str]:
    """Sessions that do not stand where they were acknowledged."""
    wrong = []
    async with Connection(port) as connection:
        for row, step in enumerate(posting.acknowledged):
            _, body = await connection.send(request("GET", f"/v1/sessions/load-{row}"))
            found = orjson.loads(body)["step"]
            if found != step and not (row in posting.unknown and found == step + 1):
                wrong.append(f"load-{row} stands at step {found} and was acknowledged up to {step}")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="of the overload, after half as many to measure")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        findings = runner.run(run(given.seconds, given.seed))
    print("\n".join([*findings.wrong[:10], f"seed {given.seed}: {findings}"]))


if __name__ == "__main__":
    main()
