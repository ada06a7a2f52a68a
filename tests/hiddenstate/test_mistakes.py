"""A beginner's mistakes: at most five lines that say what, why and what to do next, and a documented exit code."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hiddenstate.cli.faults import ExitCode
from tests.hiddenstate.command import Result, run
from tests.hiddenstate.conftest import Running


def assert_helpful(result: Result, code: ExitCode, *words: str) -> None:
    assert result.code == code, result.lines
    assert 1 < len(result.lines) <= 5, result.lines
    assert [word for word in words if word not in "\n".join(result.lines)] == [], result.lines


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.fixture
def silent() -> Iterator[int]:
    """A port on which nobody answers."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        yield other.getsockname()[1]


def test_a_port_in_use(taken: int) -> None:
    result = run("serve", "--port", str(taken))
    assert_helpful(result, ExitCode.CANNOT_START, f"port {taken} is in use", "--port 0")


def test_an_address_of_another_machine() -> None:
    assert_helpful(run("serve", "--host", "192.0.2.1"), ExitCode.CANNOT_START, "192.0.2.1", "--host")


def test_a_host_that_is_no_address(tmp_path: Path) -> None:
    assert_helpful(run("serve", "--host", "no such host"), ExitCode.USAGE, "--host 127.0.0.1")


def test_a_data_directory_in_use(service: Running) -> None:
    result = run("serve", "--port", "0", "--data-dir", str(service.data_dir))
    assert_helpful(result, ExitCode.CANNOT_START, "is in use", "--data-dir", "process")


def test_a_data_directory_that_cannot_be_made() -> None:
    assert_helpful(run("serve", "--port", "0", "--data-dir", "/dev/null/x"), ExitCode.CANNOT_START, "/dev/null/x")


def test_a_store_that_cannot_be_reached(silent: int) -> None:
    result = run("serve", "--port", "0", "--store-url", f"redis://:secret@127.0.0.1:{silent}/0")
    assert_helpful(result, ExitCode.CANNOT_START, "the store cannot be reached", str(silent), "--store-url")
    assert "secret" not in result.err


def test_a_store_address_of_an_unknown_kind() -> None:
    result = run("serve", "--port", "0", "--store-url", "postgres://localhost/x")
    assert_helpful(result, ExitCode.USAGE, "redis://127.0.0.1:6379/0")


def test_a_setting_that_cannot_be_read() -> None:
    result = run("serve", HIDDENSTATE_PORT="eight")
    assert_helpful(result, ExitCode.USAGE, "port", "HIDDENSTATE_PORT")


@pytest.mark.parametrize("command", [("observe", "a", "1"), ("forecast", "a"), ("sessions",), ("demo",)])
def test_no_service_running(command: tuple[str, ...], silent: int, tmp_path: Path) -> None:
    result = run(*command, cwd=tmp_path, HIDDENSTATE_URL=f"http://127.0.0.1:{silent}")
    assert_helpful(result, ExitCode.UNREACHABLE, str(silent), "hiddenstate serve", "HIDDENSTATE_URL")


def test_a_service_address_without_scheme() -> None:
    assert_helpful(run("sessions", HIDDENSTATE_URL="localhost:8000"), ExitCode.USAGE, "http://127.0.0.1:8000")


@pytest.mark.parametrize("command", ["forecast", "reset", "verify"])
def test_an_unknown_session(command: str, service: Running) -> None:
    result = run(command, "nobody", HIDDENSTATE_URL=service.url)
    assert_helpful(result, ExitCode.REFUSED, "nobody", "hiddenstate observe ID VALUE --create")


def test_an_unknown_session_with_json_is_the_problem_itself(service: Running) -> None:
    result = run("forecast", "nobody", "--json", HIDDENSTATE_URL=service.url)
    assert result.code == ExitCode.REFUSED
    assert json.loads(result.out)["type"] == "/problems/session-not-found"


def test_a_session_id_that_is_not_allowed(service: Running) -> None:
    result = run("observe", "store 42", "1", "--create", HIDDENSTATE_URL=service.url)
    assert_helpful(result, ExitCode.REFUSED, "store")


def test_a_value_that_is_no_number() -> None:
    assert_helpful(run("observe", "a", "12,5"), ExitCode.USAGE, "12,5", "hiddenstate observe store-42 118")


def test_a_mistyped_command() -> None:
    assert_helpful(run("obsrve", "a", "1"), ExitCode.USAGE, "observe")


def test_a_mistyped_option() -> None:
    assert_helpful(run("observe", "a", "1", "--crate"), ExitCode.USAGE, "--crate")


def test_levels_that_are_no_numbers() -> None:
    assert_helpful(run("forecast", "a", "--levels", "80%"), ExitCode.USAGE, "--levels 80,95")


def test_a_picture_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    result = run("demo", "--picture", str(tmp_path / "none" / "demo.png"))
    assert_helpful(result, ExitCode.USAGE, "no folder", "--picture demo.png")


def test_a_data_file_that_is_not_there(tmp_path: Path) -> None:
    assert_helpful(run("train", str(tmp_path / "sales.csv")), ExitCode.USAGE, "sales.csv", "no such file")


def test_a_data_file_of_an_unknown_format(tmp_path: Path) -> None:
    (tmp_path / "sales.xlsx").write_text("x")
    assert_helpful(run("train", str(tmp_path / "sales.xlsx")), ExitCode.USAGE, ".csv", ".parquet")


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_data_file_with_other_columns(command: str, tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text("store,day,amount\n1,2024-01-01,5\n")
    result = run(command, str(tmp_path / "sales.csv"))
    assert_helpful(result, ExitCode.USAGE, "'y'", "amount", "unique_id, ds, y")


def test_series_too_short_to_train_on(tmp_path: Path) -> None:
    (tmp_path / "tiny.csv").write_text("unique_id,ds,y\n" + "".join(f"a,2026-01-0{day},{day}\n" for day in range(1, 4)))
    result = run("train", str(tmp_path / "tiny.csv"), cwd=tmp_path)
    assert_helpful(result, ExitCode.USAGE, "14 steps", "16 values", "has 3", "longer series")
