"""Batches of observations through the service, beside folding the same rows in process, in interleaved rounds.

python -m bench.bulk [--sessions 10000] [--days 5] [--rounds 5] [--model models/shipped/daily/1]

The service keeps its state in Redis 7.0 on TCP, without append-only file, both started by this command. Half of the
sessions have timestamps, half have an idempotency key in each row. A round posts as many days of every session in each
media type, and folds as many in process, 512 sessions a call. Times are from the first byte sent to the last one
received. Ratios "by processor" compare the seconds of the processor that folding took, in process and in the service:
other programs on the machine distort them less.
"""

from __future__ import annotations

import argparse
import io
import json
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from bench.processes import Program, cpu_s, hiddenstate
from bench.servers import REDIS_7, Server, servers
from models.artifacts import artifact
from models.artifacts.runtime import Model
from models.dates.calendar import CALENDAR

TOGETHER = 512
"""Sessions in a call of the fold in process."""
JSON, LINES, ARROW = "application/json", "application/jsonl", "application/vnd.apache.arrow.stream"
FIRST = date(2026, 1, 1)


@dataclass(frozen=True, slots=True)
class Row:
    """An observation of one session; `day` counts from 0."""

    session: str
    day: int
    value: float
    dated: bool

    def table_row(self) -> dict[str, object]:
        if self.dated:
            return {"unique_id": self.session, "ds": _date(self.day), "y": self.value}
        return {"unique_id": self.session, "y": self.value, "idempotency_key": f"day-{self.day}"}

    def json(self) -> dict[str, object]:
        if self.dated:
            return {"session": self.session, "timestamp": _date(self.day), "value": self.value}
        return {"session": self.session, "value": self.value, "idempotency_key": f"day-{self.day}"}


@dataclass(frozen=True, slots=True)
class Spent:
    """Microseconds an observation: on the clock, of the processor of the process that folds, and of the store's."""

    wall: float
    folding: float
    store: float = 0.0

    def __str__(self) -> str:
        return f"{self.wall:5.1f} us (service {self.folding:4.1f}, store {self.store:4.1f} of the processor)"


def days(sessions: int, first: int, count: int, random: np.random.Generator) -> list[Row]:
    """The rows of some days, day by day."""
    return [
        Row(f"bulk-{number}", day, round(float(100 + 10 * random.standard_normal()), 3), number % 2 == 0)
        for day in range(first, first + count)
        for number in range(sessions)
    ]


def as_json(rows: Sequence[Row]) -> bytes:
    return json.dumps({"observations": [row.json() for row in rows]}).encode()


def as_lines(rows: Sequence[Row]) -> bytes:
    return b"".join(json.dumps(row.table_row()).encode() + b"\n" for row in rows)


def as_arrow(rows: Sequence[Row]) -> bytes:
    """One record batch of 8,192 rows after another."""
    columns: dict[str, Any] = {
        "unique_id": pa.array([row.session for row in rows], pa.string()),
        "ds": pa.array([FIRST + timedelta(days=row.day) if row.dated else None for row in rows], pa.date32()),
        "y": pa.array([row.value for row in rows], pa.float64()),
        "idempotency_key": pa.array([None if row.dated else f"day-{row.day}" for row in rows], pa.string()),
    }
    table = pa.table(columns)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, max_chunksize=8192)
    return sink.getvalue()


FORMATS: dict[str, tuple[str, Callable[[Sequence[Row]], bytes], str]] = {
    "JSON": (JSON, as_json, ""),
    "JSON Lines": (LINES, as_lines, ""),
    "Arrow": (ARROW, as_arrow, ""),
    "Arrow, minimal": (ARROW, as_arrow, "Prefer: return=minimal\r\n"),
}


