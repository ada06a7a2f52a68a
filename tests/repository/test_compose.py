"""docker-compose.yml and Dockerfile: valid, and what they start works as plain processes on this machine."""

import json
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import yaml

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
    assert "\nUSER hiddenstate\n" in last_stage
    assert "slim" in last_stage.splitlines()[0]


def test_image_and_compose_file_check_health_in_the_same_way() -> None:
    assert instruction("HEALTHCHECK") == compose()["services"]["service"]["healthcheck"]["test"][1:]
