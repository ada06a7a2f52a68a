"""The servers that a benchmark starts: each ended with its block, and with this process should that be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.servers import free_port
from models.artifacts.artifact import SHIPPED
from service.storage.embedded import launch

READY_WITHIN_S, STOPPED_WITHIN_S = 60.0, 30.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Program:
    """A program that answers HTTP on a free loopback port.

    Args:
        command: its arguments, in which `{port}` stands for the port.
        ready: the path that answers 200 once it can be used.
        environment: variables besides those of this process.
    """

    def __init__(self, command: Sequence[str], *, ready: str = "/", **environment: str) -> None:
        self.port = free_port()
        variables = [f"{name}={value}" for name, value in environment.items()]
        self._command = ["/usr/bin/env", *variables, *(part.format(port=self.port) for part in command)]
        self._ready = f"http://127.0.0.1:{self.port}{ready}"

    def __enter__(self) -> Self:
        self._output = tempfile.TemporaryFile()
        self._process = launch(self._command, log=self._output.fileno())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def wait_until_ready(self) -> None:
        """Raises RuntimeError: it ended instead, or took too long; with what it wrote."""
        give_up = time.monotonic() + READY_WITHIN_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up:
                self._output.seek(0)
                last = self._output.read().decode(errors="replace")[-2000:]
                raise RuntimeError(f"{' '.join(self._command)} is not ready:\n{last}")
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_s(self) -> float:
        """Seconds of processor time that it and its workers have used."""
        return sum(cpu_s(pid) for pid in family(self.pid))

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self._ready, timeout=1):
                return True
        except OSError:
            return False


def uvicorn(app: str, **environment: str) -> Program:
    """An ASGI application under the same server, loop and parser as the service."""
    command = [sys.executable, "-m", "uvicorn", app, "--loop", "uvloop", "--http", "httptools", "--port", "{port}"]
    return Program([*command, "--no-access-log", "--log-level", "warning"], ready="/ready", **environment)


def hiddenstate(
    *arguments: str, model: Path, workers: int = 1, module: Sequence[str] = ("hiddenstate",), **environment: str
) -> Program:
    """The service; `model` is the folder of an artifact, which it serves beside the shipped ones.

    Args:
        module: what to run as the command `hiddenstate`, with arguments of its own.
    """
    command = [sys.executable, "-m", *module, "serve", "--port", "{port}", "--workers", str(workers)]
    folder = models_dir(model)
    beside = [] if folder is None else ["--models-dir", str(folder)]
    return Program([*command, *beside, *arguments], ready="/health/ready", **environment)


def models_dir(model: Path) -> Path | None:
    """The setting with which the service finds the artifact in the folder NAME/VERSION; None = it is shipped."""
    folder = model.resolve().parents[1]
    return None if folder == SHIPPED else folder


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    pids = [pid]
    for parent in pids:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            pids += map(int, children.read_text().split())
    return pids


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has used, as user and in the kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S
