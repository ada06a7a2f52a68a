"""The forecast command for many sessions: what the service answers for each, as rows of a file."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from hiddenstate import Client
from hiddenstate.cli.faults import ExitCode
from hiddenstate.sending.shapes import Observation
from tests.hiddenstate.command import Result, run
from tests.hiddenstate.conftest import Running


@pytest.fixture
def prefix(service: Running) -> str:
    """Begins the ids of two sessions that have observations, and of one that has none."""
    begins = f"many-{os.urandom(4).hex()}-"
    with Client(service.url) as client:
        for name, first in (("a", 5.0), ("b", 50.0)):
            days: list[Observation] = [
                {"timestamp": f"2026-10-{day:02}", "value": first + day % 7} for day in range(1, 31)
            ]
            client.put_session(begins + name, days, freq="D")
        client.put_session(f"{begins}empty", freq="D")
        while len(client.sessions_page(prefix=begins).sessions) < 3:
            time.sleep(0.05)  # the list may lag a little
    return begins


def forecast(service: Running, prefix: str, out: Path, *options: str) -> Result:
    return run("forecast", "--prefix", prefix, "--out", str(out), *options, HIDDENSTATE_URL=service.url)


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".parquet": pd.read_parquet,
    ".csv": pd.read_csv,
    ".arrow": pd.read_feather,
}


@pytest.mark.parametrize("ending", READERS)
def test_the_rows_are_the_forecasts_of_each_session(
    service: Running, prefix: str, tmp_path: Path, ending: str
) -> None:
    out = tmp_path / f"f{ending}"
    result = forecast(service, prefix, out, "--horizon", "14", "--levels", "80")
    assert result.code == ExitCode.DONE, result.lines
    assert "1 sessions have no forecast" in result.err
    frame = READERS[ending](out)
    with Client(service.url) as client:
        for name in ("a", "b"):
            rows = frame[frame["unique_id"] == prefix + name]
            answer = client.forecast(prefix + name, 14, [80]).forecasts
            assert rows["yhat"].tolist() == [one.value for one in answer]
            assert rows["yhat-lo-80"].tolist() == [one.quantiles["0.1"] for one in answer]
            assert rows["ds"].astype(str).str[:10].tolist() == [str(one.timestamp) for one in answer]
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("ending", [".xlsx", ""])
def test_an_unknown_format_is_said(service: Running, tmp_path: Path, ending: str) -> None:
    result = forecast(service, "any", tmp_path / f"f{ending}")
    assert result.code == ExitCode.USAGE
    assert ".parquet, .csv, .arrow" in result.err


@pytest.mark.parametrize("arguments", [[], ["a", "--prefix", "b"], ["--prefix", "b"], ["a", "--out", "f.csv"]])
def test_it_must_be_said_which_forecasts_are_meant(service: Running, arguments: list[str]) -> None:
    result = run("forecast", *arguments, HIDDENSTATE_URL=service.url)
    assert result.code == ExitCode.USAGE
    assert "--prefix store- --out" in result.err


def test_where_no_session_has_a_forecast_the_exit_code_says_so(
    service: Running, prefix: str, tmp_path: Path
) -> None:
    result = forecast(service, prefix, tmp_path / "f.csv", "--horizon", "100000")
    assert result.code == ExitCode.REFUSED
    assert "horizon" in (tmp_path / "f.csv").read_text()


def test_without_a_service_there_is_no_file(tmp_path: Path) -> None:
    result = run("forecast", "--prefix", "a", "--out", str(tmp_path / "f.csv"), HIDDENSTATE_URL="http://127.0.0.1:1")
    assert result.code == ExitCode.UNREACHABLE
    assert list(tmp_path.iterdir()) == []
