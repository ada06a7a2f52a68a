"""What a caller hands over that cannot be sent: said at once, in the caller's words, with what to do."""

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from hiddenstate import Client, ServiceUnreachable
from hiddenstate.answers.forecasts import Forecast
from hiddenstate.errors import InvalidRequest
from hiddenstate.sending.rows import each_of, rows_of
from hiddenstate.sending.shapes import Frame
from service.wire import parsing
from service.wire.problems import InvalidRequest as Refused
from tests.hiddenstate.conftest import Running

NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize("session", ["", "s/1", "s 1", "/", "größe", "a" * 129, "日本"])
def test_an_id_that_is_not_allowed_is_refused_as_the_service_would(session: str) -> None:
    with pytest.raises(Refused) as there:
        parsing.session_id(session)
    with Client(NOBODY) as client, pytest.raises(InvalidRequest) as here:
        client.session(session)
    assert (here.value.slug, here.value.status) == (there.value.slug, there.value.status)
    assert (here.value.detail, here.value.title) == (there.value.detail, there.value.title)
    assert str(here.value).count("nearest allowed") == 1


def test_an_id_that_is_no_text_is_a_type_error() -> None:
    with Client(NOBODY) as client, pytest.raises(TypeError, match="such as '42', and no int"):
        client.observe(42, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_told_how_to_send(value: float) -> None:
    with Client(NOBODY) as client, pytest.raises(ValueError, match="None is a missing value"):
        client.observe("a", value)


@pytest.mark.parametrize("levels", ["80", 80])
def test_levels_that_are_no_list_are_told_to_be_one(levels: Sequence[int]) -> None:
    with Client(NOBODY) as client:
        for ask in (
            lambda: client.forecast("a", levels=levels),
            lambda: client.what_if("a", levels=levels),
            lambda: client.forecast_batch(levels=levels),
        ):
            with pytest.raises(TypeError, match=r"such as \[80, 95\]"):
                ask()


def test_an_interval_that_was_not_asked_for_names_those_that_were() -> None:
    quantiles = {"0.025": 1.0, "0.1": 2.0, "0.5": 3.0, "0.9": 4.0, "0.975": 5.0}
    forecast = Forecast.of({"step": 1, "timestamp": None, "value": 3.0, "quantiles": quantiles})
    assert forecast.interval(95) == (1.0, 5.0)
    with pytest.raises(KeyError, match=r"no interval of 90 %.*levels=80, 95.*levels=\[90\]"):
        forecast.interval(90)


def test_nobody_there_is_told_with_the_command_that_starts_one() -> None:
    with Client(NOBODY) as client, pytest.raises(ServiceUnreachable, match="hiddenstate serve"):
        client.status()


def test_the_start_of_the_paths_may_be_part_of_the_address(service: Running) -> None:
    with Client(f"{service.url}/v1/") as client:
        assert (client.url, client.status().ready) == (service.url, True)


FRAME = pd.DataFrame(
    {"unique_id": ["a", "b"], "ds": pd.to_datetime(["2026-01-01", "2026-01-02"]), "y": [1.0, math.nan], "rain": [2, 3]}
)
FRAMES = [FRAME, pl.from_pandas(FRAME), pa.Table.from_pandas(FRAME)]


@pytest.mark.parametrize("frame", [*FRAMES, FRAME.to_dict("records")])
def test_frames_and_table_rows_are_rows(frame: Frame) -> None:
    assert list(rows_of(frame)) == [
        {"session": "a", "value": 1.0, "timestamp": dt.datetime(2026, 1, 1), "covariates": {"rain": 2}},
        {"session": "b", "value": None, "timestamp": dt.datetime(2026, 1, 2), "covariates": {"rain": 3}},
    ]


async def test_rows_that_come_asynchronously_are_rows() -> None:
    assert [row async for row in each_of(each_of(FRAME))] == list(rows_of(FRAME))
    counted: Any = [{"unique_id": 7, "ds": 3, "y": 1}]
    assert list(rows_of(counted)) == [{"session": "7", "value": 1, "step": 3}]


def test_a_frame_is_fed_in_a_batch_and_in_a_stream(service: Running) -> None:
    frame = FRAME.drop(columns="rain")
    frame["unique_id"] = ["framed-1", "framed-2"]
    with Client(service.url) as client:
        batch = client.observe_batch(frame, create=True, freq="D")
        assert [advance.observed.value for advance in batch.advances] == [1.0, None]
        frame["ds"] += dt.timedelta(days=1)
        assert [outcome.status for outcome in client.stream(frame)] == [200, 200]


@pytest.mark.parametrize(
    ("rows", "kind", "said"),
    [
        ([{"ds": "2026-01-01", "y": 1}], ValueError, "the row with ds, y names no session"),
        (FRAME.drop(columns="y"), ValueError, "the frame has no column y, it has unique_id, ds, rain"),
        (["a"], TypeError, "a str is no row"),
        ("a,2026-01-01,1", TypeError, "no str"),
        ({"session": "a", "value": 1}, TypeError, "no dict"),
    ],
)
def test_what_are_no_rows_are_told_what_rows_are(rows: Frame, kind: type[Exception], said: str) -> None:
    with Client(NOBODY) as client, pytest.raises(kind, match=said):
        client.observe_batch(rows)
