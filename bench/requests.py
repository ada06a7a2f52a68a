"""Requests per second of single observations, as a ratio to a bare ASGI handler under the same uvicorn in the same run.

    python -m bench.requests [--rounds 3] [--seconds 5] [--sessions 5000] [--store-url URL]

Needs `wrk` (Debian: apt-get install wrk): a load generator in Python would slow the bare handler more than the service.
The service keeps its state in its embedded store, synced to disk before each answer, unless a store is named.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = (32, 128)
SCRIPT = """
local n, sessions = 0, {sessions}
local headers = {{["Content-Type"] = "application/json"}}
function request()
  n = n + 1
  local path = string.format("/v1/sessions/bench-%d/observations", (n * 7919) % sessions)
  return wrk.format("POST", path, headers, string.format('{{"value": %.3f}}', 100 + 10 * math.sin(n)))
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %f %f %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.timeout + e.status))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one load gave: requests per second, latencies in ms, failed requests."""

    rate: float
    p50: float
    p99: float
    errors: int

    def __str__(self) -> str:
        return f"service {self.rate:.0f}/s, p50 {self.p50:.1f} ms, p99 {self.p99:.1f} ms, {self.errors} errors"


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def process(command: list[str], ready: str, **environment: str) -> Iterator[None]:
    """Run a server until the block ends; it is used once `ready` answers 200."""
    with tempfile.TemporaryFile() as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **environment})
        try:
            for _ in range(600):
                with contextlib.suppress(OSError), urllib.request.urlopen(ready, timeout=1):
                    break
                if server.poll() is not None:
                    output.seek(0)
                    sys.exit(f"{command[0]} ended:\n{output.read().decode()[-2000:]}")
                time.sleep(0.1)
            yield
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


def load(port: int, connections: int, seconds: int, script: Path) -> Load:
    """Post observations for some seconds."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
    output = subprocess.run([*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"RESULT (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+)", output)
    if not found:
        sys.exit(f"wrk printed no result:\n{output}")
    count, micros, p50, p99, errors = (float(number) for number in found.groups())
    return Load(count / micros * 1e6, p50 / 1000, p99 / 1000, int(errors))


def create(port: int, sessions: int) -> None:
    """Create the sessions, each with a short history."""
    for k in range(sessions):
        body = json.dumps({"observations": [{"value": 100.0 + (k + t) % 7} for t in range(3)]}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/sessions/bench-{k}", body, {"Content-Type": "application/json"}, method="PUT"
        )
        urllib.request.urlopen(request, timeout=10).close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("--store-url")
    given = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is needed to load the servers: apt-get install wrk")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        script = folder / "observations.lua"
        script.write_text(SCRIPT.format(sessions=given.sessions))
        bare, service = free_port(), free_port()
        uvicorn = [sys.executable, "-m", "uvicorn", "bench.bare:app", "--loop", "uvloop", "--http", "httptools"]
        quiet = ["--no-access-log", "--log-level", "warning", "--port", str(bare)]
        stack.enter_context(process([*uvicorn, *quiet], f"http://127.0.0.1:{bare}/"))
        serve = [sys.executable, "-m", "hiddenstate", "serve", "--port", str(service)]
        store = ["--store-url", given.store_url] if given.store_url else ["--data-dir", str(folder / "data")]
        stack.enter_context(process([*serve, *store], f"http://127.0.0.1:{service}/health/ready"))
        print(f"creating {given.sessions} sessions …", flush=True)
        create(service, given.sessions)
        for connections in CONNECTIONS:
            rounds = []
            for k in range(given.rounds):
                yardstick = load(bare, connections, given.seconds, script)
                served = load(service, connections, given.seconds, script)
                rounds.append(served.rate / yardstick.rate)
                print(f"{connections} connections, round {k + 1}: bare {yardstick.rate:.0f}/s, {served}", flush=True)
            ratio = statistics.median(rounds)
            print(f"{connections} connections: {ratio:.3f} of the bare handler (median of {given.rounds})", flush=True)


if __name__ == "__main__":
    main()
