"""Observations over HTTP: every row of the time rules, one by one and in lists."""


import httpx2
import pytest

from service.wire import schemas
from tests.service.calls import post, problem
from tests.service.days import day, observation, series, value


@pytest.fixture
def daily(api: httpx2.Client, name: str) -> str:
    """A session of ten days."""
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 10)})
    return name


@pytest.fixture
def counted(api: httpx2.Client, name: str) -> str:
    """A session of ten steps without timestamps."""
    api.put(f"/v1/sessions/{name}", json={"observations": [{"value": value(n)} for n in range(1, 11)]})
    return name


def test_the_next_one_is_applied_and_answered_with_the_forecast(api: httpx2.Client, daily: str) -> None:
    before = api.get(f"/v1/sessions/{daily}/forecast").json()["forecasts"][0]
    answer = post(api, daily, observation(11))
    advance = schemas.Advance.model_validate(answer.json())
    assert (answer.status_code, advance.step, advance.applied, advance.imputed) == (200, 11, 1, 0)
    assert answer.json()["observed"]["forecast"] == before
    assert advance.forecast is not None
    assert advance.forecast.timestamp == day(12)
    assert api.get(f"/v1/sessions/{daily}/forecast").json()["forecasts"][0] == answer.json()["forecast"]


def test_the_last_one_again_is_a_replay_of_the_same_bytes(api: httpx2.Client, daily: str) -> None:
    first, again = post(api, daily, observation(11)), post(api, daily, observation(11))
    assert again.content == first.content
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


def test_the_last_one_again_with_another_value_is_a_conflict(api: httpx2.Client, daily: str) -> None:
    body = problem(post(api, daily, observation(10, value=7.0)), 409, "observation-conflict")
    assert body["stored"]["value"] == value(10)
    assert f"/observations/{day(10)}" in body["detail"]


def test_an_older_one_that_is_retained_is_a_replay_of_the_same_bytes(api: httpx2.Client, daily: str) -> None:
    answers = [post(api, daily, observation(number)) for number in range(11, 31)]
    for number in (11, 20, 29):
        assert post(api, daily, observation(number)).content == answers[number - 11].content


def test_an_older_one_with_another_value_is_out_of_order(api: httpx2.Client, daily: str) -> None:
    assert problem(post(api, daily, observation(5, value=7.0)), 409, "out-of-order")["last"] == day(10)
    problem(post(api, daily, {"timestamp": "2025-12-01", "value": 7.0}), 409, "out-of-order")


def test_a_gap_is_imputed_and_reported(api: httpx2.Client, daily: str) -> None:
    advance = post(api, daily, observation(14)).json()
    assert (advance["step"], advance["applied"], advance["imputed"]) == (14, 1, 3)
    history = api.get(f"/v1/sessions/{daily}/observations").json()["observations"]
    assert [record["imputed"] for record in history[9:]] == [False, True, True, True, False]
    assert history[11]["value"] is None
    assert history[11]["timestamp"] == day(12)
    assert history[11]["forecast"] is not None


def test_an_imputed_slot_is_no_replay(api: httpx2.Client, daily: str) -> None:
    post(api, daily, observation(14))
    problem(post(api, daily, observation(12, value=None)), 409, "out-of-order")


def test_a_gap_longer_than_max_gap_is_refused(api: httpx2.Client, daily: str) -> None:
    body = problem(post(api, daily, observation(10 + 34)), 422, "gap-too-long")
    assert (body["missing"], body["max_gap"]) == (33, 32)
    assert post(api, daily, observation(10 + 33)).json()["imputed"] == 32


def test_a_gap_longer_than_a_wave_folds_is_imputed(api: httpx2.Client, daily: str) -> None:
    api.patch(f"/v1/sessions/{daily}", json={"max_gap": 1000})
    assert post(api, daily, observation(400)).json()["imputed"] == 389


def test_a_session_may_reject_gaps(api: httpx2.Client, daily: str) -> None:
    api.patch(f"/v1/sessions/{daily}", json={"gaps": "reject"})
    assert problem(post(api, daily, observation(12)), 422, "gap-rejected")["missing"] == 1
    assert post(api, daily, observation(11)).status_code == 200


