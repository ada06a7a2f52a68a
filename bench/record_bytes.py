"""What an idle session costs in the store, by its own MEMORY USAGE, beside the bytes of its record.

python -m bench.record_bytes STATE_BYTES [--covariates 0] [--sessions 1000]
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

import numpy as np

from service.storage.connection import Command
from service.storage.embedded import EmbeddedStore
from service.storage.layout import HEAD_BYTES, WINDOW, Layout
from service.storage.record import Record
from service.storage.store import Change, Kind, SessionStore

HISTORIES = (0, 16, 64, 256)


def creation(session: str, layout: Layout, history: int) -> Change:
    random = np.random.default_rng()
    state = random.integers(0, 256, layout.state_bytes, np.uint8)
    record = Record.new(
        layout, model="m@1", fingerprint=bytes(32), incarnation=random.bytes(8), history=history, state=state
    )
    record.bump()
    return Change(session, bytes(16), bytes(8), None, Kind.REPLACE, ((0, record.render()),), 34_560_000_000)


async def measure(store: SessionStore, layout: Layout, history: int, sessions: int) -> tuple[float, float]:
    """Bytes a session by MEMORY USAGE, and by the growth of the server's used memory."""
    names = [f"store-{history}-{i}" for i in range(sessions)]
    before = (await store.status()).used_bytes
    await store.commit([creation(name, layout, history) for name in names])
    growth = (await store.status()).used_bytes - before
    keys = [store.key(name) for name in names[:100]]
    usage = await store.servers.run([Command(key, (b"MEMORY", b"USAGE", key)) for key in keys], 10.0)
    return float(np.mean(usage)), growth / sessions


async def report(url: str, layout: Layout, sessions: int) -> None:
    print(f"head {HEAD_BYTES}, state {layout.state_bytes}, {WINDOW} outcomes of {layout.outcome.itemsize}, ", end="")
    print(f"slots of {layout.slot.itemsize}, 2 snapshots of {layout.snapshot.itemsize} bytes")
    print(f"{'history':>8} {'record':>8} {'MEMORY USAGE':>13} {'growth':>8} {'overhead':>9}")
    async with SessionStore.open(url, timeout_s=30.0) as store:
        for history in HISTORIES:
            record = layout.whole(history).itemsize
            usage, growth = await measure(store, layout, history, sessions)
            print(f"{history:8d} {record:8d} {usage:13.0f} {growth:8.0f} {usage / record - 1:9.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("state_bytes", type=int)
    parser.add_argument("--covariates", type=int, default=0)
    parser.add_argument("--sessions", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedStore(Path(folder)) as store:
        asyncio.run(report(store.url, Layout(given.state_bytes, given.covariates), given.sessions))


if __name__ == "__main__":
    main()
