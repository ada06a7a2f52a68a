"""Covariates over HTTP: taken, kept, told again, and used; names that the model does not take are refused."""

import base64
from collections.abc import Sequence
from typing import Any

import httpx2
import numpy as np
import pytest

from tests.service.calls import history, post, problem
from tests.service.covariates.shops import PROMOTED, Json, bare, days_of


def put(api: httpx2.Client, name: str, observations: list[Json], **settings: object) -> Json:
    answer = api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": observations, **settings})
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()
    return found


def medians(api: httpx2.Client, name: str, horizon: int = 5) -> list[float]:
    answer = api.get(f"/v1/sessions/{name}/forecast", params={"horizon": horizon})
    return [one["value"] for one in answer.json()["forecasts"]]


def state(api: httpx2.Client, name: str) -> bytes:
    return base64.b64decode(api.get(f"/v1/sessions/{name}/state").json()["data"])


def verified(api: httpx2.Client, name: str) -> Json:
    answer: Json = api.post(f"/v1/sessions/{name}:verify").json()
    return answer


def test_a_model_with_covariates_forecasts_clearly_better_with_them(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, 120)
    told, untold = (put(api, f"{name}.{kind}", made) for kind, made in (("with", days), ("without", bare(days))))
    assert told["scores"]["recent"]["mae"] < 0.5 * untold["scores"]["recent"]["mae"]
    assert told["scores"]["recent"]["mase"] < 0.5


def test_one_by_one_at_once_and_after_corrections_sessions_come_to_the_same_bits(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, 30)
    put(api, f"{name}.whole", days, static={"area_km2": 2.0})
    put(api, f"{name}.parts", days[:10], static={"area_km2": 2.0})
    for one in days[10:20]:
        assert post(api, f"{name}.parts", one).status_code == 200
    wrong = [{**one, "covariates": {"promo": 1 - one["covariates"]["promo"], "rain": 0.0}} for one in days[20:]]
    assert post(api, f"{name}.parts", wrong).status_code == 200
    assert state(api, f"{name}.parts") != state(api, f"{name}.whole")
    answer = api.post(f"/v1/sessions/{name}.parts/observations?on_conflict=correct", json=days[20:])
    assert answer.json()["corrected"] == 10
    assert state(api, f"{name}.parts") == state(api, f"{name}.whole")
    for kind in ("whole", "parts"):
        proof = verified(api, f"{name}.{kind}")
        assert (proof["identical"], proof["ok"]) == (True, True)


def test_a_repeated_observation_is_a_replay_and_other_covariates_are_a_conflict(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, 10)
    put(api, name, days[:9])
    first = post(api, name, days[9])
    again = post(api, name, days[9])
    assert (again.headers["idempotency-replayed"], again.content) == ("true", first.content)
    assert post(api, name, bare(days)[9]).content == first.content
    other = {**days[9], "covariates": {"rain": 99.0}}
    body = problem(post(api, name, other), 409, "observation-conflict")
    assert body["stored"]["covariates"] == days[9]["covariates"]


def test_what_was_known_in_advance_is_kept_until_the_next_observation(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, 61)
    put(api, name, days[:60])
    promoted = [{"promo": day % 2} for day in range(5)]
    last = {**days[60], "future": promoted}
    told = post(api, name, last).json()["forecast"]["value"]
    fan = medians(api, name)
    assert fan[0] == told
    on, off = np.mean(fan[1::2]), np.mean(fan[0::2])
    assert on - off == pytest.approx(PROMOTED, abs=6.0)
    post(api, name, {"timestamp": "2025-03-03", "value": None})
    assert np.ptp(medians(api, name)) < 0.6 * (on - off), "nothing is known of the steps ahead any more"


def test_what_may_come_is_forecast_without_committing_anything(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, 60)
    etag = put(api, name, days)["etag"]

    def asked(future: list[Json]) -> list[float]:
        answer = api.post(f"/v1/sessions/{name}:forecast", json={"future": future})
        assert answer.status_code == 200, answer.text
        return [one["value"] for one in answer.json()["forecasts"]]

    assert asked(days[-1]["future"]) == medians(api, name)
    gained = np.array(asked([{"promo": 1}] * 5)) - np.array(asked([{"promo": 0}] * 5))
    assert gained == pytest.approx(PROMOTED, abs=6.0)
    assert api.get(f"/v1/sessions/{name}").json()["etag"] == etag
    unknown = api.post(f"/v1/sessions/{name}:forecast", json={"future": [{"rain": 1.0}]})
    assert "takes promo" in problem(unknown, 422, "invalid-request")["detail"]


