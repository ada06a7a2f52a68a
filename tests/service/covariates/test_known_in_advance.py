"""What is known in advance, where observations do not say it: the covariates of those that follow in the request."""

import io
import json
from collections.abc import Callable, Iterator

import httpx2
import numpy as np
import pyarrow as pa
import pytest

from hiddenstate.client import Client
from tests.service.calls import history, post, problem
from tests.service.covariates.shops import Json, days_of
from tests.service.covariates.test_covariates import put, state, verified

JSONL, ARROW = "application/jsonl", "application/vnd.apache.arrow.stream"
DAYS = 40


def untold(days: list[Json]) -> list[Json]:
    """The same observations, which do not say what is known in advance."""
    return [{name: one[name] for name in one if name != "future"} for one in days]


def told(days: list[Json], ahead: int = 5) -> list[Json]:
    """Each with the promotions of those that follow it, and no more."""
    return [
        {**one, "future": [{"promo": later["covariates"]["promo"]} for later in days[at + 1 : at + 1 + ahead]]}
        for at, one in enumerate(days)
    ]


def post_each(api: httpx2.Client, name: str, days: list[Json]) -> None:
    put(api, name, [])
    for one in days:
        assert post(api, name, one).status_code == 200


def same(api: httpx2.Client, name: str, other: str) -> None:
    """Both have the same state, scores and history, and can be proved."""
    assert state(api, name) == state(api, other)
    sessions = [api.get(f"/v1/sessions/{one}").json() for one in (name, other)]
    assert sessions[0]["scores"] == sessions[1]["scores"]
    assert history(api, name) == history(api, other)
    proof = verified(api, name)
    assert (proof["identical"], proof["ok"]) == (True, True)


def put_whole(api: httpx2.Client, name: str, days: list[Json]) -> None:
    put(api, name, days)


def post_list(api: httpx2.Client, name: str, days: list[Json]) -> None:
    put(api, name, [])
    assert post(api, name, days).json()["applied"] == len(days)


def post_batch(api: httpx2.Client, name: str, days: list[Json]) -> None:
    rows = [{"session": name, **one} for one in days]
    answer = api.post("/v1/observations:batch?create=true&freq=D", json={"observations": rows})
    assert sum(answer.json()["counts"].values()) == answer.json()["counts"]["200"] + 1


def columns(name: str, days: list[Json]) -> dict[str, list[object]]:
    covariates = {kind: [one["covariates"][kind] for one in days] for kind in ("promo", "rain")}
    ds, y = ([one[member] for one in days] for member in ("timestamp", "value"))
    return {"unique_id": [name] * len(days), "ds": ds, "y": y, **covariates}


def arrow_of(name: str, days: list[Json]) -> bytes:
    """One record batch a row."""
    table, sink = pa.table(columns(name, days)), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    return sink.getvalue()


def lines_of(name: str, days: list[Json]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows_of(name, days))


def rows_of(name: str, days: list[Json]) -> list[Json]:
    table = columns(name, days)
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


def upload(api: httpx2.Client, body: bytes | Iterator[bytes], kind: str) -> None:
    answer = api.post(
        "/v1/observations:batch?create=true&freq=D", content=body, headers={"content-type": kind, "accept": JSONL}
    )
    assert answer.text.count('"problem":null') == DAYS, answer.text


def post_lines(api: httpx2.Client, name: str, days: list[Json]) -> None:
    upload(api, lines_of(name, days), JSONL)


def post_arrow(api: httpx2.Client, name: str, days: list[Json]) -> None:
    upload(api, arrow_of(name, days), ARROW)


@pytest.mark.parametrize("sent", [put_whole, post_list, post_batch, post_lines, post_arrow])
def test_however_a_history_is_sent_it_gives_the_bits_of_single_posts_that_say_what_was_known(
    api: httpx2.Client,
    name: str,
    rng: np.random.Generator,
    sent: Callable[[httpx2.Client, str, list[Json]], None],
) -> None:
    days = days_of(rng, DAYS)
    post_each(api, f"{name}.single", told(days))
    sent(api, f"{name}.sent", untold(days))
    same(api, f"{name}.sent", f"{name}.single")


