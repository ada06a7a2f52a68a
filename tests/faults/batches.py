"""Batches that are streamed: rows sent while outcomes come back, and what the service's memory does meanwhile.

    python -m tests.faults.batches --rows 1000000 --sessions 10000
"""

import argparse
import asyncio
import json
import socket
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.faults.processes import service
from tests.service.days import day

Json = dict[str, Any]
LINES_AT_ONCE = 500


class Stream:
    """One streamed batch of JSON Lines over a socket of its own."""

    def __init__(self, port: int, query: str = "?create=true", **headers: str) -> None:
        self._port = port
        given = {"Content-Type": "application/jsonl", "Transfer-Encoding": "chunked", **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        self._head = f"POST /v1/observations:batch{query} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"

    def __enter__(self) -> Self:
        self.socket = socket.create_connection(("127.0.0.1", self._port))
        self.socket.sendall(self._head.encode())
        self._answer = self.socket.makefile("rb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._answer.close()
        self.socket.close()

    def send(self, rows: Iterable[Json]) -> None:
        body = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        if body:
            self.socket.sendall(b"%x\r\n%b\r\n" % (len(body), body))

    def finish(self) -> None:
        """There are no more rows."""
        self.socket.sendall(b"0\r\n\r\n")

    def outcomes(self) -> Iterator[Json]:
        """As they come, to the end of the answer or of the connection."""
        while self._answer.readline() not in (b"\r\n", b""):
            pass
        rest = b""
        while (size := self._answer.readline().strip()) not in (b"", b"0"):
            *lines, rest = (rest + self._answer.read(int(size, 16))).split(b"\n")
            self._answer.readline()
            yield from map(json.loads, lines)


def rows_of(sessions: int, days: int, prefix: str = "s") -> Iterator[Json]:
    """Day by day, a row for each session."""
    for number in range(1, days + 1):
        for session in range(sessions):
            yield {"unique_id": f"{prefix}-{session}", "ds": day(number), "y": float(session % 90 + number % 7)}


def sending(stream: Stream, rows: Iterator[Json]) -> threading.Thread:
    """Send rows beside the caller, until there are none or the connection ends."""

    def send() -> None:
        try:
            part: list[Json] = []
            for row in rows:
                part.append(row)
                if len(part) == LINES_AT_ONCE:
                    stream.send(part)
                    part = []
            stream.send(part)
            stream.finish()
        except OSError:
            return

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def resident_kib(pid: int) -> int:
    """Memory of a process that is in use."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)


def memory_over(port: int, pid: int, rows: int, sessions: int) -> list[int]:
    """KiB in use after each tenth of so many rows, all of which are taken."""
    found: list[int] = []
    with Stream(port, Prefer="return=minimal") as stream:
        sender = sending(stream, rows_of(sessions, rows // sessions))
        for count, outcome in enumerate(stream.outcomes(), 1):
            if outcome["status"] not in (200, 201):
                raise RuntimeError(f"a row was refused: {outcome}")
            if count % (rows // 10) == 0:
                found.append(resident_kib(pid))
        sender.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--sessions", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hs-batches-") as folder, service(Path(folder)) as running:
        asyncio.run(running.until_ready())
        found = memory_over(running.port, running.pid, given.rows, given.sessions)
    print(f"{given.rows} rows of {given.sessions} sessions; MiB after each tenth:", *(kib // 1024 for kib in found))
    growth = max(found[5:]) / max(found[:5]) - 1
    print(f"the second half over the first: {100 * growth:+.1f} %")
    sys.exit(growth > 0.1)


if __name__ == "__main__":
    main()
