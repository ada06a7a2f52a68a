"""What push says of a file's frequency, and of the steps that the file lacks."""

import os
from pathlib import Path

import pandas as pd
import pytest

from hiddenstate import Client
from hiddenstate.cli.faults import ExitCode
from tests.hiddenstate.command import Result, run
from tests.hiddenstate.conftest import Running


@pytest.fixture
def prefix() -> str:
    return f"gaps-{os.urandom(4).hex()}-"


def write(file: Path, **series: list[str]) -> Path:
    """A file with one value for each of these times."""
    rows = [f"{name},{at},{number}\n" for name, times in series.items() for number, at in enumerate(times)]
    file.write_text("unique_id,ds,y\n" + "".join(rows))
    return file


def push(service: Running, file: Path, prefix: str, *options: str, code: ExitCode = ExitCode.DONE) -> Result:
    result = run("push", str(file), "--prefix", prefix, *options, HIDDENSTATE_URL=service.url)
    assert result.code == code, result.lines
    return result


def test_steps_that_the_file_lacks_are_counted_and_the_worst_session_is_named(
    service: Running, prefix: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "a.csv", whole=["2026-01-01", "2026-01-02"], holed=["2020-01-01", "2023-01-01"])
    first = push(service, file, prefix, "--freq", "D")
    assert "2 sessions created, 4 rows applied, 0 known already, 1,095 steps filled in" in first.out
    assert f"{prefix}holed: 1,095 of its 1,097 new steps are not in the file" in first.err
    write(file, whole=["2026-01-01", "2026-01-02", "2026-01-05", "2026-01-06"])
    later = push(service, file, prefix, "--freq", "D")
    assert "0 sessions created, 2 rows applied, 2 known already, 2 steps filled in" in later.out
    assert "new steps are not in the file" not in later.err
    assert "filled in" not in push(service, file, prefix, "--freq", "D").out


def test_without_freq_it_is_that_of_the_times_and_said(
    client: Client, service: Running, prefix: str, tmp_path: Path
) -> None:
    ends = [str(at.date()) for at in pd.date_range("2024-01-31", periods=29, freq="ME")]
    result = push(service, write(tmp_path / "a.csv", a=ends), prefix)
    assert "freq ME, which most times of the file have; --freq gives another" in result.err
    assert "filled in" not in result.out
    session = client.session(f"{prefix}a")
    assert (session.freq, session.step) == ("ME", 29)
    assert session.warnings[0]["detail"] in result.err


def test_times_that_tell_no_freq_are_said_to(client: Client, service: Running, prefix: str, tmp_path: Path) -> None:
    result = push(service, write(tmp_path / "a.csv", a=["2020-01-01", "2020-01-20"]), prefix)
    assert "the times of the file tell no frequency" in result.err
    assert "18 steps filled in" in result.out
    assert client.session(f"{prefix}a").freq == "D"


def test_a_freq_is_looked_at_also_where_the_sessions_are_there(service: Running, prefix: str, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", a=["2026-01-05", "2026-01-06"])
    push(service, file, prefix, "--freq", "1D")
    old = push(service, file, prefix, "--freq", "M", code=ExitCode.USAGE)
    assert "month end is ME" in old.err
    push(service, file, prefix, "--freq", "W", code=ExitCode.REFUSED)
    assert "has the freq D, not W" in (tmp_path / "a.csv.failures.csv").read_text()
    assert "2 known already" in push(service, file, prefix, "--freq", "D").out
