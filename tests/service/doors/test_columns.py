"""Histories in TimeGPT's shape, as columns or as records, are forecast as sessions are."""

import json
from typing import Any

import httpx2

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
        "/freq": {"series": {"y": [1.0], "sizes": [1]}, "freq": "fortnight"},
    }
    for where, body in wrong.items():
        answer = ask(api, **body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, where), answer.text
        assert answer.json()["error"] == answer.json()["detail"]
    assert f"must be {day(6)}" in ask(api, df=gap).json()["detail"]


def test_freqs_may_be_written_as_their_clients_do(api: httpx2.Client) -> None:
    for freq in ("D", "1d", "H", "h", "MS", "M", "1w", "W-SUN", "15min"):
        assert ask(api, series={"y": [1.0, 2.0], "sizes": [2]}, freq=freq).status_code == 200, freq
