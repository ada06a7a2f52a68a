"""A beginner's mistakes: at most five lines that say what, why and what to do next, and a documented exit code."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hiddenstate import Client, ProblemError
from hiddenstate.cli.faults import ExitCode, refused
from hiddenstate.sending.shapes import Observation
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
    told, *fault = result.err.splitlines()
    assert "waiting 10 s" in told
    assert "--data-dir OTHER, or stop the other service" in told
    assert len(fault) == 3


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


def test_a_session_id_with_a_slash_gets_the_nearest_that_can_be() -> None:
    result = run("observe", "s/1", "1", "--create")
    assert_helpful(result, ExitCode.REFUSED, "nearest allowed is s-1", "an id that is allowed")


@pytest.fixture(scope="module")
def old(service: Running) -> str:
    """A session of three days."""
    with Client(service.url) as client:
        days: list[Observation] = [{"timestamp": f"2026-01-0{day}", "value": float(day)} for day in (1, 2, 3)]
        return client.put_session("mistakes-old", days, freq="D").session


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("yesterday", ("ISO 8601", "2026-11-21T08:00")),
        ("2026-01-03", ("hiddenstate correct mistakes-old 2026-01-03 VALUE",)),
        ("2025-12-31", ("already holds 2026-01-03", "hiddenstate correct mistakes-old KEY VALUE")),
        ("2026-01-04T07:00", ("next: give the time of a step, such as 2026-01-04",)),
        ("2027-01-01", ("362 observations are missing", "hiddenstate observe mistakes-old null --at")),
    ],
)
def test_a_refused_observation_is_told_once_and_with_the_command_that_helps(
    at: str, words: tuple[str, ...], service: Running, old: str
) -> None:
    with Client(service.url) as client, pytest.raises(ProblemError) as refusal:
        client.observe(old, 9, timestamp=at)
    told = "\n".join(refused(refusal.value, service.url).lines)
    assert [word for word in words if word not in told] == [], told
    assert told.count("ISO 8601") + told.count("after the last") + told.count("older") <= 1, told


def test_an_address_with_a_path_that_is_no_service(service: Running) -> None:
    with Client(f"{service.url}/docs") as client, pytest.raises(ProblemError) as refusal:
        client.status()
    *_, cure = refused(refusal.value, client.url).lines
    assert cure.startswith("  next: set HIDDENSTATE_URL to the address of a service, such as http://127.0.0.1:8000")
    assert client.url in cure


def test_a_model_that_is_not_there_is_told_also_where_no_session_is_new(
    service: Running, old: str, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(f"unique_id,ds,y\n{old},2026-01-03,3\n")
    result = run("push", str(tmp_path / "a.csv"), "--freq", "D", "--model", "nope", HIDDENSTATE_URL=service.url)
    assert_helpful(result, ExitCode.REFUSED, "no model of that name", "another --model")


def test_a_folder_of_models_that_is_not_there() -> None:
    assert_helpful(run("serve", "--models-dir", "/nonexistent"), ExitCode.CANNOT_START, "/nonexistent", "--models-dir")


def test_a_store_to_fill_that_is_not_there(silent: int, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("unique_id,ds,y\na,2026-01-03,3\n")
    address = f"127.0.0.1:{silent}/0"
    result = run("backfill", str(tmp_path / "a.csv"), "--freq", "D", "--store-url", f"redis://:secret@{address}")
    assert_helpful(result, ExitCode.UNREACHABLE, address, "--store-url")
    assert "secret" not in result.err


def test_a_correction_that_is_no_number() -> None:
    assert_helpful(run("correct", "a", "2026-01-01", "nan"), ExitCode.USAGE, "hiddenstate correct a 2026-01-01 118")


def test_a_value_that_is_no_number() -> None:
    assert_helpful(run("observe", "a", "12,5"), ExitCode.USAGE, "12,5", "hiddenstate observe a 118")


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
