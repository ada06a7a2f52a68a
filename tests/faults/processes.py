"""The service as the processes it is: started by its real command, killed in every way, and looked at from outside."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import NamedTuple

from service.storage.embedded import EmbeddedStore
from tests.deployments import free_port, wait_for
from tests.faults.wire import LOST, get

READY_WITHIN_S = 180.0


class Running(NamedTuple):
    """One process; the start time tells it from a later one with the same pid."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Whether it still runs; one that has ended and waits for its parent to notice does not."""
        return _identity(self.pid) == self


class Service:
    """`hiddenstate serve` on a port and a data directory that stay the same over every restart."""

    def __init__(self, folder: Path, store_url: str | None = None, **settings: str) -> None:
        self._environment = os.environ | {f"HIDDENSTATE_{name.upper()}": value for name, value in settings.items()}
        self.port = free_port()
        self.data_dir = folder / "data"
        self._log = folder / f"service-{self.port}.log"
        self._own_store = store_url is None
        self.store_url = store_url or EmbeddedStore(self.data_dir).url
        self._command = [sys.executable, "-m", "hiddenstate", "serve", "--port", str(self.port)]
        self._command += ["--data-dir", str(self.data_dir)] if store_url is None else ["--store-url", store_url]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in a process group of its own; it is not ready yet."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, start_new_session=True, env=self._environment
            )

    async def until_ready(self) -> None:
        """Until it says that it is ready.

        Raises:
            RuntimeError: it ended instead, or took too long; with its last words.
        """
        give_up = time.monotonic() + READY_WITHIN_S
        while not await self._is_ready():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"the service is not ready: {self._log.read_text(errors='replace')[-2000:]}")
            await asyncio.sleep(0.02)

    async def _is_ready(self) -> bool:
        try:
            return (await get(self.port, "/health/ready"))[0] == 200
        except LOST:
            return False

    def kill(self, target: str) -> None:
        """kill -9 of the `service` alone, its process `group`, or the `store` alone, which the service revives."""
        assert self._process is not None
        if target == "store":
            os.kill(self.store_pid, signal.SIGKILL)
            return
        kill = os.killpg if target == "group" else os.kill
        kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def kill_worker(self, chance: Random) -> None:
        """kill -9 of one of several workers, which the service replaces.

        It is one that many connections lead to: on a busy machine another may have taken them all.
        """
        files = {
            process.pid: len(os.listdir(f"/proc/{process.pid}/fd"))
            for process in self.processes
            if _is_worker(process.pid)
        }
        most = max(files.values())
        os.kill(chance.choice(sorted(pid for pid, count in files.items() if 2 * count >= most)), signal.SIGKILL)

    def stop(self) -> int:
        """End it as an operator does, and wait; its exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
        return self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def store_pid(self) -> int:
        """The embedded store's server, which the lock of the data directory names after the service."""
        return int((self.data_dir / "lock").read_text().split()[1])

    @property
    def processes(self) -> set[Running]:
        """The service and everything it has started, however deep."""
        assert self._process is not None
        found = set(_family(self._process.pid))
        if self._own_store:
            with suppress(OSError, IndexError):
                found |= set(_family(self.store_pid))
        return found


@contextmanager
def service(folder: Path, store_url: str | None = None, **settings: str) -> Iterator[Service]:
    """A started service, its settings besides by name; at the end it is stopped, and has left no process behind."""
    running = Service(folder, store_url, **settings)
    running.start()
    family: set[Running] = set()
    try:
        yield running
        family = running.processes
    finally:
        running.stop()
    left = still_alive(family)
    assert not left, f"left behind: {left}"


def still_alive(processes: set[Running], limit_s: float = 10.0) -> set[Running]:
    """Those of the processes that have not ended after the limit."""
    give_up = time.monotonic() + limit_s
    while (left := {process for process in processes if process.alive}) and time.monotonic() < give_up:
        time.sleep(0.02)
    return left


def wait_for_another_store(running: Service, before: int) -> None:
    """Until the service has started its store again."""
    wait_for(lambda: running.store_pid != before, "another store")


def _family(pid: int) -> Iterator[Running]:
    identity = _identity(pid)
    if identity is None:
        return
    yield identity
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                yield from _family(int(child))


def _is_worker(pid: int) -> bool:
    with suppress(OSError):
        return b"multiprocessing.spawn" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _identity(pid: int) -> Running | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else Running(pid, fields[19])
