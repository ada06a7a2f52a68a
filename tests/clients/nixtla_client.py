"""What an unmodified NixtlaClient is answered.

Run in an environment that has it, as nixtla wants older pandas than this project has.

Usage: nixtla_client.py URL
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import numpy as np
import pandas as pd
import polars as pl
from nixtla import NixtlaClient
from nixtla.nixtla_client import ApiError

CHECKS: list[Callable[[NixtlaClient, str], None]] = []
HORIZON = 7
FREQUENCIES = ("D", "h", "15min", "MS", "ME", "QS", "QE", "YS", "YE", "W-SUN", "B")
OF_POLARS = ("1d", "1h", "15m", "1mo", "1w", "1q", "1y")
SERIES_AT_ONCE, VALUES_OF_EACH = 117, 854
"""As much as one request may have."""
COMPRESSED_BYTES = 2**20
"""From so many on that client compresses."""


def check(function: Callable[[NixtlaClient, str], None]) -> Callable[[NixtlaClient, str], None]:
    CHECKS.append(function)
    return function


def frame(*names: str, steps: int = 120, freq: str = "D") -> pd.DataFrame:
    """Series of a weekly shape, each a little higher than the one before."""
    times = pd.date_range("2024-01-01", periods=steps, freq=freq)
    numbers = np.arange(steps)
    values = [100.0 + 10 * at + 5 * np.sin(numbers * 2 * np.pi / 7) + 0.1 * numbers for at in range(len(names))]
    return pd.DataFrame(
        {"unique_id": np.repeat(names, steps), "ds": np.tile(times, len(names)), "y": np.concatenate(values)}
    )


def refusal(work: Callable[[], object]) -> ApiError:
    try:
        work()
    except ApiError as error:
        return error
    raise AssertionError("it was not refused")


@check
def the_forecasts_are_those_of_a_session(client: NixtlaClient, url: str) -> None:
    df = frame("of-nixtla")
    sent = df["y"].to_numpy(dtype=np.float32)  # as the client sends them, but written as text
    history = [
        {"timestamp": str(time.date()), "value": float(str(value))}
        for time, value in zip(df["ds"], sent, strict=True)
    ]
    with httpx.Client(base_url=url, timeout=60) as http:
        http.put("/v1/sessions/of-nixtla", json={"freq": "D", "observations": history}).raise_for_status()
        query = {"horizon": HORIZON, "levels": "80,95"}
        expected = http.get("/v1/sessions/of-nixtla/forecast", params=query).json()["forecasts"]
    found = client.forecast(df, h=HORIZON, freq="D", level=[80, 95])
    for column, quantile in {"": "0.5", "-lo-80": "0.1", "-hi-95": "0.975"}.items():
        assert list(found[f"TimeGPT{column}"]) == [one["quantiles"][quantile] for one in expected]
    assert [str(time.date()) for time in found["ds"]] == [one["timestamp"] for one in expected]


@check
def frequencies_are_inferred_or_named(client: NixtlaClient, url: str) -> None:
    for freq in FREQUENCIES:
        df = frame("a", "b", steps=40, freq=freq)
        assert len(client.forecast(df, h=3, level=[80])) == 6, freq
        assert len(client.forecast(df, h=3, freq=freq)) == 6, freq


@check
def frames_of_polars_do_too(client: NixtlaClient, url: str) -> None:
    for freq in OF_POLARS:
        df = pl.DataFrame({"unique_id": ["a"] * 30, "y": [float(number % 7) for number in range(30)]})
        times = pl.datetime_range(
            pl.datetime(2020, 1, 1), pl.datetime(2060, 1, 1), freq, eager=True
        ).head(30)
        answer = client.forecast(df.with_columns(times.alias("ds")), h=2, freq=freq, level=[95])
        assert answer.height == 2, freq


@check
def quantiles_and_zones_and_missing_values(client: NixtlaClient, url: str) -> None:
    df = frame("a").drop(columns="unique_id").assign(ds=lambda frame: frame["ds"].dt.tz_localize("UTC"))
    df.loc[50:52, "y"] = np.nan
    answer = client.forecast(df, h=2, freq="D", quantiles=[0.1, 0.5, 0.9])
    assert list(answer.columns) == ["ds", "TimeGPT", "TimeGPT-q-10", "TimeGPT-q-50", "TimeGPT-q-90"], answer.columns
    assert (answer["TimeGPT-q-10"] < answer["TimeGPT-q-90"]).all()


@check
def partitions_are_put_together(client: NixtlaClient, url: str) -> None:
    df = frame(*"abcde")
    whole = client.forecast(df, h=3, freq="D", level=[80])
    parts = client.forecast(df, h=3, freq="D", level=[80], num_partitions=3)
    pd.testing.assert_frame_equal(whole, parts)


@check
def as_much_as_may_be_sent_at_once(client: NixtlaClient, url: str) -> None:
    df = frame(*(f"s{number:03}" for number in range(SERIES_AT_ONCE)), steps=VALUES_OF_EACH)
    df["y"] = -123456.789 - 1.0001 * np.arange(len(df))
    assert len(",".join(map(str, df["y"].to_numpy(dtype=np.float32)))) > COMPRESSED_BYTES
    assert len(client.forecast(df, h=2, freq="D", level=[80])) == 2 * SERIES_AT_ONCE
    twice = pd.concat([df, df.assign(unique_id="t" + df["unique_id"])])
    error = refusal(lambda: client.forecast(twice, h=2, freq="D", level=[80]))
    assert (error.status_code, "num_partitions" in error.body["detail"]) == (413, True)


@check
def what_is_refused_says_why(client: NixtlaClient, url: str) -> None:
    df = frame("a")
    ahead = frame("a", steps=120 + HORIZON).tail(HORIZON).assign(promo=1.0).drop(columns="y")
    wrong: dict[str, dict[str, Any]] = {
        "/level": {"level": [77]},
        "/h": {"h": 1000},
        "/finetune_steps": {"finetune_steps": 10},
        "/series/X": {"df": df.assign(promo=1.0), "X_df": ahead},
    }
    for where, asked in wrong.items():
        error = refusal(partial(client.forecast, **{"df": df, "h": HORIZON, "freq": "D", **asked}))
        assert (error.status_code, error.body["errors"][0]["pointer"]) == (422, where), error
        assert error.body["detail"] in str(error)
    error = refusal(lambda: client.forecast(df, h=1, freq="D", model="mine"))
    assert (error.status_code, "this server has" in error.body["detail"]) == (404, True)


@check
def its_first_questions_are_answered(client: NixtlaClient, url: str) -> None:
    assert client.validate_api_key()
    assert "daily" in client.list_models()
    assert len(client.forecast(frame("a"), h=1, freq="D", model="daily")) == 1


def main(url: str) -> None:
    client = NixtlaClient(base_url=url, api_key="none", max_retries=1)
    for one in CHECKS:
        one(client, url)
        print(f"ok  {one.__name__.replace('_', ' ')}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
