"""A machine that only talks to a service installs no torch, no FastAPI and no numpy, and loses nothing by it."""

import subprocess
import sys

import pytest

from hiddenstate.cli.faults import ExitCode
from tests.hiddenstate.command import environment

SERVER_PARTS = (
    "fastapi", "matplotlib", "msgspec", "numpy", "onnxruntime", "orjson", "pandas", "pyarrow",
    "pydantic_settings", "redis", "torch", "uvicorn", "vega_datasets",
)  # fmt: skip


def run_without_server_parts(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = f"import sys; sys.modules.update(dict.fromkeys({SERVER_PARTS})); from hiddenstate.cli import main; main()"
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment())


def test_the_commands_are_there() -> None:
    done = run_without_server_parts("--help")
    assert done.returncode == 0, done.stderr
    assert "observe" in done.stdout


def test_talking_to_a_service_needs_no_server_part() -> None:
    done = run_without_server_parts("observe", "a", "x")
    assert done.returncode == ExitCode.USAGE
    assert "'x' is not a value" in done.stderr


COMMANDS = [
    ("serve",), ("demo",), ("push", "x.csv"), ("backfill", "x.csv"),
    ("train", "x.csv"), ("evaluate", "x.csv"), ("study", "unroll"),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_needs_them_says_what_to_install(command: tuple[str, ...]) -> None:
    done = run_without_server_parts(*command)
    assert done.returncode == ExitCode.CANNOT_START, done.stderr
    assert "pip install '.[server]'" in done.stderr
    assert len(done.stderr.splitlines()) <= 5
