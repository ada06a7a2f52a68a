"""What a session costs in Redis 7.0, by its own MEMORY USAGE, beside the bytes of the numbers that it must keep.

    python -m bench.record_bytes [--model models/shipped/daily/1] [--sessions 100]

The sessions are made through the service, and their rings are full.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis

from bench.client import Connection
from bench.models import two_layers
from bench.processes import hiddenstate
from bench.servers import REDIS_7, Server, servers
from bench.targets import UNSAVED
from models.artifacts import artifact
from models.artifacts.runtime import ModelSpec
from service.settings import Settings
from service.storage import layout
from service.storage.layout import QUANTILES, WINDOW, Layout

DEFAULT = Settings.model_fields["history"].default
HISTORIES: tuple[int, ...] = (0, 16, DEFAULT, 256)


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes of one session: of its record, by MEMORY USAGE, and by the growth of the server's used memory."""

    history: int
    record: float
    usage: float
    growth: float
    payload: int

    @property
    def over_payload(self) -> float:
        return self.usage / self.payload


def payload(spec: ModelSpec, history: int) -> int:
    """Bytes of what must be kept: the network's state and two copies of it, each retained value and its quantiles."""
    state = 8 * int(spec.architecture["layers"]) * int(spec.architecture["hidden"])
    return 3 * state + history * (8 + 4 * len(QUANTILES))


def measure(model: Path, *, sessions: int, note: Callable[[str], None]) -> list[Usage]:
    """For each of HISTORIES, medians over so many sessions."""
    spec = artifact.load(model).spec
    with (
        tempfile.TemporaryDirectory(prefix="hs-") as folder,
        servers([Server(REDIS_7, Path(folder) / "redis", *UNSAVED)]) as [server],
        hiddenstate("--store-url", f"redis://127.0.0.1:{server.port}/0", model=model) as service,
        redis.Redis(port=server.port, protocol=2) as client,
    ):
        service.wait_until_ready()
        _create(service.port, spec, history=1, sessions=sessions)  # what the first sessions cost once is not theirs
        usages = []
        for history in HISTORIES:
            note(f"creating {sessions} sessions, history {history}")
            before = client.info("memory")["used_memory"]
            _create(service.port, spec, history, sessions)
            growth = (client.info("memory")["used_memory"] - before) / sessions
            keys = [key for key in client.scan_iter(f"*bytes-{history}-*", count=1000, _type="string")]
            record = statistics.median(client.strlen(key) for key in keys)
            usage = statistics.median(client.memory_usage(key) or 0 for key in keys)
            usages.append(Usage(history, record, usage, growth, payload(spec, history)))
        return usages


def _create(port: int, spec: ModelSpec, history: int, sessions: int) -> None:
    observations = [{"value": 100.0 + t % 7} for t in range(history + 2)]
    body = json.dumps({"model": spec.label, "history": history, "observations": observations})
    with Connection(port) as connection:
        for k in range(sessions):
            connection.call("PUT", f"/v1/sessions/bytes-{history}-{k}", body)


def table(usages: list[Usage]) -> list[str]:
    """Markdown."""
    lines = [
        "| history | record | `MEMORY USAGE` | growth of used memory | raw payload | `MEMORY USAGE` over it |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    return lines + [
        f"| {one.history} | {one.record:,.0f} | {one.usage:,.0f} | {one.growth:,.0f} | {one.payload:,} "
        f"| {one.over_payload:.2f} |"
        for one in usages
    ]


def described(spec: ModelSpec) -> list[str]:
    """The record and the state in it, field by field, in Markdown: as the code that reads them says."""
    sizes = Layout(spec.state_bytes)
    fields = [
        f"| `{field['name']}` | {field['offset']} | {field['dtype']} | {'x'.join(map(str, field['shape']))} |"
        for field in spec.layout.describe()
    ]
    return [
        f"Of `{spec.label}`: head {layout.HEAD_BYTES}, state {spec.state_bytes}, {WINDOW} outcomes of "
        f"{sizes.outcome.itemsize}, slots of {sizes.slot.itemsize}, and with a history two snapshots of "
        f"{sizes.snapshot.itemsize} bytes.",
        "",
        *("```text", (layout.__doc__ or "").strip(), "```", ""),
        f"The state of `{spec.label}`, {spec.state_bytes} bytes:",
        "",
        "| array | offset | dtype | shape |",
        "| --- | ---: | --- | --- |",
        *fields,
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of an artifact; the one of bench.models if none is given")
    parser.add_argument("--sessions", type=int, default=100)
    given = parser.parse_args()
    model = given.model or two_layers()
    print("\n".join(table(measure(model, sessions=given.sessions, note=print))))


if __name__ == "__main__":
    main()
