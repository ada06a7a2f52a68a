"""Histories in KServe's shape are forecast as sessions are, to the bit, and nothing of them is kept."""

from typing import Any

import httpx2
import pytest

from tests.service.days import day, series, value

Json = dict[str, Any]


def history(name: str, steps: int, **changed: Any) -> Json:  # noqa: ANN401 - any JSON
    return {
        **{"type": "univariate_time_series", "name": name, "frequency": "D"},
        **{"series": [value(number) for number in range(1, steps + 1)], "start_timestamp": f"{day(1)}T00:00:00Z"},
        **changed,
    }


def ask(api: httpx2.Client, *inputs: Json, horizon: int = 3, **more: Any) -> httpx2.Response:  # noqa: ANN401
    quantiles = more.pop("quantiles", None)
    options = {"horizon": horizon, **({} if quantiles is None else {"quantiles": quantiles})}
    body = {"model": "tiny", "inputs": list(inputs), "options": options, **more}
    return api.post("/v1/timeseries/forecast", json=body)


def test_a_history_is_forecast_as_a_session_that_observed_it(api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 200)})
    expected = api.get(f"/v1/sessions/{name}/forecast?horizon=20&levels=80").json()["forecasts"]
    answer = ask(api, history("a", 200), horizon=20, quantiles=[0.1, 0.5, 0.9], metadata={"request_id": "7"}).json()
    [output] = answer["outputs"]
    [found] = output["content"]
    assert (answer["status"], answer["error"], output["status"]) == ("completed", None, "completed")
    assert found["mean_forecast"] == [one["value"] for one in expected]
    assert found["quantiles"] == {q: [one["quantiles"][q] for one in expected] for q in ("0.1", "0.5", "0.9")}
    assert (found["start_timestamp"], found["frequency"]) == (day(201), "D")


def test_the_answer_says_what_a_session_would_save(api: httpx2.Client) -> None:
    usage = ask(api, history("a", 150), history("b", 50), horizon=2).json()["usage"]
    assert (usage["observations_sent"], usage["observations_needed"]) == (200, 1)
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (200, 4, 204)


def test_no_session_comes_of_it(api: httpx2.Client) -> None:
    before = api.post("/v1/sessions:purge", json={"prefix": ""}).json()["purge_count"]
    assert ask(api, history("a", 30)).status_code == 200
    assert api.post("/v1/sessions:purge", json={"prefix": ""}).json()["purge_count"] == before


def test_without_quantiles_and_times_there_are_none_in_the_answer(api: httpx2.Client) -> None:
    [output] = ask(api, history("a", 30, start_timestamp=None)).json()["outputs"]
    [found] = output["content"]
    assert (found["quantiles"], found["start_timestamp"]) == (None, "")  # KServe's type is text, never null


FREQUENCIES = {
    "SECOND": ("2026-01-01T00:00:00Z", "2026-01-01T00:00:20Z"),
    "T": ("2026-01-01T00:00:00Z", "2026-01-01T00:20:00Z"),
    "hour": ("2026-01-01T00:00:00Z", "2026-01-01T20:00:00Z"),
    "WEEK": ("2026-01-07", "2026-05-27"),
    "M": ("2026-01-01", "2027-09-01"),
    "MONTH": ("2026-01-31", "2027-09-30"),
    "Q": ("2026-03-31", "2031-03-31"),
    "QUARTER": ("2026-01-01", "2031-01-01"),
    "Y": ("2026-12-31", "2046-12-31"),
    "15min": ("2026-01-01T00:00:00Z", "2026-01-01T05:00:00Z"),
}


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_frequencies_go_by_their_names_and_months_by_the_day_of_the_start(api: httpx2.Client, frequency: str) -> None:
    start, follows = FREQUENCIES[frequency]
    answer = ask(api, history("a", 20, frequency=frequency, start_timestamp=start))
    assert answer.json()["outputs"][0]["content"][0]["start_timestamp"] == follows


WRONG: dict[str, Json] = {
    "/inputs/0/frequency": {"frequency": "fortnight"},
    "/inputs/0/start_timestamp": {"frequency": "M", "start_timestamp": "2026-01-15"},
    "/inputs/0/series": {"series": [None, None]},
    "/inputs/0/series/1": {"series": [1.0, "2"]},
    "/inputs/0/type": {"type": "multivariate_time_series"},
}


@pytest.mark.parametrize("where", WRONG)
def test_what_must_be_mended_is_named_in_the_error_object(api: httpx2.Client, where: str) -> None:
    answer = ask(api, history("a", 30, **WRONG[where]))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (422, "invalid-request", where)
    assert error["message"] == answer.json()["detail"]


def test_horizons_quantiles_and_models_that_are_not_here_are_refused(api: httpx2.Client) -> None:
    assert ask(api, history("a", 30), horizon=141).json()["error"]["param"] == "/options/horizon"
    assert ask(api, history("a", 30), quantiles=[0.123]).json()["error"]["param"] == "/options/quantiles/0"
    assert ask(api, history("a", 30), quantiles=[0.2]).json()["error"]["param"] == "/options/quantiles"
    missing = ask(api, history("a", 30), model="timesfm")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not-found")


def test_one_that_fails_does_not_keep_the_others(api: httpx2.Client) -> None:
    answer = ask(api, history("a", 30), history("b", 30, frequency="fortnight")).json()
    assert answer["status"] == "partial"
    assert [output["status"] for output in answer["outputs"]] == ["completed", "error"]
    assert answer["outputs"][1]["error"] == answer["error"]
    assert answer["error"]["param"] == "/inputs/1/frequency"


def test_there_is_a_limit_to_what_is_folded_at_once(api: httpx2.Client) -> None:
    answer = ask(api, *[history(str(number), 0, series=[1.0] * 50_001) for number in range(2)])
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too-large")
