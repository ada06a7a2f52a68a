"""How fast Redis itself runs the commits of the service: its script calls, pipelined from a bare socket.

    python -m bench.commits [--seconds 3] [--sessions 1000]

The commits are those that the service sent under load, taken down by a proxy before its store, and then run again over
the records as they were before, in calls of so many keys.
"""

from __future__ import annotations

import argparse
import hashlib
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import redis

from bench.load import Target, create_sessions, require_wrk
from bench.models import two_layers
from bench.processes import cpu_s, hiddenstate
from bench.recording import Proxy, packed
from bench.servers import REDIS_7, Server, servers
from bench.targets import UNSAVED
from bench.workload import Observations

KEYS = (1, 32, 128)
IN_FLIGHT = 8
"""Calls sent ahead of their replies."""
CONNECTIONS = 128

SCRIPT = resources.files("service.storage").joinpath("commit.lua").read_bytes()
DIGEST = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()
Commit = tuple[bytes, bytes]
"""A key, and the change to it as the script reads it."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Commits per second in calls of so many keys, and the server's processor time for each."""

    keys: int
    per_s: float
    store_us: float


def measure(model: Path, *, seconds: float, sessions: int, note: Callable[[str], None]) -> list[Rate]:
    """Raises RuntimeError: a commit was not applied, so it was not the work that the service gives."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hs-")))
        [server] = stack.enter_context(servers([Server(REDIS_7, folder / "redis", *UNSAVED)]))
        client = stack.enter_context(redis.Redis(port=server.port, protocol=2))
        records, commits = _recorded(server, client, model, sessions, note)
        client.script_load(SCRIPT.decode())
        return [_rate(server, client, records, commits, keys, seconds) for keys in KEYS]


def _recorded(
    server: Server, client: redis.Redis, model: Path, sessions: int, note: Callable[[str], None]
) -> tuple[dict[bytes, bytes], list[Commit]]:
    """The records before a load, as DUMP gives them, and the commits of that load in their order."""
    with Proxy(server.port) as proxy:
        service = hiddenstate("--store-url", f"redis://127.0.0.1:{proxy.port}/0", models=model)
        with service:
            service.wait_until_ready()
            note(f"creating {sessions} sessions")
            create_sessions(service.port, sessions, model.parent.name)
            records = {key: client.dump(key) or b"" for key in client.scan_iter("*bench-*", _type="string")}
            proxy.commands.clear()
            load = Target("recorded", service, Observations(sessions)).load(CONNECTIONS, 1)
            if load.errors:
                raise RuntimeError(f"{load.errors} requests failed while commits were taken down")
        return records, list(_commits(proxy.commands))


def _commits(commands: Sequence[Sequence[bytes]]) -> Iterator[Commit]:
    for name, script, *arguments in (command for command in commands if len(command) > 3):
        if (name, script) in ((b"EVALSHA", DIGEST), (b"EVAL", SCRIPT)):
            keys = int(arguments[0])
            yield from zip(arguments[1 : 1 + keys], arguments[1 + keys :], strict=True)


def _rate(
    server: Server,
    client: redis.Redis,
    records: dict[bytes, bytes],
    commits: Sequence[Commit],
    keys: int,
    seconds: float,
) -> Rate:
    calls = [packed(_call(commits[at : at + keys])) for at in range(0, len(commits), keys)]
    rates: list[float] = []
    costs: list[float] = []
    give_up = time.monotonic() + seconds
    while not rates or time.monotonic() < give_up:
        with client.pipeline(transaction=False) as restoring:
            for key, record in records.items():
                restoring.restore(key, 0, record, replace=True)
            restoring.execute()
        used, began = cpu_s(server.pid), time.perf_counter()
        _send(server.port, calls, len(commits))
        rates.append(len(commits) / (time.perf_counter() - began))
        costs.append(1e6 * (cpu_s(server.pid) - used) / len(commits))
    return Rate(keys, statistics.median(rates), statistics.mean(costs))


def _call(commits: Sequence[Commit]) -> list[bytes]:
    return [
        *(b"EVALSHA", DIGEST, b"%d" % len(commits)),
        *(key for key, _ in commits),
        *(change for _, change in commits),
    ]


def _send(port: int, calls: Sequence[bytes], commits: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as replies:
        applied = 0
        for number in range(len(calls) + IN_FLIGHT):
            if number < len(calls):
                connection.sendall(calls[number])
            if number >= IN_FLIGHT:
                applied += replies.read(int(replies.readline()[1:]) + 2).count(1)
        if applied != commits:
            raise RuntimeError(f"{commits - applied} of {commits} commits were not applied")


def table(rates: Sequence[Rate]) -> list[str]:
    """Markdown."""
    lines = ["| keys a call | commits/s | us of the store's processor each |", "| ---: | ---: | ---: |"]
    return lines + [f"| {rate.keys} | {rate.per_s:,.0f} | {rate.store_us:.1f} |" for rate in rates]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each size of a call")
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--model", type=Path, help="folder of an artifact; the one of bench.models if none is given")
    given = parser.parse_args()
    require_wrk()
    rates = measure(given.model or two_layers(), seconds=given.seconds, sessions=given.sessions, note=print)
    print("\n".join(table(rates)))


if __name__ == "__main__":
    main()