def test_a_history_is_forecast_as_well_as_if_each_observation_said_what_is_known(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, 120)
    post_each(api, f"{name}.blind", [{**one, "future": []} for one in days])
    mase = put(api, name, untold(days))["scores"]["recent"]["mase"]
    assert mase < 0.6 * api.get(f"/v1/sessions/{name}.blind").json()["scores"]["recent"]["mase"]


def test_a_body_gives_the_same_bits_however_it_is_cut_under_way(
    api: httpx2.Client, name: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = days_of(rng, DAYS)
    put(api, f"{name}.whole", untold(days))
    monkeypatch.setattr("service.wire.streaming.AHEAD", 200)  # a row or two are taken at once
    upload(api, lines_of(f"{name}.cut", untold(days)), JSONL)
    same(api, f"{name}.cut", f"{name}.whole")


def test_rows_tell_those_less_than_so_many_before_them_and_no_others(
    api: httpx2.Client, name: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = days_of(rng, DAYS)
    post_each(api, f"{name}.single", told(days, 2))
    for module in ("service.routes.feeding", "service.sessions.bulk.lines"):
        monkeypatch.setattr(f"{module}.FORESEEN", 3)
    upload(api, lines_of(f"{name}.whole", untold(days)), JSONL)
    monkeypatch.setattr("service.wire.streaming.AHEAD", 200)
    upload(api, lines_of(f"{name}.cut", untold(days)), JSONL)
    for kind in ("whole", "cut"):
        same(api, f"{name}.{kind}", f"{name}.single")


def test_lines_of_a_client_that_may_wait_for_answers_are_taken_as_they_come(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, DAYS)
    post_each(api, f"{name}.single", untold(days))
    upload(api, iter([lines_of(f"{name}.lines", untold(days))]), JSONL)
    same(api, f"{name}.lines", f"{name}.single")


def known(api: httpx2.Client, name: str) -> list[list[float | None]]:
    """What was known in advance at each observation."""
    return [[row["promo"] for row in one["future"]] for one in history(api, name)]


def test_nothing_is_known_from_beyond_a_step_that_nobody_observed(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, 6)
    left = untold([*days[:2], *days[3:]])
    promo = [one["covariates"]["promo"] for one in days]
    put(api, name, left)
    assert known(api, name) == [promo[1:2], [], [], promo[4:], promo[5:], []]
    post_batch_of = [{"session": f"{name}.b", **one} for one in left]
    api.post("/v1/observations:batch?create=true&freq=D", json={"observations": post_batch_of})
    same(api, f"{name}.b", name)


def test_what_an_observation_says_itself_stands_an_empty_list_too(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = untold(days_of(rng, 4))
    promo = [one["covariates"]["promo"] for one in days]
    own = [{**days[0], "future": []}, {**days[1], "future": [{"promo": 7}]}, *days[2:]]
    put(api, name, own)
    assert known(api, name) == [[], [7], promo[3:], []]
    post_batch_of = [{"session": f"{name}.b", **one} for one in own]
    api.post("/v1/observations:batch?create=true&freq=D", json={"observations": post_batch_of})
    same(api, f"{name}.b", name)


def test_observations_that_were_told_are_the_same_when_they_come_again_alone_or_otherwise(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, 12)
    put(api, name, untold(days[:8]))
    whole = state(api, name)
    for again in (untold(days[7:8]), untold(days[3:6]), told(days[:8])):
        assert post(api, name, again).headers["idempotency-replayed"] == "true"
    corrected = api.post(f"/v1/sessions/{name}/observations?on_conflict=correct", json=untold(days[2:8]))
    assert (corrected.status_code, state(api, name)) == (200, whole)
    assert post(api, name, untold(days[6:])).json()["applied"] == 4
    promo = [one["covariates"]["promo"] for one in days]
    assert known(api, name)[7] == [], "what is folded keeps what was known then"
    assert known(api, name)[8] == promo[9:]
    later = state(api, name)
    assert api.post(f"/v1/sessions/{name}:rewind", json={"step": 8}).status_code == 200
    post(api, name, untold(days[8:]))
    assert state(api, name) == later
    assert verified(api, name)["ok"]


def test_steps_that_are_counted_know_ahead_too(api: httpx2.Client, name: str, rng: np.random.Generator) -> None:
    days = [{name: one[name] for name in ("value", "covariates", "future")} for one in days_of(rng, 20)]
    for kind, sent in (("list", untold(days)), ("single", told(days))):
        assert api.put(f"/v1/sessions/{name}.{kind}", json={"freq": None, "observations": []}).status_code == 201
        for body in (sent,) if kind == "list" else sent:
            assert post(api, f"{name}.{kind}", body).status_code == 200
    rows = [{"session": f"{name}.batch", **one} for one in untold(days)]
    api.put(f"/v1/sessions/{name}.batch", json={"freq": None})
    api.post("/v1/observations:batch", json={"observations": rows})
    same(api, f"{name}.list", f"{name}.single")
    same(api, f"{name}.batch", f"{name}.single")


def test_a_newer_forecast_of_what_is_known_is_a_conflict_that_points_to_it_and_is_corrected(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, 30)
    put(api, name, days)
    newer = {**days[-1], "future": [{"promo": 1 - one["promo"]} for one in days[-1]["future"]]}
    body = problem(post(api, name, newer), 409, "observation-conflict")
    assert [fault["pointer"] for fault in body["errors"]] == ["/future"]
    assert body["stored"]["future"] == days[-1]["future"]
    key = days[-1]["timestamp"]
    corrected = api.patch(f"/v1/sessions/{name}/observations/{key}", json={"future": newer["future"]})
    assert (corrected.status_code, corrected.json()["corrected"]) == (200, 1), corrected.text
    assert corrected.json()["observed"]["future"] == newer["future"]
    assert history(api, name)[-1]["future"] == newer["future"]
    put(api, f"{name}.anew", [*days[:-1], newer])
    assert state(api, name) == state(api, f"{name}.anew")
    assert post(api, name, newer).headers["idempotency-replayed"] == "true"
    assert verified(api, name)["ok"]


def test_a_conflict_points_to_all_that_differs(api: httpx2.Client, name: str, rng: np.random.Generator) -> None:
    days = days_of(rng, 10)
    put(api, name, days)

    def pointers(**other: object) -> list[str]:
        body = problem(post(api, name, [{**days[-1], **other}]), 409, "observation-conflict")
        return [fault["pointer"] for fault in body["errors"]]

    covariates, future = days[-1]["covariates"], days[-1]["future"]
    assert pointers(value=1.0) == ["/0/value"]
    assert pointers(covariates={**covariates, "rain": 99.0}) == ["/0/covariates/rain"]
    assert pointers(covariates={"promo": 5}, future=[*future[:3], {"promo": 7}, {"promo": 7}]) == [
        "/0/covariates/promo",
        "/0/future",
    ]
    assert pointers(value=None, covariates={"rain": None}) == ["/0/value", "/0/covariates/rain"]


@pytest.mark.parametrize(
    ("sent", "pointer"),
    [({"future": [{"rain": 1.0}]}, "/future/0/rain"), ({"future": [{}] * 6}, "/future"), ({"futur": []}, "/futur")],
)
def test_a_correction_of_what_was_known_is_checked_as_an_observation_is(
    api: httpx2.Client, name: str, rng: np.random.Generator, sent: Json, pointer: str
) -> None:
    put(api, name, days_of(rng, 5))
    refused = problem(api.patch(f"/v1/sessions/{name}/observations/5", json=sent), 422, "invalid-request")
    assert [fault["pointer"] for fault in refused["errors"]] == [pointer]


def test_a_correction_changes_the_steps_ahead_that_it_names(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, 12)
    put(api, name, days)
    corrected = api.patch(f"/v1/sessions/{name}/observations/9", json={"future": [{}, {"promo": 4}, {"promo": None}]})
    first, _, _, *rest = days[8]["future"]
    assert corrected.json()["observed"]["future"] == [first, {"promo": 4.0}, {"promo": None}, *rest]
    assert verified(api, name)["ok"]


def test_records_tell_what_was_known_where_a_model_knows_anything_in_advance(
    api: httpx2.Client, name: str, rng: np.random.Generator
) -> None:
    days = days_of(rng, 8)
    promo = [{"promo": one["covariates"]["promo"]} for one in days]
    put(api, name, untold(days))
    assert [one["future"] for one in history(api, name)] == [promo[at + 1 : at + 6] for at in range(8)]
    with Client(str(api.base_url)) as client:
        assert [list(one.future) for one in client.records(name)] == [one["future"] for one in history(api, name)]
