"""What the doctor finds in real servers that are set up badly; in models, sessions and machines that lack something."""

import asyncio
import json
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import redis

from models.artifacts.artifact import find
from service.diagnosis.examination import examine
from service.diagnosis.findings import Finding, Level
from service.diagnosis.machine import examine_data_dir, examine_descriptors, examine_port
from service.diagnosis.models import Models
from service.diagnosis.sessions import examine_sessions
from service.diagnosis.store import _clock, examine_store
from service.sessions.registry import Registry
from service.settings import Settings
from service.storage.durability import Demand, Durability
from service.storage.embedded import server_binary
from service.storage.store import SessionStore
from tests.deployments import REDIS_7, Server, servers, wait_for
from tests.service.conftest import Service
from tests.service.days import series

CLUSTER = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")


@contextmanager
def server(folder: Path, *settings: str, binary: Path = REDIS_7) -> Iterator[Server]:
    with servers([Server(binary, folder / "store", *settings)]) as [started]:
        yield started


def findings(url: str, demand: Demand | None = None) -> dict[str, Finding]:
    """Of a store, the gravest of each check."""

    async def looked() -> list[Finding]:
        async with SessionStore.open(url, timeout_s=5.0, demand=demand or Demand()) as store:
            return (await examine_store(store))[1]

    return by_check(asyncio.run(looked()))


def by_check(found: Sequence[Finding]) -> dict[str, Finding]:
    return {one.check: one for one in sorted(found, key=lambda one: list(Level).index(one.level))}


def url_of(started: Server) -> str:
    return f"redis://127.0.0.1:{started.port}/0"


def test_a_store_that_is_set_up_well_has_no_finding(tmp_path: Path) -> None:
    with server(tmp_path) as started:
        found = findings(url_of(started), Demand(Durability.LOCAL))
    assert {check: one.level for check, one in found.items()} == dict.fromkeys(
        ("store", "durability", "eviction", "memory", "clock"), Level.OK
    )


def test_a_store_that_evicts_and_writes_nothing_to_disk_is_told_how_to_mend_that(tmp_path: Path) -> None:
    policy = ("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", "--appendonly", "no")
    with server(tmp_path, *policy) as started:
        found = findings(url_of(started))
        assert (found["eviction"].level, found["durability"].level) == (Level.PROBLEM, Level.WARNING)
        assert "allkeys-lru" in found["eviction"].said
        for check in ("eviction", "durability"):
            commands = [part.split(",")[0] for part in found[check].cure.split("CONFIG SET ")[1:]]
            for command in commands:
                started.ask("CONFIG", "SET", *command.split()[:2])
        found = findings(url_of(started))
        assert (found["eviction"].level, found["durability"].level) == (Level.OK, Level.OK)


def test_durability_that_the_store_does_not_give_is_a_problem(tmp_path: Path) -> None:
    with server(tmp_path, "--appendfsync", "everysec") as started:
        found = findings(url_of(started), Demand(Durability.LOCAL))
        assert found["durability"].level is Level.PROBLEM
        assert found["durability"].cure == "set appendonly yes and appendfsync always"
        lacking = findings(url_of(started), Demand(Durability.REPLICA, 2))["durability"]
        assert (lacking.level, "durability_replicas" in lacking.cure) == (Level.PROBLEM, True)


def test_a_full_store_is_a_problem(tmp_path: Path) -> None:
    with server(tmp_path) as started:
        started.ask("SET", "filling", "x" * 3_000_000)
        started.ask("CONFIG", "SET", "maxmemory", "3mb")
        found = findings(url_of(started))
    assert (found["memory"].level, found["writes"].level) == (Level.PROBLEM, Level.PROBLEM)


def test_a_store_that_does_not_answer_is_the_only_finding(tmp_path: Path) -> None:
    with server(tmp_path) as started:
        url = url_of(started)
    found = findings(url)
    assert list(found) == ["store"]
    assert found["store"].level is Level.PROBLEM
    assert "HIDDENSTATE_STORE_URL" in found["store"].cure


def test_a_primary_that_would_go_on_alone_is_a_warning(tmp_path: Path) -> None:
    pair = [Server(server_binary(), tmp_path / name) for name in ("a", "b")]
    with servers(pair):
        pair[1].ask("REPLICAOF", "127.0.0.1", pair[0].port)
        wait_for(lambda: findings(url_of(pair[0])).get("replication") is not None, "the replica")
        wait_for(lambda: "cut off" in findings(url_of(pair[0]))["replication"].said, "the replica in step")
        assert findings(url_of(pair[0]))["replication"].level is Level.WARNING
        pair[0].ask("CONFIG", "SET", "min-replicas-to-write", "1")
        assert findings(url_of(pair[0]))["replication"].level is Level.OK


