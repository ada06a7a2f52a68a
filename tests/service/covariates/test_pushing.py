"""A file with covariates, pushed: what is known in advance, and what is static, come to its sessions."""

from pathlib import Path

import httpx2
import numpy as np
import pandas as pd
import pytest

from hiddenstate.cli.faults import ExitCode
from hiddenstate.client import Client
from hiddenstate.files import pushing, tables
from hiddenstate.files.failures import Failures
from hiddenstate.files.pushing import Push, Pushed
from hiddenstate.files.tables import SeriesFile
from hiddenstate.files.taken import Taken
from hiddenstate.files.unreadable import TableError
from hiddenstate.sending.shapes import OnConflict, Settings
from tests.hiddenstate.command import Result, run
from tests.service.conftest import Service
from tests.service.covariates.shops import Json, days_of
from tests.service.covariates.test_covariates import put
from tests.service.covariates.test_known_in_advance import same, told, untold

AREAS = {"a": 2.0, "b": 0.0, "c": 1.0}
DAYS = 47


@pytest.fixture
def shops(rng: np.random.Generator) -> dict[str, list[Json]]:
    return {name: days_of(rng, DAYS - at) for at, name in enumerate(AREAS)}


def frame_of(shops: dict[str, list[Json]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"unique_id": name, "ds": one["timestamp"], "y": one["value"], **one["covariates"], "area_km2": AREAS[name]}
            for name, days in shops.items()
            for one in days
        ]
    )


def push(service: Service, file: Path, prefix: str, *options: str) -> Result:
    return run("push", str(file), "--freq", "D", "--prefix", prefix, *options, HIDDENSTATE_URL=service.url)


def push_here(service: Service, file: Path, prefix: str, on_conflict: OnConflict = "reject") -> Pushed:
    with Client(service.url) as client, Failures(file.with_name("failures.csv")) as failures:
        whole = SeriesFile(file)
        return Push(
            client,
            whole,
            covariates=Taken.of([client.model("shop")], whole.covariates),
            settings=Settings(freq="D"),
            freq="D",
            create=True,
            on_conflict=on_conflict,
            prefix=prefix,
            failures=failures,
            done=lambda rows: None,
        ).run()


