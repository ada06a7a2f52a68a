"""The service as a process of its own, for tests that kill it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tests.deployments import free_port, wait_for
from tests.hiddenstate.command import PATIENT

ROOT = Path(__file__).parents[2]
SERVE = "from service.settings import Settings; from service.supervisor import serve; serve(Settings())"


class ServiceProcess:
    """One run of the service over a data directory; start it again after it ended."""

    def __init__(self, models_dir: Path, data_dir: Path, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data_dir = data_dir
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HIDDENSTATE_")},
            "HIDDENSTATE_PORT": str(self.port),
            "HIDDENSTATE_DATA_DIR": str(data_dir),
            "HIDDENSTATE_MODELS_DIR": str(models_dir),
            "HIDDENSTATE_DEFAULT_MODEL": "tiny",
            **PATIENT,
            **{f"HIDDENSTATE_{name.upper()}": value for name, value in settings.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "it was not started"
        return self._process

    def start(self) -> None:
        self.launch()
        wait_for(self._ready, f"the service: {self.data_dir.parent / 'service.log'}", 120.0)

    def launch(self) -> None:
        """Start it, and do not wait until it is ready."""
        with (self.data_dir.parent / "service.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVE], cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )

    def stop(self) -> int:
        """SIGTERM, and the exit status that follows."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def store_pid(self) -> int:
        """The process of the embedded store."""
        return int((self.data_dir / "lock").read_text().split()[1])

    def _ready(self) -> bool:
        assert self.process.poll() is None, f"the service ended: {(self.data_dir.parent / 'service.log').read_text()}"
        try:
            return httpx2.get(f"{self.url}/health/ready", timeout=60).status_code == 200
        except httpx2.TransportError:
            return False


@contextmanager
def process(models_dir: Path, folder: Path, **settings: str) -> Iterator[ServiceProcess]:
    """A service that runs, and is ended with the test."""
    service = ServiceProcess(models_dir, folder / "data", **settings)
    service.start()
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.kill()


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until_gone(pid: int) -> None:
    until = time.monotonic() + 60
    while is_alive(pid):
        assert time.monotonic() < until, f"process {pid} outlived its parent"
        time.sleep(0.02)
