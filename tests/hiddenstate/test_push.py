"""The push command: real files through a real service, also where push or service are killed in between."""

import csv
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from hiddenstate import Client, ProblemError, ServiceUnreachable
from hiddenstate.cli.faults import ExitCode
from hiddenstate.files import pushing, tables
from hiddenstate.files.failures import Failures
from hiddenstate.files.pushing import Push, Pushed
from hiddenstate.files.tables import SeriesFile
from hiddenstate.files.taken import Taken
from hiddenstate.sending.calls import ARROW
from hiddenstate.sending.shapes import Observation, OnConflict, Settings
from tests.deployments import deployment
from tests.hiddenstate.command import Result, environment, run
from tests.hiddenstate.conftest import Running
from tests.hiddenstate.files import sales
from tests.service.processes import ServiceProcess, process

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.fixture
def prefix() -> str:
    return f"push-{os.urandom(4).hex()}-"


def push(url: str, file: Path, prefix: str, *options: str) -> Result:
    return run("push", str(file), "--freq", "D", "--prefix", prefix, *options, HIDDENSTATE_URL=url)


def days_of(frame: pd.DataFrame, name: str) -> list[Observation]:
    rows = frame[frame["unique_id"] == name]
    return [
        {"timestamp": str(at.date()), "value": None if pd.isna(y) else float(y)}
        for at, y in zip(rows["ds"], rows["y"], strict=True)
    ]


def assert_as_created_whole(client: Client, frame: pd.DataFrame, prefix: str) -> None:
    """Every series has the state of a session that was created with all of its rows."""
    for name in frame["unique_id"].unique():
        days = days_of(frame, name)
        client.put_session(f"whole-{prefix}{name}", days, freq="D")
        pushed, whole = (client.session(f"{begin}{prefix}{name}") for begin in ("", "whole-"))
        assert pushed.step == whole.step, name
        assert pushed.scores == whole.scores, name
        forecasts = [client.forecast(f"{begin}{prefix}{name}", 14).forecasts for begin in ("", "whole-")]
        assert forecasts[0] == forecasts[1], name


