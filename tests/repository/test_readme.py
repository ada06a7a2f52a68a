"""README.md lists every setting with its default, every command and exit code, and nothing that is not there."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from hiddenstate.cli import app
from hiddenstate.cli.faults import ExitCode
from service.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_listed_with_its_default(name: str) -> None:
    default = Settings.model_fields[name].default
    shown = "" if default is None else f"`{default}`"
    row = next((line for line in README.splitlines() if line.startswith(f"| `HIDDENSTATE_{name.upper()}` ")), "")
    assert [cell.strip() for cell in row.split("|")[2:3]] == [shown], f"HIDDENSTATE_{name.upper()}: {row!r}"


def test_no_setting_is_listed_that_does_not_exist() -> None:
    listed = set(re.findall(r"^\| `HIDDENSTATE_([A-Z_]+)` ", README, re.M))
    assert listed - {name.upper() for name in Settings.model_fields} == {"URL", "API_KEY"}


def test_every_command_is_listed_and_no_other() -> None:
    listed = set(re.findall(r"^\| `hiddenstate ([a-z]+)", README, re.M))
    assert listed == set(getattr(get_command(app), "commands", {}))


@pytest.mark.parametrize("code", ExitCode)
def test_every_exit_code_is_listed(code: ExitCode) -> None:
    assert re.search(rf"^\| {code.value} \|", README, re.M)


def test_every_link_to_a_file_leads_to_one() -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"\bmake ([a-z]+)", README)) <= targets
