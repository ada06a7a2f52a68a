"""The backfill command: a real file into a real store, read through a real service."""

import csv
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hiddenstate import Client
from hiddenstate.cli.faults import ExitCode
from models.artifacts.artifact import SHIPPED, Description, publish
from models.covariates import Covariates
from models.mixture import MixtureConfig
from service.sessions.registry import Registry
from tests.deployments import deployment
from tests.golden.publish_models import random_module
from tests.hiddenstate.command import COMMAND, Result, environment, run
from tests.hiddenstate.files import sales
from tests.service.conftest import serving
from tests.service.processes import is_alive


@pytest.fixture(scope="module")
def store_url() -> Iterator[str]:
    with deployment("redis") as running:
        yield running.url


@pytest.fixture(scope="module")
def client(store_url: str) -> Iterator[Client]:
    with (
        serving(Registry.load([SHIPPED], "daily"), store_url, default_model="daily") as service,
        Client(service.url) as client,
    ):
        yield client


@pytest.fixture
def prefix() -> str:
    return f"fill-{os.urandom(4).hex()}-"


def backfill(file: Path, store_url: str, prefix: str, *options: str) -> Result:
    return run("backfill", str(file), "--store-url", store_url, "--freq", "D", "--prefix", prefix, *options)


def test_each_series_is_as_the_service_would_have_folded_it(
    client: Client, store_url: str, prefix: str, tmp_path: Path
) -> None:
    frame = sales()
    frame.to_parquet(tmp_path / "sales.parquet")
    result = backfill(tmp_path / "sales.parquet", store_url, prefix)
    assert result.code == ExitCode.DONE, result.lines
    assert "5 sessions created" in result.out
    for name, rows in frame.groupby("unique_id"):
        days = [{"timestamp": str(at.date()), "value": y} for at, y in zip(rows["ds"], rows["y"], strict=True)]
        client.put_session(f"put-{prefix}{name}", days, freq="D")  # type: ignore[arg-type]
        both = [client.forecast(one, 14).forecasts for one in (f"{prefix}{name}", f"put-{prefix}{name}")]
        assert both[0] == both[1]
        assert client.put_session(f"{prefix}{name}", days, freq="D").step == len(days)  # type: ignore[arg-type]
        assert client.verify(f"{prefix}{name}").ok


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "arrow"])
def test_other_formats_give_the_same_sessions(
    client: Client, store_url: str, prefix: str, tmp_path: Path, ending: str
) -> None:
    frame, file = sales(2), tmp_path / f"sales.{ending}"
    frame.to_feather(file) if ending == "arrow" else frame.to_csv(file, index=False)
    frame.to_parquet(tmp_path / "same.parquet")
    assert backfill(file, store_url, prefix).code == ExitCode.DONE
    again = backfill(tmp_path / "same.parquet", store_url, prefix)
    assert "0 sessions created, 2 there already" in again.out


def test_rows_without_ds_are_counted(client: Client, store_url: str, prefix: str, tmp_path: Path) -> None:
    file = tmp_path / "counted.csv"
    sales(2).drop(columns="ds").to_csv(file, index=False)
    assert run("backfill", str(file), "--store-url", store_url, "--prefix", prefix).code == ExitCode.DONE
    assert [client.session(f"{prefix}{name}").step for name in ("000", "001")] == [50, 51]


def test_refused_series_go_to_a_file_that_can_be_mended_and_filled(
    client: Client, store_url: str, prefix: str, tmp_path: Path
) -> None:
    frame = sales(3)
    frame.loc[60, "y"] = np.inf
    file = tmp_path / "sales.csv"
    frame.to_csv(file, index=False)
    result = backfill(file, store_url, prefix)
    assert result.code == ExitCode.REFUSED
    assert "2 sessions created, 0 there already, 1 refused" in result.out
    failures = tmp_path / "sales.csv.failures.csv"
    rows = list(csv.DictReader(failures.read_text().splitlines()))
    assert {(row["unique_id"], row["problem"]) for row in rows} == {("001", "invalid-request")}
    assert len(rows) == 51
    failures.write_text(failures.read_text().replace("inf", "7.5"))
    assert backfill(failures, store_url, prefix).code == ExitCode.DONE
    assert client.session(f"{prefix}001").step == 51