@pytest.mark.parametrize(
    ("sent", "pointer", "takes"),
    [
        ({"covariates": {"snow": 1.0}}, "/covariates/snow", "the model shop@1 takes rain, promo"),
        ({"future": [{}, {"rain": 1.0}]}, "/future/1/rain", "the model shop@1 takes promo in advance"),
        ({"future": [{"promo": 1}] * 6}, "/future", "horizon of 5"),
    ],
)
def test_what_the_model_does_not_take_is_refused_by_name(
    api: httpx2.Client, name: str, sent: Json, pointer: str, takes: str
) -> None:
    put(api, name, [])
    refused = post(api, name, {"timestamp": "2025-01-01", "value": 1, **sent})
    [fault] = problem(refused, 422, "invalid-request")["errors"]
    assert fault["pointer"] == pointer
    assert takes in fault["detail"]
    static = api.put(f"/v1/sessions/{name}.s", json={"static": {"height": 3}})
    [fault] = problem(static, 422, "invalid-request")["errors"]
    assert (fault["pointer"], fault["detail"]) == ("/static/height", "the model shop@1 takes area_km2")


def test_one_covariate_is_corrected_and_what_follows_is_folded_again(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, 40)
    put(api, name, days)
    before = medians(api, name)
    key = days[-1]["timestamp"]
    corrected = api.patch(f"/v1/sessions/{name}/observations/{key}", json={"covariates": {"rain": 9.0}})
    assert corrected.json()["corrected"] == 1
    observed = corrected.json()["observed"]
    assert observed["covariates"]["rain"] == 9.0
    assert observed["value"] == days[-1]["value"]
    assert medians(api, name)[0] - before[0] > 10.0, "it rained more"
    refused = api.patch(f"/v1/sessions/{name}/observations/40", json={"covariates": {"snow": 1.0}})
    assert "takes rain, promo" in problem(refused, 422, "invalid-request")["detail"]
    assert verified(api, name)["ok"]


def test_rewinding_and_going_on_comes_to_the_same_bits(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, 40)
    put(api, name, days, static={"area_km2": 1.0})
    whole = state(api, name)
    assert api.post(f"/v1/sessions/{name}:rewind", json={"step": 30}).status_code == 200
    post(api, name, days[30:])
    assert state(api, name) == whole


def test_static_covariates_are_shown_survive_a_reset_and_cannot_change(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, 10)
    assert put(api, name, days, static={"area_km2": 2252.7})["static"] == {"area_km2": 2252.7}
    whole = state(api, name)
    assert api.post(f"/v1/sessions/{name}:reset").json()["static"] == {"area_km2": 2252.7}
    post(api, name, days)
    assert state(api, name) == whole
    refused = api.patch(f"/v1/sessions/{name}", json={"static": {"area_km2": 1.0}})
    problem(refused, 422, "invalid-request")
    other = api.put(f"/v1/sessions/{name}", json={"static": {"area_km2": 1.0}})
    assert problem(other, 409, "session-exists")["differences"] == ["static"]


def test_a_gap_is_folded_with_nothing_known_and_the_history_tells_what_was_sent(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, 12)
    put(api, name, days[:10])
    assert post(api, name, days[11]).json()["imputed"] == 1
    *_, tenth, gap, last = history(api, name)
    assert tenth["covariates"] == days[9]["covariates"]
    assert gap["covariates"] == {"rain": None, "promo": None}
    assert last["covariates"]["promo"] == days[11]["covariates"]["promo"]
    assert verified(api, name)["ok"]


def test_an_exported_session_goes_on_elsewhere_to_the_same_bits(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, 21)
    put(api, name, days[:20], static={"area_km2": 3.0})
    document = api.get(f"/v1/sessions/{name}/state").content
    moved = api.put(
        f"/v1/sessions/{name}.moved/state", content=document, headers={"content-type": "application/json"}
    )
    assert moved.status_code == 201, moved.text
    assert verified(api, f"{name}.moved")["identical"]
    both = [post(api, one, days[20]).json()["forecast"] for one in (name, f"{name}.moved")]
    assert both[0] == both[1]


def test_batches_take_covariates_as_members_and_as_columns(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, 20)
    put(api, f"{name}.single", days)
    put(api, f"{name}.objects", days[:10])
    rows = [{"session": f"{name}.objects", **one} for one in days[10:]]
    answer = api.post("/v1/observations:batch", json={"observations": rows})
    assert answer.json()["counts"] == {"200": 10}
    assert state(api, f"{name}.objects") == state(api, f"{name}.single")
    flat = [{key: one[key] for key in ("timestamp", "value", "covariates")} for one in days]
    put(api, f"{name}.plain", flat)
    lines = [
        f'{{"unique_id":"{name}.table","ds":"{one["timestamp"]}","y":{one["value"]},'
        f'"promo":{one["covariates"]["promo"]},"rain":{one["covariates"]["rain"]}}}'
        for one in days
    ]
    body, kind = "\n".join(lines), {"content-type": "application/jsonl"}
    told = api.post("/v1/observations:batch?create=true&freq=D", content=body, headers=kind)
    assert told.text.count('"problem":null') == 20, told.text
    assert state(api, f"{name}.table") == state(api, f"{name}.plain")
    refused = api.post("/v1/observations:batch", content=lines[0].replace("promo", "snow"), headers=kind)
    assert "takes rain, promo" in refused.text


