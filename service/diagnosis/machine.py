"""The machine that a service runs on: its port, its limits, the folder of its embedded store."""

import os
import resource
import shutil
import socket
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from service.diagnosis.findings import Finding, ok, problem, warning
from service.monitoring.tracing import ENDPOINTS
from service.settings import Settings

STORE_CONNECTIONS = 66
"""That each process opens to each server, at most."""
OTHER_FILES = 128
LEAST_FREE_BYTES, LOW_FREE_BYTES = 100 * 2**20, 2**30
ANSWERS_WITHIN_S = 2.0


def examine_machine(settings: Settings) -> Iterator[Finding]:
    """What can be known without a store."""
    yield examine_port(settings.host, settings.port)
    yield examine_descriptors(settings.connection_limit)
    yield from _traces()


def examine_port(host: str, port: int) -> Finding:
    """Whether a service can listen there, or one does."""
    if port == 0:
        return ok("port", "the system chooses one at each start")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if _is_ours(host, port):
            return ok("port", f"a hiddenstate service answers on {host}:{port}")
        cure = f"see what does with: ss -ltnp 'sport = :{port}'; or choose another with HIDDENSTATE_PORT or --port"
        return problem("port", f"nothing can listen on {host}:{port}: {error.strerror or error}", cure)
    return ok("port", f"{host}:{port} is free")


def _is_ours(host: str, port: int) -> bool:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
    try:
        with urllib.request.urlopen(f"http://{shown}:{port}/health/live", timeout=ANSWERS_WITHIN_S) as answer:
            told: bytes = answer.read(64)
    except (OSError, ValueError):
        return False
    return told == b'{"status":"ok"}'


def examine_descriptors(connections: int) -> Finding:
    """Whether a process may have as many files open as it may have connections."""
    may, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + STORE_CONNECTIONS + OTHER_FILES
    said = f"a process may open {may} files, and {connections} connections may need {needed}"
    if may == resource.RLIM_INFINITY or may >= needed:
        return ok("file descriptors", said)
    cure = f"ulimit -n {needed} before it starts (systemd: LimitNOFILE={needed}), or lower HIDDENSTATE_CONNECTION_LIMIT"
    return warning("file descriptors", said, cure)


def examine_data_dir(folder: Path) -> Iterator[Finding]:
    """Whether the embedded store can write there, and for how long."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        cure = f"chown -R $(id -un) {there}, or choose another folder with HIDDENSTATE_DATA_DIR or --data-dir"
        yield problem("data directory", f"this user cannot write to {there}", cure)
        return
    yield ok("data directory", f"{folder} is writable" if there == folder else f"{folder} will be made in {there}")
    free = shutil.disk_usage(there).free
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    said = f"{_size(free)} are free, the store's files take {_size(held)}"
    # The append-only file is written anew beside the old one from time to time.
    if free < max(LEAST_FREE_BYTES, held // 2):
        yield problem("disk", said, f"make room on the disk of {there}, or move the folder: HIDDENSTATE_DATA_DIR")
    elif free < max(LOW_FREE_BYTES, 2 * held):
        yield warning("disk", said, f"make room on the disk of {there} before the store's file is rewritten")
    else:
        yield ok("disk", said)


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def _traces() -> Iterator[Finding]:
    asked = next((name for name in ENDPOINTS if os.environ.get(name)), None)
    if asked is None:
        return
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.exporter") is None:
        yield problem("traces", f"{asked} is set, and what sends them is not installed", "pip install '.[tracing]'")
    else:
        yield ok("traces", f"sent to {os.environ[asked]}")