def test_a_session_that_has_another_history_is_refused(
    client: Client, store_url: str, prefix: str, tmp_path: Path
) -> None:
    client.observe(f"{prefix}001", 5.0, timestamp="2026-01-01", create=True)
    sales(2).to_csv(tmp_path / "sales.csv", index=False)
    result = backfill(tmp_path / "sales.csv", store_url, prefix)
    assert result.code == ExitCode.REFUSED
    assert "session-exists" in (tmp_path / "sales.csv.failures.csv").read_text()
    assert client.session(f"{prefix}001").step == 1


def test_series_that_do_not_stand_together_are_not_stored_half(
    client: Client, store_url: str, prefix: str, tmp_path: Path
) -> None:
    sales(2).sort_values("ds").to_csv(tmp_path / "sales.csv", index=False)
    result = backfill(tmp_path / "sales.csv", store_url, prefix)
    assert result.code == ExitCode.USAGE
    assert "sort the file by unique_id and ds" in result.err
    assert client.sessions_page(prefix=prefix).sessions == []


def test_killed_it_goes_on_and_ends_with_every_session(
    client: Client, store_url: str, prefix: str, tmp_path: Path
) -> None:
    file = tmp_path / "sales.parquet"
    sales(9000, 20).to_parquet(file)
    arguments = ["backfill", str(file), "--store-url", store_url, "--freq", "D", "--prefix", prefix]
    process = subprocess.Popen([*COMMAND, *arguments], env=environment())
    while is_alive(process.pid) and not client.sessions_page(prefix=prefix, page_size=1).sessions:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    result = run(*arguments)
    assert result.code == ExitCode.DONE, result.lines
    created, there = (int(result.out.replace(",", "").split()[index]) for index in (0, 3))
    assert created + there == 9000
    assert min(created, there) > 0
    assert client.session(f"{prefix}000").step == 20


def test_a_store_must_be_named(tmp_path: Path) -> None:
    sales(1).to_csv(tmp_path / "a.csv", index=False)
    result = run("backfill", str(tmp_path / "a.csv"))
    assert result.code == ExitCode.USAGE
    assert "--store-url" in result.err
    assert len(result.err.splitlines()) <= 5


def test_a_store_that_is_not_there_is_said(tmp_path: Path) -> None:
    sales(1).to_csv(tmp_path / "a.csv", index=False)
    result = run("backfill", str(tmp_path / "a.csv"), "--store-url", "redis://127.0.0.1:1/0")
    assert result.code == ExitCode.UNREACHABLE
    assert "goes on where it was" in result.err
    assert not list(tmp_path.glob("*.failures*"))


def test_a_file_with_covariates_that_the_model_takes_is_left_to_push(
    store_url: str, prefix: str, tmp_path: Path
) -> None:
    taken = Covariates(("rain",), (), (), (2.0,), (1.0,))
    module = random_module(MixtureConfig(hidden=8, covariates=taken), seed=4)
    publish(module, Description("visits", 1, ["D"], 28, "# visits\n"), tmp_path / "models")
    frame = sales(2).assign(rain=1.0, snow=0.0)
    options = ("--models-dir", str(tmp_path / "models"), "--model", "visits")
    frame.to_csv(tmp_path / "with.csv", index=False)
    result = backfill(tmp_path / "with.csv", store_url, prefix, *options)
    assert result.code == ExitCode.USAGE
    assert "the model visits@1 takes rain, and a backfill folds values alone" in " ".join(result.lines)
    frame.drop(columns="rain").to_csv(tmp_path / "without.csv", index=False)
    result = backfill(tmp_path / "without.csv", store_url, prefix, *options)
    assert (result.code, "2 sessions created" in result.out) == (ExitCode.DONE, True), result.lines
    assert "left out, the model does not take them: snow" in " ".join(result.lines)