def test_a_future_frame_forecasts_for_what_its_columns_say(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    put(api, name, days_of(rng, 59))
    kind = {"content-type": "application/jsonl"}

    def framed(column: str, number: int) -> str:
        rows = [f'{{"unique_id":"{name}","ds":"2025-03-{day:02}","{column}":{number}}}' for day in range(1, 4)]
        return api.post("/v1/forecasts:batch", content="\n".join(rows), headers=kind).text

    on, off = (
        [float(line.split('"yhat":')[1].split(",")[0]) for line in framed("promo", number).splitlines()]
        for number in (1, 0)
    )
    assert np.array(on) - np.array(off) == pytest.approx(PROMOTED, abs=6.0)
    assert "takes promo in advance" in framed("rain", 1)


def test_the_model_tells_which_covariates_it_takes(api: httpx2.Client) -> None:
    described = api.get("/v1/models/shop@1").json()
    assert described["covariates"] == {"past": ["rain"], "known": ["promo"], "static": ["area_km2"]}


def test_a_full_history_keeps_covariates_and_folds_all_of_them_again(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, 160)
    put(api, name, days, history="full", static={"area_km2": 1.0})
    assert [one["covariates"] for one in history(api, name)] == [one["covariates"] for one in days]
    corrected = api.patch(f"/v1/sessions/{name}/observations/{days[4]['timestamp']}", json={"covariates": {"rain": 9}})
    assert corrected.json()["observed"]["covariates"]["rain"] == 9.0
    put(api, f"{name}.anew", _with_rain(days, 4, 9.0), static={"area_km2": 1.0})
    assert state(api, name) == state(api, f"{name}.anew")
    assert verified(api, name)["ok"]


def _with_rain(days: list[Json], day: int, rain: float) -> list[Json]:
    wet = {**days[day], "covariates": {**days[day]["covariates"], "rain": rain}}
    return [*days[:day], wet, *days[day + 1 :]]


@pytest.mark.parametrize("kept", [64, "full"])
def test_a_session_that_changes_its_model_keeps_the_covariates_that_both_take(
    api: httpx2.Client, name: str, rng: np.random.Generator, kept: int | str
) -> None:
    days = days_of(rng, 60)
    put(api, name, days, history=kept, static={"area_km2": 1.0})
    changed = api.patch(f"/v1/sessions/{name}", json={"model": "visits@1"})
    assert (changed.status_code, changed.json()["model"]) == (200, "visits@1"), changed.text
    rain = [{"rain": one["covariates"]["rain"], "holiday": None} for one in days]
    assert [one["covariates"] for one in history(api, name)] == rain
    alone = zip(bare(days), rain, strict=True)
    put(api, f"{name}.alone", [{**one, "covariates": given} for one, given in alone], model="visits@1", history=kept)
    assert state(api, name) == state(api, f"{name}.alone")
    assert verified(api, name)["ok"]
    refused = post(api, name, {"timestamp": "2025-03-02", "value": 1, "covariates": {"promo": 1}})
    assert "the model visits@1 takes rain, holiday" in problem(refused, 422, "invalid-request")["detail"]
    back = api.patch(f"/v1/sessions/{name}", json={"model": "shop@1"})
    assert (back.status_code, back.json()["static"]) == (200, {"area_km2": 1.0}), "static ones stay with the session"


@pytest.mark.parametrize("is_flat", [True, False])
def test_the_inference_protocol_takes_covariates_as_one_tensor(
    api: httpx2.Client, name: str, rng: np.random.Generator, *, is_flat: bool
) -> None:
    days = [{key: one[key] for key in ("timestamp", "value", "covariates")} for one in days_of(rng, 20)]
    put(api, f"{name}.put", days)
    described = {one["name"]: one for one in api.get("/v2/models/shop").json()["inputs"]}
    assert described["covariates"]["shape"] == [1, -1, 2]
    columns = described["covariates"]["parameters"]["columns"]
    assert columns == ["rain", "promo"]

    def asked(sequence: str, columns: Sequence[str], model: str = "shop") -> httpx2.Response:
        rows = [[one["covariates"].get(column) for column in columns] for one in days]
        nested = [number for row in rows for number in row] if is_flat else [rows]
        tensors = [
            tensor("value", "FP64", [1, 20], [one["value"] for one in days]),
            tensor("timestamp", "BYTES", [1, 20], [one["timestamp"] for one in days]),
            tensor("covariates", "FP64", [1, 20, len(columns)], nested),
        ]
        parameters = {"sequence_id": sequence, "sequence_start": True, "freq": "D"}
        return api.post(f"/v2/models/{model}/infer", json={"inputs": tensors, "parameters": parameters})

    told = asked(f"{name}.tensor", columns)
    assert told.status_code == 200, told.text
    assert told.json()["outputs"][0]["data"] == medians(api, f"{name}.put", 1)
    assert state(api, f"{name}.tensor") == state(api, f"{name}.put")
    [fault] = problem(asked(f"{name}.snow", [*columns, "snow"]), 422, "invalid-request")["errors"]
    assert (fault["pointer"], fault["detail"]) == ("/inputs/2/shape/2", "must be the columns rain, promo")


def tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}