@pytest.mark.parametrize("order", [["unique_id", "ds"], ["ds", "unique_id"]])
@pytest.mark.parametrize("cut", [False, True])
def test_a_file_gives_the_bits_of_single_posts_that_say_what_was_known_wherever_it_is_cut(
    api: httpx2.Client,
    service: Service,
    name: str,
    shops: dict[str, list[Json]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    order: list[str],
    *,
    cut: bool,
) -> None:
    file = tmp_path / "shops.parquet"
    frame_of(shops).sort_values(order).to_parquet(file)
    for shop, days in shops.items():
        assert api.put(f"/v1/sessions/{name}.{shop}", json={"freq": "D", "static": {"area_km2": AREAS[shop]}})
        for one in told(days):
            assert api.post(f"/v1/sessions/{name}.{shop}/observations", json=one).status_code == 200
    if cut:
        monkeypatch.setattr(tables, "PART_ROWS", 10)
        monkeypatch.setattr(pushing, "BATCH_ROWS", 4)
        monkeypatch.setattr(pushing, "HISTORY_ROWS", 7)
    pushed = push_here(service, file, f"{name}-")
    assert (pushed.created, pushed.applied) == (3, sum(map(len, shops.values())))
    for shop in shops:
        same(api, f"{name}-{shop}", f"{name}.{shop}")
    again = push_here(service, file, f"{name}-")
    assert (again.applied, again.replayed + again.older) == (0, pushed.applied)
    assert not (tmp_path / "failures.csv").exists()


def test_a_longer_file_goes_on_where_the_last_observation_knew_nothing(
    api: httpx2.Client, service: Service, name: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    days, file = days_of(rng, 30), tmp_path / "shops.csv"
    frame = frame_of({"a": days})
    frame[:20].to_csv(file, index=False)
    push_here(service, file, f"{name}-")
    frame.to_csv(file, index=False)
    assert push_here(service, file, f"{name}-").applied == 10
    assert push_here(service, file, f"{name}-", "correct").applied == 0
    assert not (tmp_path / "failures.csv").exists()
    api.put(f"/v1/sessions/{name}.a", json={"freq": "D", "static": {"area_km2": 2.0}})
    for one in [*told(days[:20]), *told(days)[20:]]:
        assert api.post(f"/v1/sessions/{name}.a/observations", json=one).status_code == 200
    same(api, f"{name}-a", f"{name}.a")


def test_rows_that_leave_days_out_know_as_far_as_the_service_would_say(
    api: httpx2.Client,
    service: Service,
    name: str,
    rng: np.random.Generator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    days, file = days_of(rng, 30), tmp_path / "shops.csv"
    left = [one for at, one in enumerate(days) if at not in (8, 14, 15, 21)]
    frame_of({"a": left}).to_csv(file, index=False)
    put(api, f"{name}.a", untold(left), static={"area_km2": 2.0})
    monkeypatch.setattr(tables, "PART_ROWS", 4)
    monkeypatch.setattr(pushing, "BATCH_ROWS", 3)
    push_here(service, file, f"{name}-")
    same(api, f"{name}-a", f"{name}.a")


def test_rows_of_a_series_that_are_counted_know_ahead_too(
    api: httpx2.Client, service: Service, name: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    days, file = days_of(rng, 20), tmp_path / "a.csv"
    frame_of({"a": days}).drop(columns="ds").to_csv(file, index=False)
    result = run("push", str(file), "--prefix", f"{name}-", "--model", "shop", HIDDENSTATE_URL=service.url)
    assert result.code == ExitCode.DONE, result.lines
    counted = [{member: one[member] for member in ("value", "covariates")} for one in days]
    settings = {"model": "shop", "freq": None, "static": {"area_km2": 2.0}, "observations": counted}
    assert api.put(f"/v1/sessions/{name}.a", json=settings).status_code == 201
    same(api, f"{name}-a", f"{name}.a")


@pytest.mark.parametrize("options", [(), ("--model", "shop")])
def test_static_columns_come_with_the_session(
    api: httpx2.Client,
    service: Service,
    name: str,
    shops: dict[str, list[Json]],
    tmp_path: Path,
    options: tuple[str, ...],
) -> None:
    file = tmp_path / "shops.csv"
    frame_of(shops).assign(note=1).to_csv(file, index=False)
    result = push(service, file, f"{name}-", *options)
    assert result.code == ExitCode.DONE, result.lines
    assert "left out, the model does not take them: note" in result.err
    for shop, area in AREAS.items():
        assert api.get(f"/v1/sessions/{name}-{shop}").json()["static"] == {"area_km2": area}
    put(api, f"{name}.a", untold(shops["a"]), static={"area_km2": AREAS["a"]})
    same(api, f"{name}-a", f"{name}.a")


def test_a_model_that_does_not_take_a_static_column_of_another_is_pushed_to_without_it(
    api: httpx2.Client, service: Service, name: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    file = tmp_path / "shops.csv"
    frame_of({"a": days_of(rng, 10)}).drop(columns="promo").to_csv(file, index=False)
    with Client(service.url) as client, Failures(tmp_path / "failures.csv") as failures:
        pushed = Push(
            client,
            SeriesFile(file),
            covariates=Taken.of(client.models(), ["rain", "area_km2"]),
            settings=Settings(freq="D", model="visits@1"),
            freq="D",
            create=True,
            on_conflict="reject",
            prefix=f"{name}-",
            failures=failures,
            done=lambda rows: None,
        ).run()
    assert (pushed.applied, pushed.left_out) == (10, {"area_km2"})
    assert api.get(f"/v1/sessions/{name}-a").json()["model"] == "visits@1"


@pytest.mark.parametrize("rows_of_a_part", [5, tables.PART_ROWS])
def test_a_static_column_that_changes_within_a_series_is_refused(
    service: Service,
    name: str,
    shops: dict[str, list[Json]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows_of_a_part: int,
) -> None:
    frame, file = frame_of(shops), tmp_path / "shops.csv"
    frame.loc[12, "area_km2"] = 9.0
    frame.to_csv(file, index=False)
    said = "column 'area_km2', which is static for the model, changes within series 'a'"
    monkeypatch.setattr(tables, "PART_ROWS", rows_of_a_part)
    with pytest.raises(TableError, match=said):
        push_here(service, file, f"{name}-")
    result = push(service, file, f"{name}-")
    assert (result.code, said in result.err) == (ExitCode.USAGE, True), result.lines


def test_what_is_static_cannot_change_later_and_the_same_goes_on(
    api: httpx2.Client, service: Service, name: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    frame, file = frame_of({"a": days_of(rng, 20)}), tmp_path / "shops.csv"
    frame[:10].to_csv(file, index=False)
    assert push(service, file, f"{name}-").code == ExitCode.DONE
    frame[:15].to_csv(file, index=False)
    assert "5 rows applied" in push(service, file, f"{name}-").out
    frame.assign(area_km2=3.0).to_csv(file, index=False)
    other = push(service, file, f"{name}-")
    assert other.code == ExitCode.REFUSED
    failures = pd.read_csv(tmp_path / "shops.csv.failures.csv")
    assert set(failures["problem"]) == {"session-exists"}
    assert "it has area_km2 2.0 and not 3.0, and what is static cannot change" in failures["detail"][0]
    assert set(failures["area_km2"]) == {3.0}, "a mended file can be pushed"
    assert api.get(f"/v1/sessions/{name}-a").json()["step"] == 15