def test_off_the_grid_is_refused_with_the_nearest(api: httpx2.Client, daily: str) -> None:
    body = problem(post(api, daily, observation(11, timestamp="2026-01-11T02:00:00+02:30")), 422, "off-grid")
    assert body["nearest"] == day(11)
    assert body["errors"][0]["pointer"] == "/timestamp"


def test_null_is_folded_as_missing(api: httpx2.Client, daily: str) -> None:
    advance = post(api, daily, observation(11, value=None)).json()
    assert (advance["observed"]["value"], advance["observed"]["imputed"], advance["applied"]) == (None, False, 1)
    assert advance["observed"]["covered"] is None
    assert advance["forecast"] is not None
    assert post(api, daily, observation(11, value=None)).headers["idempotency-replayed"] == "true"


def test_there_is_no_forecast_before_a_first_value(api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": [observation(1, value=None)]})
    assert post(api, name, observation(2, value=None)).json()["forecast"] is None
    problem(api.get(f"/v1/sessions/{name}/forecast"), 409, "session-empty")
    advance = post(api, name, observation(3)).json()
    assert advance["observed"]["forecast"] is None
    assert advance["forecast"] is not None


def test_forecasts_are_cut_to_minimum_and_maximum_and_observations_are_not(api: httpx2.Client, name: str) -> None:
    bounds = {"minimum": 104, "maximum": 104.5}
    api.put(f"/v1/sessions/{name}", json={"freq": "D", **bounds, "observations": series(1, 30)})
    advance = post(api, name, observation(31, value=1000.0)).json()
    assert advance["observed"]["value"] == 1000.0
    quantiles = [
        *advance["forecast"]["quantiles"].values(),
        *advance["observed"]["forecast"]["quantiles"].values(),
        *(q for one in api.get(f"/v1/sessions/{name}/forecast?horizon=40").json()["forecasts"]
          for q in one["quantiles"].values()),
    ]
    assert min(quantiles) >= 104
    assert max(quantiles) <= 104.5


def test_the_first_timestamp_decides_the_frequency(api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={})
    assert api.get(f"/v1/sessions/{name}").json()["freq"] is None
    assert post(api, name, observation(1)).json()["forecast"]["timestamp"] == day(2)
    assert api.get(f"/v1/sessions/{name}").json()["freq"] == "D"


def test_a_frequency_of_null_counts_steps(api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": None})
    assert problem(post(api, name, observation(1)), 422, "invalid-request")["errors"][0]["pointer"] == "/timestamp"


def test_timestamps_are_read_in_the_zone_of_the_session(api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "timezone": "Europe/Berlin"})
    assert post(api, name, {"timestamp": "2026-03-28", "value": 1}).status_code == 200
    answer = post(api, name, {"timestamp": "2026-03-28T23:00:00Z", "value": 2})
    assert answer.json()["observed"]["timestamp"] == "2026-03-29"


def test_a_session_with_a_frequency_needs_timestamps(api: httpx2.Client, daily: str) -> None:
    problem(post(api, daily, {"value": 1}), 422, "invalid-request")


def test_steps_play_the_part_of_timestamps(api: httpx2.Client, counted: str) -> None:
    first = post(api, counted, {"step": 11, "value": 4.5})
    assert first.json()["step"] == 11
    assert post(api, counted, {"step": 11, "value": 4.5}).content == first.content
    problem(post(api, counted, {"step": 11, "value": 4.0}), 409, "observation-conflict")
    problem(post(api, counted, {"step": 3, "value": 4.0}), 409, "out-of-order")
    assert post(api, counted, {"step": 14, "value": 4.0}).json()["imputed"] == 2
    assert post(api, counted, {"value": 4.0}).json()["step"] == 15


def test_without_steps_the_same_value_again_is_the_next_one(api: httpx2.Client, counted: str) -> None:
    assert [post(api, counted, {"value": 4.5}).json()["step"] for _ in range(2)] == [11, 12]


def test_a_list_is_folded_oldest_first(api: httpx2.Client, daily: str, name: str) -> None:
    advance = post(api, daily, series(11, 15)).json()
    assert (advance["step"], advance["applied"], advance["observed"]["timestamp"]) == (15, 5, day(15))


@pytest.mark.parametrize("length", [3, 300])
def test_a_list_is_atomic(api: httpx2.Client, daily: str, length: int) -> None:
    bad = [*series(11, 10 + length), observation(5, value=1.0)]
    body = problem(post(api, daily, bad), 409, "out-of-order")
    assert body["errors"][0]["pointer"] == f"/{length}"
    assert api.get(f"/v1/sessions/{daily}").json()["step"] == 10


@pytest.mark.parametrize("length", [5, 200])
def test_a_list_counts_overlap_as_replayed_and_again_gives_the_same_bytes(
    api: httpx2.Client, daily: str, length: int
) -> None:
    first = post(api, daily, series(8, 10 + length))
    assert (first.json()["replayed"], first.json()["applied"]) == (3, length)
    again = post(api, daily, series(max(8, length - 40), 10 + length) if length > 64 else series(8, 10 + length))
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["step"] == 10 + length
    if length <= 64:
        assert again.content == first.content


def test_a_list_that_repeats_itself_counts_it_as_replayed(api: httpx2.Client, daily: str) -> None:
    advance = post(api, daily, [observation(11), observation(11), observation(12)]).json()
    assert (advance["applied"], advance["replayed"], advance["step"]) == (2, 1, 12)
    twice = [observation(13), observation(13, value=1.0)]
    assert problem(post(api, daily, twice), 409, "observation-conflict")["errors"][0]["pointer"] == "/1/value"


def test_create_makes_the_session_on_the_way(api: httpx2.Client, name: str) -> None:
    problem(post(api, name, observation(1)), 404, "session-not-found")
    first = api.post(f"/v1/sessions/{name}/observations?create=true", json=observation(1))
    assert (first.status_code, first.headers["location"]) == (201, f"/v1/sessions/{name}")
    assert api.post(f"/v1/sessions/{name}/observations?create=true", json=observation(1)).content == first.content
    assert api.post(f"/v1/sessions/{name}/observations?create=true", json=observation(2)).status_code == 200


def test_create_takes_a_frequency_and_a_model(api: httpx2.Client, name: str) -> None:
    path = f"/v1/sessions/{name}/observations"
    hour = {"timestamp": "2026-01-01T05:00:00Z", "value": 1}
    assert api.post(f"{path}?create=true&freq=h&model=tiny@1", json=hour).json()["model"] == "tiny@1"
    assert api.get(f"/v1/sessions/{name}").json()["next"] == "2026-01-01T06:00:00Z"


@pytest.mark.parametrize(
    "query",
    ["freq=D", "create=yes", "create=true&freq=H", "colour=red", "on_conflict=merge", "create=true&create=true"],
)
def test_query_parameters_are_checked(api: httpx2.Client, daily: str, query: str) -> None:
    body = problem(api.post(f"/v1/sessions/{daily}/observations?{query}", json=observation(11)), 422, "invalid-request")
    assert body["errors"][0]["parameter"] in query


def test_covariates_that_the_model_does_not_take_are_refused(api: httpx2.Client, daily: str) -> None:
    body = problem(post(api, daily, [observation(11, covariates={"promo": 1})]), 422, "invalid-request")
    assert body["errors"][0]["pointer"] == "/0/covariates/promo"
    assert post(api, daily, observation(11, covariates={})).status_code == 200


def test_nothing_that_is_not_finite_is_stored(api: httpx2.Client, daily: str) -> None:
    post(api, daily, observation(11, value=1.3e308))
    before = api.get(f"/v1/sessions/{daily}").json()
    single = problem(post(api, daily, observation(12, value=-1.3e308)), 422, "result-not-finite")
    assert single["detail"].startswith("no finite forecast follows from this value, ")
    assert [fault["pointer"] for fault in single["errors"]] == [""]
    many = [observation(number, value=(-1) ** number * 1.3e308) for number in range(12, 120)]
    problem(post(api, daily, many), 422, "result-not-finite")
    problem(api.get(f"/v1/sessions/{daily}/forecast?horizon=140"), 422, "result-not-finite")
    assert api.get(f"/v1/sessions/{daily}").json() == before


SPIKED = [{"value": 1}, {"value": 1e308}, {"value": 2}]


def test_of_a_list_the_value_that_no_finite_forecast_follows_from_is_named(api: httpx2.Client, name: str) -> None:
    begun = [{"value": 1}] * 3000 + SPIKED
    body = problem(api.put(f"/v1/sessions/{name}", json={"observations": begun}), 422, "result-not-finite")
    assert body["errors"][0]["pointer"] == "/observations/3001"
    assert api.get(f"/v1/sessions/{name}").status_code == 404
    created = api.post(f"/v1/sessions/{name}/observations?create=true", json=SPIKED)
    assert problem(created, 422, "result-not-finite")["errors"][0]["pointer"] == "/1"


def test_of_observations_of_a_session_the_one_that_is_not_finite_is_named(api: httpx2.Client, daily: str) -> None:
    few = [observation(11), observation(13, value=1e308), observation(14)]
    refused = problem(post(api, daily, few), 422, "result-not-finite")
    assert refused["errors"][0]["pointer"] == "/1"
    late = [observation(9, value=1e308), observation(11)]
    answer = api.post(f"/v1/sessions/{daily}/observations?on_conflict=correct", json=late)
    assert problem(answer, 422, "result-not-finite")["errors"][0]["pointer"] == "/0"
    assert api.get(f"/v1/sessions/{daily}").json()["step"] == 10


def test_the_history_is_paged_both_ways(api: httpx2.Client, daily: str) -> None:
    post(api, daily, series(11, 80))
    for order, steps in (("step", list(range(17, 81))), ("step desc", list(range(80, 16, -1)))):
        found, token = [], ""
        while True:
            page = api.get(
                f"/v1/sessions/{daily}/observations", params={"page_size": 20, "order_by": order, "page_token": token}
            ).json()
            found += [record["step"] for record in page["observations"]]
            token = page["next_page_token"]
            if not token:
                break
        assert found == steps


def test_a_session_without_history_still_knows_its_last_answers(api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "history": 0, "observations": series(1, 5)})
    first = post(api, name, observation(6))
    assert post(api, name, observation(6)).content == first.content
    assert api.get(f"/v1/sessions/{name}/observations").json()["observations"] == []
    assert api.get(f"/v1/sessions/{name}").json()["retained_from"] is None
    assert api.post(f"/v1/sessions/{name}:verify").json()["observations"] == 0