def test_a_cluster_that_does_not_serve_all_slots_is_a_problem(tmp_path: Path) -> None:
    with server(tmp_path, *CLUSTER, binary=server_binary()) as started:
        started.ask("CLUSTER", "ADDSLOTSRANGE", 0, 100)
        found = findings(f"redis+cluster://127.0.0.1:{started.port}")
        assert (found["cluster"].level, found["replication"].level) == (Level.PROBLEM, Level.WARNING)
        assert "101 of 16384" in found["cluster"].said
        started.ask("CLUSTER", "ADDSLOTSRANGE", 101, 16383)
        wait_for(lambda: "cluster_state:ok" in str(started.ask("CLUSTER", "INFO")), "the cluster")
        assert findings(f"redis+cluster://127.0.0.1:{started.port}")["cluster"].level is Level.OK


@pytest.mark.parametrize(("ahead_s", "level"), [(0.2, Level.OK), (-5.0, Level.WARNING), (90.0, Level.PROBLEM)])
def test_clocks_that_disagree_are_told_by_how_much(ahead_s: float, level: Level) -> None:
    found = _clock("", ahead_s)
    assert (found.level, f"{abs(ahead_s)} s" in found.said) == (level, True)


def test_sessions_without_their_model_and_damaged_ones_are_counted(service: Service, tmp_path: Path) -> None:
    with server(tmp_path) as started:
        url = url_of(started)
        create(service.registry, url, {"a": "tiny@1", "b": "tiny@2", "c": "tiny@2", "d": "tiny@1"})
        with redis.Redis(port=started.port) as client:
            client.setrange("hs:{default/d}", 700, b"\xff\xff\xff\xff")
        assert told(url, Registry([service.registry.models[0]], "tiny")) == {
            "2 sessions belong to tiny@2, which is not here: they are answered 409 model-unavailable",
            "1 records are damaged, such as d",
        }
        with redis.Redis(port=started.port) as client:
            client.delete("hs:{default/d}")
        assert told(url, service.registry) == {"3 sessions, all sound and with their models here"}


def create(registry: Registry, url: str, models: dict[str, str]) -> None:
    from tests.service.conftest import serving

    with serving(registry, url) as running, httpx2.Client(base_url=running.url) as client:
        for name, model in models.items():
            asked = {"freq": "D", "model": model, "observations": series(1, 3)}
            assert client.put(f"/v1/sessions/{name}", json=asked).status_code == 201


def told(url: str, registry: Registry) -> set[str]:
    async def looked() -> list[Finding]:
        async with SessionStore.open(url, timeout_s=5.0) as store:
            return await examine_sessions(store, registry)

    return {finding.said for finding in asyncio.run(looked())}


def test_a_model_whose_files_were_changed_is_a_problem_and_the_others_are_loaded(
    models_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(models_dir, tmp_path / "copy")
    [first, _] = find([tmp_path / "copy"])
    config = json.loads((first / "model.json").read_text())
    (first / "model.json").write_text(json.dumps(config | {"warm_up": 1}))
    models = Models([tmp_path / "copy"], "tiny")
    found = [finding for finding in models.examine()]
    assert [finding.level for finding in found] == [Level.PROBLEM, Level.OK]
    assert "fingerprint" in found[0].said
    assert models.registry is not None
    assert [loaded.spec.label for loaded in models.registry.models] == ["tiny@2"]


def test_a_default_model_that_is_not_there_is_a_problem(models_dir: Path, tmp_path: Path) -> None:
    models = Models([models_dir, tmp_path / "nowhere"], "daily")
    problems = [finding.said for finding in models.examine() if finding.level is Level.PROBLEM]
    assert len(problems) == 2
    assert str(tmp_path / "nowhere") in problems[0]
    assert "'daily'" in problems[1]
    assert models.registry is None


def test_a_port_is_free_or_ours_or_somebody_elses(service: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        other.listen()
        taken = examine_port("127.0.0.1", port)
    assert (taken.level, f":{port}" in taken.cure) == (Level.PROBLEM, True)
    assert examine_port("127.0.0.1", port).level is Level.OK
    ours = examine_port("127.0.0.1", int(service.url.rpartition(":")[2]))
    assert (ours.level, "hiddenstate service answers" in ours.said) == (Level.OK, True)


def test_too_few_file_descriptors_are_a_warning_with_the_number_needed() -> None:
    assert examine_descriptors(1).level is Level.OK
    found = examine_descriptors(10**9)
    assert (found.level, "1000000194" in found.cure) == (Level.WARNING, True)


def test_a_data_directory_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    [found] = examine_data_dir(tmp_path / "file" / "data")
    assert (found.check, found.level) == ("data directory", Level.PROBLEM)
    assert [found.check for found in examine_data_dir(tmp_path / "new" / "data")] == ["data directory", "disk"]


def test_the_embedded_store_is_tried_for_a_moment_and_left_as_it_was(models_dir: Path, tmp_path: Path) -> None:
    settings = Settings(port=0, data_dir=tmp_path / "data", default_model="tiny")
    before = by_check(list(examine(settings, [models_dir])))
    assert "nothing is in it yet" in before["store"].said
    assert not settings.data_dir.exists()
    settings.data_dir.mkdir()
    for _ in range(2):
        found = list(examine(settings, [models_dir]))
        assert {one.level for one in found if one.check != "file descriptors"} <= {Level.OK, Level.WARNING}
        assert any("starts, and is stopped again" in one.said for one in found)
        assert any(one.said.startswith("0 sessions") for one in found)
