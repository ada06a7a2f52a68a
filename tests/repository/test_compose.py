"""docker-compose.yml and Dockerfile: valid, and what they start works as plain processes on this machine."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from hiddenstate import Client
from service.storage.embedded import server_binary
from tests.deployments import free_port
from tests.hiddenstate.command import environment

ROOT = Path(__file__).parents[2]


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


def instruction(name: str) -> list[str]:
    """The arguments of the last such instruction of the Dockerfile, in its JSON form."""
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    found = [line for line in lines if line.startswith(f"{name} ")]
    arguments = found[-1][found[-1].index("[") :]
    return [str(argument) for argument in json.loads(arguments)]


def test_the_compose_file_is_valid_against_the_compose_schema() -> None:
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    jsonschema.validate(compose(), schema)


def test_every_service_has_a_health_check_and_the_store_a_volume() -> None:
    services = compose()["services"]
    assert all("healthcheck" in service for service in services.values())
    assert services["store"]["volumes"] == ["store:/data"]
    assert services["service"]["depends_on"]["store"]["condition"] == "service_healthy"


def test_the_store_loses_nothing_it_acknowledged_and_evicts_nothing() -> None:
    flags = shlex.join(compose()["services"]["store"]["command"])
    assert "--appendonly yes --appendfsync always" in flags
    assert "--maxmemory-policy noeviction" in flags


def test_the_image_runs_as_a_user_without_privileges() -> None:
    last_stage = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert "\nUSER 10001\n" in last_stage
    assert "--uid 10001 " in last_stage
    assert "slim" in last_stage.splitlines()[0]


def test_image_and_compose_file_check_health_in_the_same_way() -> None:
    assert instruction("HEALTHCHECK") == compose()["services"]["service"]["healthcheck"]["test"][1:]


def test_what_the_compose_file_starts_works_as_plain_processes(tmp_path: Path) -> None:
    services = compose()["services"]
    store_port, port = free_port(), free_port()
    settings = dict(services["service"]["environment"])
    store = settings["HIDDENSTATE_STORE_URL"].replace("store:6379", f"127.0.0.1:{store_port}")
    settings |= {"HIDDENSTATE_STORE_URL": store, "HIDDENSTATE_PORT": str(port)}
    command = [sys.executable, "-m", *instruction("ENTRYPOINT"), *services["service"]["command"]]
    check = [argument.replace(":8000/", f":{port}/") for argument in instruction("HEALTHCHECK")]
    server, *flags = services["store"]["command"]
    assert server == "valkey-server"
    with (
        plain([str(server_binary()), *flags, "--port", str(store_port)], tmp_path, tmp_path / "store.log"),
        plain(command, tmp_path, tmp_path / "service.log", **settings) as service,
    ):
        assert service.stdout is not None
        assert "is ready" in service.stdout.readline(), (tmp_path / "service.log").read_text()
        assert subprocess.run([sys.executable, *check[1:]], timeout=120).returncode == 0
        with Client(f"http://127.0.0.1:{port}") as client:
            assert client.observe("store-42", 118.0, create=True).step == 1
            found = client.status().store
    assert (found["durability"], found["eviction"], found["persistence"]) == ("local", "noeviction", "aof always")
    assert (tmp_path / "appendonlydir").is_dir()


@contextmanager
def plain(command: list[str], folder: Path, log: Path, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A process in `folder`, asked to stop at the end, which it must do without complaint."""
    with (
        log.open("w") as messages,
        subprocess.Popen(
            command, cwd=folder, env=environment(**variables), stdout=subprocess.PIPE, stderr=messages, text=True
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
    assert process.returncode == 0, log.read_text()