def test_two_values_for_one_time_in_a_list_are_told_as_what_they_are(api: httpx2.Client, daily: str) -> None:
    sent = [observation(11), observation(12), observation(12, value=7.0)]
    body = problem(post(api, daily, sent), 409, "observation-conflict")
    assert body["detail"] == f"the request gives two observations for {day(12)}; send one of them"
    assert (body["stored"], body["errors"][0]["pointer"]) == (None, "/2/value")
    assert api.get(f"/v1/sessions/{daily}").json()["step"] == 10


def test_a_list_in_another_order_is_told_so(api: httpx2.Client, daily: str) -> None:
    body = problem(post(api, daily, [observation(13), observation(12)]), 409, "out-of-order")
    assert body["detail"] == "the observation /1 is not later than those before it in the list; send them oldest first"
    assert (body["last"], body["errors"][0]["pointer"]) == (day(10), "/1")


@pytest.mark.parametrize(
    ("asked", "differs"), [("freq=h", "freq"), ("model=tiny@2", "model"), ("freq=h&model=tiny@2", "model, freq")]
)
def test_an_observation_for_a_session_of_other_settings_than_it_would_create_is_refused(
    api: httpx2.Client, name: str, asked: str, differs: str
) -> None:
    path = f"/v1/sessions/{name}/observations?create=true"
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "model": "tiny@1", "observations": series(1, 3)})
    body = problem(api.post(f"{path}&{asked}", json=observation(4)), 409, "session-exists")
    assert body["differences"] == differs.split(", ")
    assert api.get(f"/v1/sessions/{name}").json()["step"] == 3
    for same in ("&freq=D", "&model=tiny@1", "&model=tiny&freq=D", ""):
        assert api.post(path + same, json=observation(4)).status_code == 200
    problem(api.post(f"{path}&{asked}", json=observation(4)), 409, "session-exists")


def test_a_session_whose_freq_is_not_decided_is_what_its_first_observation_would_make_it(
    api: httpx2.Client, name: str
) -> None:
    path = f"/v1/sessions/{name}/observations?create=true&freq"
    api.put(f"/v1/sessions/{name}", json={})
    assert problem(api.post(f"{path}=h", json=observation(4)), 409, "session-exists")["differences"] == ["freq"]
    assert api.post(f"{path}=D", json=observation(4)).status_code == 200
