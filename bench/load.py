"""Loading one service with `wrk`, and what came of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

from bench.processes import Program, cpu_s
from bench.workload import Workload


@dataclass(frozen=True, slots=True)
class Load:
    """What one load gave: requests per second, latencies, failed requests, processor time for each request."""

    rate: float
    p50_ms: float
    p99_ms: float
    errors: int
    service_us: float
    store_us: float

    def __str__(self) -> str:
        return (
            f"{self.rate:7.0f}/s, p50 {self.p50_ms:6.2f} ms, p99 {self.p99_ms:7.2f} ms, "
            f"{self.service_us:4.0f} + {self.store_us:3.0f} us of processor, {self.errors} errors"
        )


@dataclass
class Target:
    """A service that is loaded, with the processes of its store."""

    title: str
    program: Program
    workload: Workload
    store: tuple[int, ...] = ()

    def load(self, connections: int, seconds: int) -> Load:
        """Load it for some seconds. Raises RuntimeError: the load generator gave no result."""
        before = self._cpu_s()
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(self.workload.script())
            script.flush()
            command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency"]
            output = subprocess.run(
                [*command, "-s", script.name, f"http://127.0.0.1:{self.program.port}"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ).stdout
        count, micros, p50, p99, errors, self.workload.sent = parse(output)
        service, store = (1e6 * (now - then) / count for now, then in zip(self._cpu_s(), before, strict=True))
        return Load(count / micros * 1e6, p50 / 1000, p99 / 1000, errors, service, store)

    def _cpu_s(self) -> tuple[float, float]:
        return self.program.cpu_s(), sum(map(cpu_s, self.store))


def parse(output: str) -> tuple[int, int, float, float, int, int]:
    """Requests, duration (us), p50 and p99 (us), errors and what had been sent when it ended."""
    found = re.search(r"RESULT (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+) (\d+)", output)
    if not found or found[1] == "0":
        raise RuntimeError(f"wrk gave no result:\n{output}")
    return int(found[1]), int(found[2]), float(found[3]), float(found[4]), int(found[5]), int(found[6])


def require_wrk() -> None:
    """Raises SystemExit where the load generator is missing."""
    if not shutil.which("wrk"):
        raise SystemExit("wrk is needed to load the servers: apt-get install wrk")