@pytest.mark.parametrize("order", [["unique_id", "ds"], ["ds", "unique_id"]])
def test_each_series_ends_as_if_created_whole(
    client: Client, service: Running, prefix: str, tmp_path: Path, order: list[str]
) -> None:
    frame = sales(4, 40).sort_values(order)
    frame.loc[7, "y"] = None
    frame.to_parquet(tmp_path / "sales.parquet")
    result = push(service.url, tmp_path / "sales.parquet", prefix)
    assert result.code == ExitCode.DONE, result.lines
    assert "4 sessions created" in result.out
    assert_as_created_whole(client, frame, prefix)
    assert list(tmp_path.iterdir()) == [tmp_path / "sales.parquet"]


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts and batches so small that each series is created with a few rows and goes on in several batches."""
    monkeypatch.setattr(tables, "PART_ROWS", 50)
    monkeypatch.setattr(pushing, "BATCH_ROWS", 16)


def push_here(client: Client, file: Path, prefix: str, *, correcting: bool = False, create: bool = True) -> Pushed:
    with Failures(file.with_name("failures.csv")) as failures:
        return Push(
            client,
            SeriesFile(file),
            covariates=Taken(),
            settings=Settings(freq="D"),
            freq="D",
            create=create,
            on_conflict="correct" if correcting else "reject",
            prefix=prefix,
            failures=failures,
            done=lambda rows: None,
        ).run()


@pytest.mark.parametrize("order", [["unique_id", "ds"], ["ds", "unique_id"]])
@pytest.mark.usefixtures("in_pieces")
def test_in_pieces_it_ends_as_if_created_whole_and_again_changes_nothing(
    client: Client, prefix: str, tmp_path: Path, order: list[str]
) -> None:
    frame, file = sales(3, 130).sort_values(order), tmp_path / "sales.parquet"
    frame.to_parquet(file)
    pushed = push_here(client, file, prefix)
    assert (pushed.created, pushed.applied, pushed.replayed, pushed.older) == (3, len(frame), 0, 0)
    assert_as_created_whole(client, frame, prefix)
    etags = [client.session(f"{prefix}00{n}").etag for n in range(3)]
    again = push_here(client, file, prefix)
    assert (again.created, again.applied, again.replayed + again.older) == (0, 0, len(frame))
    assert [client.session(f"{prefix}00{n}").etag for n in range(3)] == etags


class Forgetful(Client):
    """Loses the answer to every other batch, after the service has given it."""

    batches = 0

    def observe_table(
        self, rows: bytes, *, on_conflict: OnConflict = "reject", content_type: str = ARROW
    ) -> bytes:
        answer = super().observe_table(rows, on_conflict=on_conflict, content_type=content_type)
        self.batches += 1
        if self.batches % 2:
            raise ServiceUnreachable(self.url, "the answer was lost")
        return answer


def test_rows_whose_answers_were_lost_count_once_also_where_they_are_too_old_to_be_compared(
    service: Running, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "PART_ROWS", 150)
    monkeypatch.setattr(pushing, "WAITS_S", (0.01, 0.01))
    frame, file = sales(1, 450), tmp_path / "sales.parquet"
    frame.to_parquet(file)
    with Forgetful(service.url) as client:
        pushed = push_here(client, file, prefix)
        assert client.batches == 2
        assert not (tmp_path / "failures.csv").exists()
        assert (pushed.applied, pushed.older + pushed.replayed) == (300, 150)
        assert_as_created_whole(client, frame, prefix)


@pytest.mark.usefixtures("in_pieces")
def test_a_longer_file_sends_what_is_new(client: Client, prefix: str, tmp_path: Path) -> None:
    frame, file = sales(2, 120), tmp_path / "sales.parquet"
    frame[frame["ds"] < "2026-04-01"].to_parquet(file)
    push_here(client, file, prefix)
    frame.to_parquet(file)
    assert push_here(client, file, prefix).applied == len(frame[frame["ds"] >= "2026-04-01"])
    assert_as_created_whole(client, frame, prefix)


@pytest.mark.usefixtures("in_pieces")
def test_revised_values_correct_where_that_is_asked(client: Client, prefix: str, tmp_path: Path) -> None:
    frame, file = sales(2, 60), tmp_path / "sales.parquet"
    frame.to_parquet(file)
    push_here(client, file, prefix)
    frame.loc[58, "y"] = 7.0
    frame.to_parquet(file)
    push_here(client, file, prefix)
    assert "out-of-order" in (tmp_path / "failures.csv").read_text()
    push_here(client, file, prefix, correcting=True)
    assert not (tmp_path / "failures.csv").exists()
    [record] = [one for one in client.records(f"{prefix}000") if one.step == 59]
    assert (record.value, record.original is None) == (7.0, False)


def test_rows_without_ds_are_counted(client: Client, service: Running, prefix: str, tmp_path: Path) -> None:
    file = tmp_path / "counted.csv"
    sales(3, 80).drop(columns="ds").to_csv(file, index=False)
    for _ in range(2):
        result = run("push", str(file), "--prefix", prefix, HIDDENSTATE_URL=service.url)
        assert result.code == ExitCode.DONE, result.lines
    assert [client.session(f"{prefix}00{n}").step for n in range(3)] == [80, 81, 82]


def test_refused_rows_go_to_a_file_that_can_be_mended_and_pushed(
    client: Client, service: Running, prefix: str, tmp_path: Path
) -> None:
    frame = sales(3, 30)
    days = frame["ds"].dt.strftime("%Y-%m-%d").tolist()
    frame["ds"] = [*days[:12], f"{days[12]}T07:30:00", *days[13:]]
    frame.loc[40, "y"] = float("inf")
    frame["note"] = 5
    file = tmp_path / "sales.csv"
    frame.to_csv(file, index=False)
    result = push(service.url, file, prefix)
    assert result.code == ExitCode.REFUSED, result.lines
    assert "left out, the model does not take them: note" in result.err
    failures = tmp_path / "sales.csv.failures.csv"
    rows = list(csv.DictReader(failures.read_text().splitlines()))
    assert [(row["unique_id"], row["problem"]) for row in rows] == [("000", "off-grid"), ("001", "invalid-request")]
    assert [client.session(f"{prefix}00{n}").step for n in range(3)] == [30, 31, 32]
    failures.write_text(failures.read_text().replace("T07:30:00", "").replace("inf", "2.5"))
    mended = push(service.url, failures, prefix, "--on-conflict", "correct")
    assert mended.code == ExitCode.DONE, mended.lines
    assert [one.imputed for one in client.records(f"{prefix}001") if one.value == 2.5] == [False]


def test_a_series_that_cannot_be_is_refused_whole(
    client: Client, service: Running, prefix: str, tmp_path: Path
) -> None:
    frame = sales(2, 5)
    frame.loc[frame["unique_id"] == "000", "unique_id"] = "no id"
    frame.to_csv(tmp_path / "sales.csv", index=False)
    assert push(service.url, tmp_path / "sales.csv", prefix).code == ExitCode.REFUSED
    rows = list(csv.DictReader((tmp_path / "sales.csv.failures.csv").read_text().splitlines()))
    assert {(row["unique_id"], row["problem"]) for row in rows} == {("no id", "invalid-request")}
    assert client.session(f"{prefix}001").step == 6


def test_rows_of_unknown_sessions_are_refused_where_none_is_to_be_created(
    service: Running, prefix: str, tmp_path: Path
) -> None:
    sales(1, 5).to_csv(tmp_path / "sales.csv", index=False)
    assert push(service.url, tmp_path / "sales.csv", prefix, "--no-create").code == ExitCode.REFUSED
    assert "session-not-found" in (tmp_path / "sales.csv.failures.csv").read_text()


def test_rows_that_stand_newest_first_are_not_pushed(
    client: Client, service: Running, prefix: str, tmp_path: Path
) -> None:
    sales(2, 5).sort_values("ds", ascending=False).to_csv(tmp_path / "sales.csv", index=False)
    result = push(service.url, tmp_path / "sales.csv", prefix)
    assert result.code == ExitCode.USAGE
    assert "sort the file by ds" in result.err
    assert client.sessions_page(prefix=prefix).sessions == []


SMALL_PARTS = (
    "from hiddenstate.files import pushing, tables; tables.PART_ROWS = 600; pushing.BATCH_ROWS = 100;"
    "from hiddenstate.cli import main; main()"
)


def started(url: str, file: Path, prefix: str) -> "subprocess.Popen[str]":
    """The command at work, in parts and batches so small that it is at it for a while."""
    command = [sys.executable, "-c", SMALL_PARTS, "push", str(file), "--freq", "D", "--prefix", prefix]
    return subprocess.Popen(
        command, env=environment(HIDDENSTATE_URL=url), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_beyond(client: Client, session: str, step: int) -> None:
    """Wait until there is the session and it is at a later step."""
    while True:
        with suppress(ProblemError):
            if client.session(session).step > step:
                return
        time.sleep(0.02)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service that a test may kill."""
    (tmp_path / "models").mkdir()
    with process(tmp_path / "models", tmp_path, default_model="daily") as service:
        yield service


