"""The doctor command, as an operator runs it: beside a running service, and before a store that is set up badly."""

import json
from pathlib import Path

from tests.deployments import REDIS_7, Server, servers
from tests.hiddenstate.command import run
from tests.hiddenstate.conftest import Running


def test_beside_a_running_service_it_finds_no_problem(service: Running) -> None:
    port = service.url.rpartition(":")[2]
    done = run("doctor", "--data-dir", str(service.data_dir), HIDDENSTATE_PORT=port)
    assert done.code == 0, done.out
    for said in (f"answers on 127.0.0.1:{port}", "daily@2, sha256:", "runs, with its service", "noeviction"):
        assert said in done.out
    assert "problem " not in done.out


def test_a_bad_store_makes_it_exit_with_1_and_say_what_to_do(tmp_path: Path) -> None:
    bad = ("--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl", "--appendfsync", "everysec")
    with servers([Server(REDIS_7, tmp_path / "store", *bad)]) as [server]:
        url = f"redis://127.0.0.1:{server.port}/0"
        done = run("doctor", "--store-url", url, "--durability", "local", "--json", HIDDENSTATE_PORT="0")
        shown = run("doctor", "--store-url", url, "--durability", "local", HIDDENSTATE_PORT="0")
    assert done.code == shown.code == 1
    told = json.loads(done.out)
    problems = {one["check"]: one["cure"] for one in told["findings"] if one["level"] == "problem"}
    assert set(problems) == {"durability", "eviction"}
    assert told["problem"] == 2
    assert all(cure in shown.out for cure in problems.values())