def post(port: int, media: str, body: bytes, extra: str = "", query: str = "") -> bytes:
    """Post a batch, reading the answer while it is sent; the answer's chunks, joined with their lengths."""
    head = (
        f"POST /v1/observations:batch{query} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media}\r\n"
        f"{extra}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port)) as connection:
        sending = threading.Thread(target=connection.sendall, args=(head.encode() + body,))
        sending.start()
        parts = list(iter(lambda: connection.recv(2**20), b""))
        sending.join()
    return b"".join(parts)


def statuses(answer: bytes, media: str) -> Iterator[int]:
    """Of all rows."""
    body = b"".join(_chunks(answer.partition(b"\r\n\r\n")[2]))
    if media == ARROW:
        yield from pa.ipc.open_stream(body).read_all().column("status").to_numpy().tolist()
    elif media == JSON:
        yield from (outcome["status"] for outcome in json.loads(body)["outcomes"])
    else:
        yield from (json.loads(line)["status"] for line in body.splitlines())


def _chunks(body: bytes) -> Iterator[bytes]:
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        length = int(body[at:end], 16)
        if not length:
            return
        yield body[end + 2 : end + 2 + length]
        at = end + 4 + length


def posted(program: Program, store: Server, rows: Sequence[Row], name: str) -> Spent:
    """Raises RuntimeError: not every row was taken."""
    media, render, extra = FORMATS[name]
    body = render(rows)
    service, redis = program.cpu_s(), cpu_s(store.pid)
    began = time.perf_counter()
    answer = post(program.port, media, body, extra)
    wall = time.perf_counter() - began
    found = list(statuses(answer, media))
    if found != [200] * len(rows):
        raise RuntimeError(f"{name}: {len(rows)} rows, {found.count(200)} taken")
    spent = (wall, program.cpu_s() - service, cpu_s(store.pid) - redis)
    return Spent(*(1e6 * seconds / len(rows) for seconds in spent))


class Fold:
    """The same sessions in process."""

    def __init__(self, model: Model, sessions: int) -> None:
        self._model = model
        self._states = model.initial_state(sessions)
        self._calendar = np.zeros((TOGETHER, CALENDAR), np.float32)

    def run(self, rows: Sequence[Row]) -> Spent:
        """Fold the rows, which are whole days."""
        values = np.array([row.value for row in rows]).reshape(-1, len(self._states))
        began, spent = time.perf_counter(), time.process_time()
        for day in values:
            for at in range(0, len(day), TOGETHER):
                part = slice(at, min(at + TOGETHER, len(day)))
                count = part.stop - part.start
                self._states[part], _ = self._model.step(self._states[part], day[part], self._calendar[:count])
        times = time.perf_counter() - began, time.process_time() - spent
        return Spent(*(1e6 * seconds / len(rows) for seconds in times))


def measure(
    program: Program, store: Server, model: Model, given: argparse.Namespace
) -> dict[str, list[tuple[Spent, Spent]]]:
    """Of each format, round by round, what an observation took, and what it took in process."""
    random = np.random.default_rng(1)
    fold, spent = Fold(model, given.sessions), dict[str, list[tuple[Spent, Spent]]]()
    created = as_lines(days(given.sessions, 0, 1, random))
    post(program.port, LINES, created, query=f"?create=true&model={model.spec.label}")
    day = 1
    for number in range(given.rounds):
        for name in list(FORMATS)[:: -1 if number % 2 else 1]:
            rows = days(given.sessions, day, given.days, random)
            day += given.days
            before, through, after = fold.run(rows), posted(program, store, rows, name), fold.run(rows)
            alone = Spent((before.wall + after.wall) / 2, (before.folding + after.folding) / 2)
            spent.setdefault(name, []).append((through, alone))
            print(f"round {number + 1}: {name:14s} {through}; fold {alone.wall:.1f} us", flush=True)
    return spent


def report(spent: dict[str, list[tuple[Spent, Spent]]]) -> Iterator[str]:
    """Medians, and medians of ratios within a round."""
    for name, pairs in spent.items():
        rate = statistics.median(1e6 / through.wall for through, _ in pairs)
        ratio = statistics.median(alone.wall / through.wall for through, alone in pairs)
        processor = statistics.median(alone.folding / through.folding for through, alone in pairs)
        yield f"{name:14s} {rate:8.0f} observations/s, {ratio:.3f} of the fold in process, {processor:.3f} by processor"
    both = zip(spent["JSON"], spent["Arrow"], strict=True)
    ratios = [(text.wall / arrow.wall, text.folding / arrow.folding) for (text, _), (arrow, _) in both]
    wall, processor = (statistics.median(column) for column in zip(*ratios, strict=True))
    yield f"Arrow over JSON: {wall:.2f}, by processor {processor:.2f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=5, help="of each session in one batch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path, default=artifact.SHIPPED / "daily" / "1")
    given = parser.parse_args()
    model = artifact.load(given.model)
    with tempfile.TemporaryDirectory() as folder, servers([Server(REDIS_7, Path(folder) / "redis")]) as [store]:
        store.ask("CONFIG", "SET", "appendonly", "no")
        url = f"redis://127.0.0.1:{store.port}/0"
        with hiddenstate("--store-url", url, model=given.model) as program:
            program.wait_until_ready()
            spent = measure(program, store, model, given)
    print(f"{model.spec.label}: {given.sessions} sessions, {given.days} days a batch, medians of {given.rounds} rounds")
    for line in report(spent):
        print(line)


def _date(day: int) -> str:
    return (FIRST + timedelta(days=day)).isoformat()


if __name__ == "__main__":
    main()