@pytest.mark.parametrize("order", [["unique_id", "ds"], ["ds", "unique_id"]])
def test_push_killed_again_and_again_ends_as_if_it_had_not_been(
    own: ServiceProcess, tmp_path: Path, prefix: str, order: list[str]
) -> None:
    frame, file = sales(20, 200).sort_values(order), tmp_path / "sales.parquet"
    frame.to_parquet(file)
    watched = f"{prefix}{'019' if order[0] == 'ds' else '005'}"
    with Client(own.url) as client:
        for step in (0, 30, 60) if order[0] == "ds" else (0,):
            pushing = started(own.url, file, prefix)
            wait_beyond(client, watched, step)
            pushing.kill()
            pushing.communicate()
            assert pushing.returncode == -signal.SIGKILL, "it ended before it was killed"
        assert push(own.url, file, prefix).code == ExitCode.DONE
        assert_as_created_whole(client, frame, prefix)


def test_interrupted_it_says_that_it_goes_on(client: Client, service: Running, prefix: str, tmp_path: Path) -> None:
    file = tmp_path / "sales.parquet"
    sales(20, 200).to_parquet(file)
    pushing = started(service.url, file, prefix)
    wait_beyond(client, f"{prefix}003", 0)
    pushing.send_signal(signal.SIGINT)
    said, _ = pushing.communicate()
    assert pushing.returncode == ExitCode.INTERRUPTED, said
    assert "the same command goes on where it was" in said


def test_a_service_that_is_killed_is_waited_for_and_no_row_counts_twice(
    own: ServiceProcess, tmp_path: Path, prefix: str
) -> None:
    frame, file = sales(20, 200).sort_values(["ds", "unique_id"]), tmp_path / "sales.parquet"
    frame.to_parquet(file)
    with Client(own.url) as client:
        pushing = started(own.url, file, prefix)
        for step in (0, 60):
            wait_beyond(client, f"{prefix}000", step)
            own.kill()
            own.start()
        said, _ = pushing.communicate()
        assert pushing.returncode == ExitCode.DONE, said
        assert_as_created_whole(client, frame, prefix)


def test_a_service_that_is_not_there_is_said(prefix: str, tmp_path: Path) -> None:
    sales(1, 5).to_csv(tmp_path / "sales.csv", index=False)
    result = push("http://127.0.0.1:1", tmp_path / "sales.csv", prefix)
    assert result.code == ExitCode.UNREACHABLE
    assert "the same command goes on where it was" in result.err
    assert len(result.lines) <= 5


def test_the_lines_of_the_readme_work(client: Client, service: Running, tmp_path: Path) -> None:
    shown = README.split("## Your own file")[1].split("\n## ")[0]
    lines = [line.partition("#")[0] for line in shown.splitlines() if line.startswith("hiddenstate")]
    assert len(lines) == 3
    frame = sales(3, 40)
    frame["unique_id"] = f"store-{os.urandom(3).hex()}-" + frame["unique_id"]
    frame.to_csv(tmp_path / "sales.csv", index=False)
    with deployment("redis") as store:
        for line in lines:
            _, *arguments = shlex.split(line.replace("redis://127.0.0.1:6379/0", store.url))
            result = run(*arguments, cwd=tmp_path, HIDDENSTATE_URL=service.url)
            assert result.code == ExitCode.DONE, (line, result.lines)
    assert client.session(str(frame["unique_id"].iloc[0])).step == 40
