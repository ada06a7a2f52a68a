"""How fast Redis itself runs the commits of the service: its script calls, pipelined from a bare socket.

    python -m bench.commits [--seconds 3] [--sessions 1000]

The calls are those that the service sent under load, taken down by a proxy before its store, and then run again over
the records as they were before.
"""

from __future__ import annotations

import argparse
import hashlib
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import redis

from bench.creation import create_sessions, write_series
from bench.load import Target, require_wrk
from bench.models import two_layers
from bench.processes import cpu_s, hiddenstate
from bench.recording import Proxy, packed
from bench.servers import REDIS_7, Server, servers
from bench.targets import UNSAVED
from bench.workload import Observations
from service.storage.store import Outcome

CONNECTIONS = (1, 32, 128)
SETTLED_S = 0.5
IN_FLIGHT = 8
"""Calls sent ahead of their replies."""

SCRIPT = resources.files("service.storage").joinpath("commit.lua").read_bytes()
DIGEST = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()


@dataclass(frozen=True, slots=True)
class Recorded:
    """The records before a load, as DUMP gives them, and the script's calls in that load, in their order."""

    records: dict[bytes, bytes]
    calls: list[bytes]
    keys: list[int]

    @property
    def commits(self) -> int:
        return sum(self.keys)


@dataclass(frozen=True, slots=True)
class Rate:
    """Of the calls under a load of so many connections: keys in each, commits per second, the server's time for one."""

    connections: int
    keys: float
    per_s: float
    store_us: float


def measure(model: Path, *, seconds: float, sessions: int, note: Callable[[str], None]) -> list[Rate]:
    """Raises RuntimeError: a commit was not applied, so it was not the work that the service gives."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hs-")))
        [server] = stack.enter_context(servers([Server(REDIS_7, folder / "redis", *UNSAVED)]))
        client = stack.enter_context(redis.Redis(port=server.port, protocol=2))
        note(f"creating {sessions} sessions")
        create_sessions(write_series(folder, sessions), f"redis://127.0.0.1:{server.port}/0", model)
        with (
            Proxy(server.port) as proxy,
            hiddenstate("--store-url", f"redis://127.0.0.1:{proxy.port}/0", model=model) as service,
        ):
            service.wait_until_ready()
            target = Target("recorded", service, Observations(sessions))
            recorded = {connections: _recorded(client, proxy, target, connections) for connections in CONNECTIONS}
        client.script_load(SCRIPT.decode())
        return [_rate(server, client, one, connections, seconds) for connections, one in recorded.items()]


def _recorded(client: redis.Redis, proxy: Proxy, target: Target, connections: int) -> Recorded:
    time.sleep(SETTLED_S)  # what was under way when the load before ended
    records = {key: client.dump(key) or b"" for key in client.scan_iter("*bench-*", count=1000, _type="string")}
    proxy.commands.clear()
    load = target.load(connections, 1)
    if load.errors:
        raise RuntimeError(f"{load.errors} requests failed while commits were taken down")
    calls = [command for command in proxy.commands if command[:2] in ([b"EVALSHA", DIGEST], [b"EVAL", SCRIPT])]
    by_digest = [packed([b"EVALSHA", DIGEST, *call[2:]]) for call in calls]
    return Recorded(records, by_digest, [int(call[2]) for call in calls])


def _rate(server: Server, client: redis.Redis, recorded: Recorded, connections: int, seconds: float) -> Rate:
    rates: list[float] = []
    costs: list[float] = []
    give_up = time.monotonic() + seconds
    while not rates or time.monotonic() < give_up:
        with client.pipeline(transaction=False) as restoring:
            for key, record in recorded.records.items():
                restoring.restore(key, 0, record, replace=True)
            restoring.execute()
        used, began = cpu_s(server.pid), time.perf_counter()
        _send(server.port, recorded)
        rates.append(recorded.commits / (time.perf_counter() - began))
        costs.append(1e6 * (cpu_s(server.pid) - used) / recorded.commits)
    keys = recorded.commits / len(recorded.calls)
    return Rate(connections, keys, statistics.median(rates), statistics.mean(costs))


def _send(port: int, recorded: Recorded) -> None:
    calls = recorded.calls
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as replies:
        applied = 0
        for number in range(len(calls) + IN_FLIGHT):
            if number < len(calls):
                connection.sendall(calls[number])
            if number >= IN_FLIGHT:
                reply = replies.read(int(replies.readline()[1:]) + 2)[:-2]
                applied += reply[-recorded.keys[number - IN_FLIGHT] :].count(Outcome.APPLIED)
        if applied != recorded.commits:
            raise RuntimeError(f"{recorded.commits - applied} of {recorded.commits} commits were not applied")


def table(rates: Sequence[Rate]) -> list[str]:
    """Markdown."""
    lines = [
        "| connections to the service | keys a call | commits/s | us of the store's processor each |",
        "| ---: | ---: | ---: | ---: |",
    ]
    return lines + [
        f"| {rate.connections} | {rate.keys:.1f} | {rate.per_s:,.0f} | {rate.store_us:.1f} |" for rate in rates
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each number of connections")
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--model", type=Path, help="folder of an artifact; the one of bench.models if none is given")
    given = parser.parse_args()
    require_wrk()
    rates = measure(given.model or two_layers(), seconds=given.seconds, sessions=given.sessions, note=print)
    print("\n".join(table(rates)))


if __name__ == "__main__":
    main()
