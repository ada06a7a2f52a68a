"""Four people in their first hour and their first month: what each of them types, as it is written in the contract."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pytest

from models.artifacts.artifact import SHIPPED, Description, publish
from models.covariates import Covariates
from models.mixture import MixtureConfig
from service.sessions.registry import Registry
from service.storage.embedded import EmbeddedStore
from service.storage.store import SessionStore
from tests.golden.publish_models import random_module
from tests.hiddenstate.command import Result, run
from tests.service.calls import wait_until
from tests.service.conftest import Service, serving
from tests.service.days import day, series, value

ARROW = "application/vnd.apache.arrow.stream"
STORES = 12
DAYS = 120


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    own = tmp_path_factory.mktemp("models")
    taken = Covariates((), ("rain", "temp"), ("area_km2",), (3.0, 8.0, 2000.0), (4.0, 6.0, 1000.0))
    config = MixtureConfig(hidden=8, horizon=7, far=True, anchors=(1, 3, 7), covariates=taken)
    publish(random_module(config, seed=4), Description("runoff", 1, ["D"], 28, "# runoff\n"), own)
    registry = Registry.load([SHIPPED, own], "daily")
    with (
        EmbeddedStore(tmp_path_factory.mktemp("store")) as store,
        serving(registry, store.url, default_model="daily") as running,
    ):
        yield running


@pytest.fixture
def api(service: Service) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=service.url, timeout=60) as client:
        yield client


def command(service: Service, *arguments: str, cwd: Path) -> Result:
    return run(*arguments, cwd=cwd, HIDDENSTATE_URL=service.url)


def table(answer: httpx2.Response) -> pd.DataFrame:
    return pa.ipc.open_stream(answer.content).read_pandas()


def stream(frame: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    converted = pa.Table.from_pandas(frame, preserve_index=False)
    with pa.ipc.new_stream(sink, converted.schema) as writer:
        writer.write_table(converted)
    return sink.getvalue()


def sales(first: int, last: int) -> pd.DataFrame:
    rows = [
        {"unique_id": f"store-{store}", "ds": day(number), "y": value(number) + 10 * store}
        for store in range(STORES)
        for number in range(first, last + 1)
    ]
    return pd.DataFrame(rows)


def test_the_data_scientist(service: Service, api: httpx2.Client, tmp_path: Path) -> None:
    # hiddenstate push sales.parquet --freq D; the refused go to a file and the rest go on
    wrong = pd.DataFrame([{"unique_id": "store of no id", "ds": day(1), "y": 1.0}])
    pd.concat([sales(1, DAYS), wrong]).to_parquet(tmp_path / "sales.parquet")
    pushed = command(service, "push", "sales.parquet", "--freq", "D", cwd=tmp_path)
    assert pushed.out.startswith(f"{STORES} sessions created, {STORES * DAYS} rows applied")
    with (tmp_path / "sales.parquet.failures.csv").open() as refused:
        assert {row["unique_id"] for row in csv.DictReader(refused)} == {"store of no id"}

    # POST /v1/forecasts:batch {"prefix": "store-", "horizon": 14}, Accept: arrow
    asked = {"prefix": "store-", "horizon": 14}
    ahead = table(api.post("/v1/forecasts:batch", json=asked, headers={"Accept": ARROW}))
    known = ahead[ahead["status"] == 200]
    assert {"unique_id", "ds", "cutoff", "yhat", "yhat-lo-80"} <= set(ahead.columns)
    assert known.groupby("unique_id").size().to_dict() == {f"store-{store}": 14 for store in range(STORES)}

    # each day: the last 7 days of every store, late and revised rows included
    week = sales(DAYS - 5, DAYS + 1)
    week.loc[week["ds"] == day(DAYS - 1), "y"] += 1.0
    headers = {"Content-Type": ARROW, "Accept": ARROW}
    told = table(api.post("/v1/observations:batch?on_conflict=correct", content=stream(week), headers=headers))
    assert told[told["status"] >= 400].empty
    assert len(told) == 7 * STORES
    assert api.get("/v1/sessions/store-3").json()["last"] == day(DAYS + 1)

    # each Monday: the worst 20; a bad file on Tuesday, taken back, then the right file
    wait_until(lambda: len(api.get("/v1/sessions?order_by=mase desc&page_size=20").json()["sessions"]) >= STORES)
    worst = api.get("/v1/sessions?order_by=mase desc&page_size=20").json()["sessions"]
    errors = [one["scores"]["recent"]["mase"] for one in worst if one["scores"]["recent"]["mase"] is not None]
    assert errors == sorted(errors, reverse=True)
    name = worst[0]["session"]
    path = f"/v1/sessions/{name}"
    before = api.get(f"{path}/forecast").json()["forecasts"]
    api.post(f"{path}/observations", json={"timestamp": day(DAYS + 2), "value": 1e6})
    assert api.post(f"{path}:rewind", json={"timestamp": day(DAYS + 1)}).json()["step"] == DAYS + 1
    assert api.get(f"{path}/forecast").json()["forecasts"] == before

    # a new model: it is first said what would get better and worse
    old = {"freq": "D", "model": "daily@1", "observations": series(1, DAYS)}
    api.put("/v1/sessions/store-old", json=old)
    wait_until(lambda: "store-old" in api.get("/v1/sessions?prefix=store-o").text)
    migrated = command(service, "migrate", "--model", "daily@2", "--prefix", "store-", "--yes", cwd=tmp_path)
    assert "sessions get better with daily@2" in migrated.out
    assert api.get("/v1/sessions/store-old").json()["model"] == "daily@2"


def test_the_hydrologist_moves_a_gauge_to_another_environment(
    service: Service, api: httpx2.Client, tmp_path: Path
) -> None:
    path = "/v1/sessions/01013500.q"
    settings: dict[str, Any] = {"model": "runoff@1", "freq": "D", "timezone": "Etc/GMT+5"}
    settings |= {"static": {"area_km2": 2252.7}, "minimum": 0, "history": "full", "ttl_s": None}
    past = [
        {"timestamp": f"1980-10-{number:02}", "value": 12.4 + number % 3, "covariates": {"rain": 3.1, "temp": 8.0}}
        for number in range(1, 32)
    ]
    assert api.put(path, json={**settings, "observations": past}).status_code == 201

    # each day: what fell, and what is forecast to; the gauge itself is late
    coming = [{"rain": 1.0 + number, "temp": 4.1} for number in range(7)]
    today = {"timestamp": "1980-11-01", "value": None, "covariates": {"rain": 7.2, "temp": 3.5}, "future": coming}
    missing = api.post(f"{path}/observations", json=today).json()
    assert (missing["step"], missing["observed"]["value"]) == (32, None)
    assert missing["observed"]["covariates"] == {"rain": 7.2, "temp": 3.5}

    # 50 members commit nothing, and each has a fan of its own
    before = api.get(path).json()["etag"]
    fans = []
    for member in range(50):
        future = [{"rain": 0.2 * member, "temp": 4.1}] * 7
        answer = api.post(f"{path}:forecast", json={"horizon": 7, "levels": [80], "future": future}).json()
        fans.append([forecast["value"] for forecast in answer["forecasts"]])
    assert len({tuple(fan) for fan in fans}) == 50
    assert api.get(path).json()["etag"] == before
    late = api.patch(f"{path}/observations/1980-11-01", json={"value": 8.4}).json()
    assert (late["corrected"], late["observed"]["value"]) == (1, 8.4)

    # another environment
    wait_until(lambda: "01013500" in api.get("/v1/sessions?prefix=01013500").text)  # lists lag a little
    gauges = command(service, "export", "--prefix", "01013500", cwd=tmp_path)
    (tmp_path / "gauges.jsonl").write_text(gauges.out)
    with (
        EmbeddedStore(tmp_path / "elsewhere") as store,
        serving(service.registry, store.url, default_model="daily") as other,
        httpx2.Client(base_url=other.url, timeout=60) as there,
    ):
        assert command(other, "import", "gauges.jsonl", cwd=tmp_path).code == 0
        assert there.post(f"{path}:verify").json()["ok"] is True
        fans = [one.get(f"{path}/forecast?horizon=7").json()["forecasts"] for one in (api, there)]
        assert fans[0] == fans[1]


@dataclass
class Loop:
    """The whole of what a program needs: an etag, and one place that decides by status and type."""

    api: httpx2.Client
    path: str
    sent: list[dict[str, Any]]
    etag: str = ""

    def observe(self, observation: dict[str, Any]) -> str:
        headers = {"If-Match": f'"{self.etag}"'} if self.etag else {}
        answer = self.api.post(f"{self.path}/observations", json=observation, headers=headers)
        body = answer.json()
        if answer.is_success:
            self.etag = body["etag"]
            return "kept"
        if answer.status_code == 412:
            self.etag = self.api.get(self.path).json()["etag"]
        elif body["type"] == "/problems/session-not-found":
            self.etag = self.api.put(self.path, json={"freq": "D"}).json()["etag"]
        elif body["type"] == "/problems/state-regressed":
            self.etag = ""
            for one in self.sent:
                if body["last"] is None or one["timestamp"] > body["last"]:
                    self.observe(one)
        return str(body["type"])


async def test_the_go_engineer(service: Service, api: httpx2.Client) -> None:
    loop = Loop(api, "/v1/sessions/go.orders", series(1, 9))
    assert loop.observe(loop.sent[0]) == "/problems/session-not-found"
    assert [loop.observe(one) for one in loop.sent[:5]] == ["kept"] * 5
    api.patch(loop.path, json={"minimum": 0})  # somebody else
    assert loop.observe(loop.sent[5]) == "/problems/precondition-failed"
    assert loop.observe(loop.sent[5]) == "kept"
    async with SessionStore.open(service.store_url) as store:  # a failover to a replica that was behind
        [node] = await store.servers.nodes(1.0)
        kept = await store.read_one("go.orders") or b""
        assert [loop.observe(one) for one in loop.sent[6:8]] == ["kept"] * 2
        await store.servers.run_at(node, [(b"SET", store.key("go.orders"), kept)], 1.0)
    # Whoever writes next is told, and sends what was lost again.
    assert loop.observe(loop.sent[8]) == "/problems/state-regressed"
    assert api.get(loop.path).json()["step"] == 9


def test_the_operator(service: Service, api: httpx2.Client) -> None:
    assert api.get("/health/live").json() == {"status": "ok"}
    assert api.get("/health/ready").json() == {"status": "ok"}
    assert api.get("/v1/status").json()["ready"] is True
    one = "/v1/sessions/tenant.7"
    with serving(service.registry, service.store_url, default_model="daily") as leaving:
        acknowledged = httpx2.put(f"{leaving.url}{one}", json={"freq": "D", "observations": series(1, 30)}).json()
    assert api.get(one).json()["etag"] == acknowledged["etag"]  # the replica is gone, nothing else is
    counted = api.post("/v1/sessions:purge", json={"prefix": ""}).json()["purge_count"]
    purged = api.post("/v1/sessions:purge", json={"prefix": "", "force": True}).json()
    assert purged["purge_count"] == counted > 0
    assert api.post("/v1/sessions:purge", json={"prefix": ""}).json() == {"purge_count": 0, "purge_sample": []}
