"""Histories in TimeGPT's shape, as columns or as records, are forecast as sessions are."""

import json
from typing import Any

import httpx2
import pytest
import zstandard

from tests.service.days import day, series, value

Json = dict[str, Any]


def ask(api: httpx2.Client, **body: Any) -> httpx2.Response:  # noqa: ANN401 - any JSON
    return api.post("/v2/forecast", json={"freq": "D", "h": 4, "model": "timegpt-1", **body})


def records(name: str, first: int, last: int) -> list[Json]:
    return [{"unique_id": name, "ds": one["timestamp"], "y": one["value"]} for one in series(first, last)]


def test_columns_are_answered_as_columns(api: httpx2.Client) -> None:
    sent = {
        "y": [value(number) for number in [*range(1, 61), *range(1, 31)]],
        **{"sizes": [60, 30], "X": None, "X_future": None},
    }
    answer = ask(api, series=sent, level=[80, 95], clean_ex_first=True, finetune_steps=0).json()
    assert [len(answer["mean"]), *map(len, answer["intervals"].values())] == [8] * 5
    assert list(answer["intervals"]) == ["lo-80", "hi-80", "lo-95", "hi-95"]
    assert all(low < middle for low, middle in zip(answer["intervals"]["lo-95"], answer["mean"], strict=True))
    assert answer["usage"]["observations_sent"] == answer["input_tokens"] == 90
    assert answer["usage"]["observations_needed"] == 1


def test_columns_without_levels_have_no_intervals(api: httpx2.Client) -> None:
    answer = ask(api, series={"y": [1.0, 2.0, None, 4.0], "sizes": [4]}, level=None).json()
    assert answer["intervals"] is None


def test_records_are_answered_as_the_rows_that_a_session_gives(api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 90)})
    table = api.get(f"/v1/sessions/{name}/forecast?horizon=4&levels=80", headers={"Accept": "application/jsonl"})
    mixed = [row for pair in zip(records(name, 1, 90), records("other", 1, 90), strict=True) for row in pair]
    answer = ask(api, df=mixed, level=[80]).json()
    own = [row for row in answer["forecast"] if row["unique_id"] == name]
    assert own == [{key: line[key] for key in own[0]} for line in map(json.loads, table.text.splitlines())]
    assert {row["unique_id"] for row in answer["forecast"]} == {name, "other"}


def test_what_must_be_mended_is_named(api: httpx2.Client) -> None:
    gap = [*records("a", 1, 5), *records("a", 7, 9)]
    wrong: dict[str, Json] = {
        "/df/5/ds": {"df": gap},
        "/series": {},
        "/series/sizes": {"series": {"y": [1.0], "sizes": [2]}},
        "/series/X": {"series": {"y": [1.0], "sizes": [1], "X": [[1.0]]}},
        "/h": {"series": {"y": [1.0], "sizes": [1]}, "h": 1000},
        "/level": {"series": {"y": [1.0], "sizes": [1]}, "level": [77]},
        "/level/1": {"series": {"y": [1.0], "sizes": [1]}, "level": [80, 99.5]},
        "/finetune_steps": {"series": {"y": [1.0], "sizes": [1]}, "finetune_steps": 10},
        "/freq": {"series": {"y": [1.0], "sizes": [1]}, "freq": "fortnight"},
    }
    for where, body in wrong.items():
        answer = ask(api, **body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, where), answer.text
        assert answer.json()["error"] == answer.json()["detail"]
    assert f"must be {day(6)}" in ask(api, df=gap).json()["detail"]


def test_freqs_may_be_written_as_their_clients_do(api: httpx2.Client) -> None:
    of_pandas = ("D", "H", "h", "MS", "M", "W-SUN", "15min", "2H", "QE-DEC", "QS-OCT", "YS-JAN")
    for freq in (*of_pandas, "1d", "1w", "15m", "1q"):
        assert ask(api, series={"y": [1.0, 2.0], "sizes": [2]}, freq=freq).status_code == 200, freq
    for freq in ("", "1", "0D", "QS-FEB", "1mo2", "ME-DEC", "\n"):
        assert ask(api, series={"y": [1.0, 2.0], "sizes": [2]}, freq=freq).status_code == 422, freq


SENT_BY_NIXTLA = {
    "series": {
        **{"y": [value(number) for number in range(1, 61)], "sizes": [60], "X": None, "X_future": None},
        "start_datetime": ["2026-01-01"],
    },
    **{"model": "timegpt-2.1", "h": 4, "freq": "D", "clean_ex_first": True, "level": [80, 0]},
    **{"finetune_steps": 0, "finetune_depth": 1, "finetune_loss": "default", "finetuned_model_id": None},
    **{"feature_contributions": False, "multivariate": False},
}
"""As nixtla 0.9.0 sends `forecast(df, h=4, freq="D", quantiles=[0.1, 0.5, 0.9])`; `make clients` runs it."""


def test_what_their_client_sends_is_answered_with_all_that_it_reads(api: httpx2.Client) -> None:
    asked = api.get("/model_params", params={"model": "timegpt-2.1", "freq": "D"}).json()["detail"]
    assert asked == {"input_size": 280, "horizon": 14}
    packed = zstandard.compress(json.dumps(SENT_BY_NIXTLA).encode())
    kind = {"Content-Type": "application/json", "Content-Encoding": "zstd"}
    answer = api.post("/v2/forecast", content=packed, headers=kind).json()
    assert len(answer["mean"]) == 4
    assert sorted(answer["intervals"]) == ["hi-80", "lo-80"]
    assert answer["weights_x"] is answer["feature_contributions"] is None
    assert api.get("/validate_api_key").status_code == 200
    assert api.get("/v2/models").json() == {"models": [{"name": "tiny"}]}


def test_what_their_client_cannot_know_is_refused(api: httpx2.Client) -> None:
    assert api.get("/model_params", params={"freq": "fortnight"}).json()["errors"][0]["parameter"] == "freq"
    assert api.get("/model_params", params={"freq": "D", "model": "mine"}).status_code == 404


@pytest.mark.parametrize("damaged", [b"none", b"", zstandard.compress(b"{}")[:-1], zstandard.compress(b"{}") + b"x"])
def test_what_is_not_zstd_is_refused(api: httpx2.Client, damaged: bytes) -> None:
    kind = {"Content-Type": "application/json", "Content-Encoding": "zstd"}
    assert api.post("/v2/forecast", content=damaged, headers=kind).status_code == 400
    assert api.post("/v1/observations:batch", content=damaged, headers=kind).status_code == 415


@pytest.mark.parametrize("says", [True, False])
def test_what_is_too_large_is_refused_before_it_is_inflated(api: httpx2.Client, *, says: bool) -> None:
    packed = zstandard.ZstdCompressor(write_content_size=says).compress(bytes(2**30))
    kind = {"Content-Type": "application/json", "Content-Encoding": "zstd"}
    answer = api.post("/v2/forecast", content=packed, headers=kind)
    assert answer.status_code == (413 if says else 400)
