"""Forecasts of many sessions: each one is that of a single call."""

import httpx2
import pytest

from tests.service.batch.bodies import ARROW, JSON, LINES, arrow, lines, outcomes, post
from tests.service.calls import Json, wait_until
from tests.service.days import day


@pytest.fixture
def sessions(api: httpx2.Client, name: str) -> list[str]:
    """Three with timestamps, one that counts steps, and one without a value."""
    dated = [{"unique_id": f"{name}-{n}", "ds": day(t), "y": 1.5 * t + n} for t in range(1, 5) for n in range(3)]
    counted = [{"unique_id": f"{name}-c", "y": float(t)} for t in range(4)]
    answer = post(api, lines([*dated, *counted, {"unique_id": f"{name}-e", "y": None}]), LINES, "?create=true")
    assert {one["status"] for one in outcomes(answer)} == {200, 201}
    return [*(f"{name}-{n}" for n in range(3)), f"{name}-c"]


def ask(api: httpx2.Client, body: Json, accept: str = JSON) -> list[Json]:
    return outcomes(api.post("/v1/forecasts:batch", json=body, headers={"Accept": accept}))


@pytest.mark.parametrize("horizon", [1, 7, 20])
def test_each_forecast_is_the_one_of_a_single_call(api: httpx2.Client, sessions: list[str], horizon: int) -> None:
    found = ask(api, {"sessions": sessions, "horizon": horizon, "levels": [80, 50]})
    singly = [api.get(f"/v1/sessions/{one}/forecast?horizon={horizon}&levels=80,50").json() for one in sessions]
    assert [one["forecast"] for one in found] == singly
    assert [(one["row"], one["status"], one["problem"]) for one in found] == [(n, 200, None) for n in range(4)]


def test_a_prefix_names_all_sessions_that_begin_with_it(api: httpx2.Client, name: str, sessions: list[str]) -> None:
    def found() -> list[str]:
        return [one["forecast"]["session"] for one in ask(api, {"prefix": f"{name}-"}) if one["forecast"]]

    wait_until(lambda: found() == sorted(sessions))  # the index follows the commits


@pytest.mark.parametrize("accept", [LINES, ARROW])
def test_tables_have_one_row_for_each_session_and_step(
    api: httpx2.Client, sessions: list[str], accept: str
) -> None:
    rows = ask(api, {"sessions": sessions[2:], "horizon": 3}, accept)
    dated = api.get(f"/v1/sessions/{sessions[2]}/forecast?horizon=3").json()["forecasts"]
    assert [(row["unique_id"], row["ds"], row["cutoff"]) for row in rows[:3]] == [
        (sessions[2], day(number), day(4)) for number in (5, 6, 7)
    ]
    assert [str(row["ds"]) for row in rows[3:]] == ["5", "6", "7"]
    for row, single in zip(rows, dated, strict=False):
        names = {"yhat": "0.5", "yhat-lo-80": "0.1", "yhat-hi-80": "0.9", "yhat-lo-95": "0.025", "yhat-hi-95": "0.975"}
        assert {column: row[column] for column in names} == {
            column: single["quantiles"][key] for column, key in names.items()
        }


@pytest.mark.parametrize("accept", [JSON, LINES, ARROW])
def test_what_has_no_forecast_is_told_in_its_place(
    api: httpx2.Client, name: str, sessions: list[str], accept: str
) -> None:
    asked = ["nobody", f"{name}-e", "a b", sessions[0]]
    found = ask(api, {"sessions": asked}, accept)
    slugs = [one["problem"] and str(one["problem"]["type"] if accept == JSON else one["problem"]) for one in found]
    assert [slug and slug.removeprefix("/problems/") for slug in slugs] == [
        "session-not-found", "session-empty", "invalid-request", None,
    ]
    assert [one["status"] for one in found] == [404, 409, 422, 200]


@pytest.mark.parametrize(
    "body", [{}, {"sessions": [], "prefix": ""}, {"sessions": ["a"], "horizon": 0}, {"prefix": "a b"}, {"colour": 1}]
)
def test_what_cannot_be_asked_is_refused(api: httpx2.Client, body: Json) -> None:
    assert api.post("/v1/forecasts:batch", json=body).status_code == 422


def test_a_level_that_the_model_does_not_have_is_each_sessions_refusal(
    api: httpx2.Client, sessions: list[str]
) -> None:
    assert [one["status"] for one in ask(api, {"sessions": sessions, "levels": [98]})] == [422] * 4


@pytest.mark.parametrize(("asked", "where"), [({"horizon": 141}, "/horizon"), ({"levels": [98]}, "/levels")])
def test_what_no_session_can_be_asked_points_into_the_body(
    api: httpx2.Client, sessions: list[str], asked: Json, where: str
) -> None:
    [refused, _] = ask(api, {"sessions": sessions[:2], **asked})
    assert [fault["pointer"] for fault in refused["problem"]["errors"]] == [where]


def frame(sessions: list[str], horizon: int) -> list[Json]:
    """The steps after those of `sessions`, one day of all sessions after the other."""
    return [
        {"unique_id": one, "ds": day(4 + ahead) if one[-1] != "c" else 4 + ahead}
        for ahead in range(1, horizon + 1)
        for one in sessions
    ]


def ask_frame(api: httpx2.Client, body: bytes, media: str, accept: str, query: str = "") -> list[Json]:
    headers = {"Content-Type": media, "Accept": accept}
    return outcomes(api.post(f"/v1/forecasts:batch{query}", content=body, headers=headers))


@pytest.mark.parametrize("accept", [JSON, LINES, ARROW])
def test_a_future_frame_is_answered_as_so_many_steps_of_its_sessions(
    api: httpx2.Client, sessions: list[str], accept: str
) -> None:
    expected = ask(api, {"sessions": sessions, "horizon": 7}, accept)
    assert ask_frame(api, lines(frame(sessions, 7)), LINES, accept) == expected
    dated = ask(api, {"sessions": sessions[:3], "horizon": 7}, accept)
    assert ask_frame(api, arrow(frame(sessions[:3], 7)), ARROW, accept) == dated


def test_sessions_of_a_future_frame_may_ask_for_steps_of_their_own_number(
    api: httpx2.Client, sessions: list[str]
) -> None:
    rows = [*frame(sessions[:1], 3), *frame(sessions[1:2], 20), {"unique_id": sessions[3]}]
    found = ask_frame(api, lines(rows), LINES, JSON, "?levels=50")
    assert [len(one["forecast"]["forecasts"]) for one in found] == [3, 20, 1]
    assert list(found[0]["forecast"]["forecasts"][0]["quantiles"]) == ["0.25", "0.5", "0.75"]


def test_more_rows_than_the_model_reaches_are_a_fault_of_their_times(api: httpx2.Client, sessions: list[str]) -> None:
    found = ask_frame(api, lines([*frame(sessions[:1], 141), *frame(sessions[1:2], 140)]), LINES, JSON)
    assert [one["status"] for one in found] == [422, 200]
    assert found[0]["problem"]["errors"] == [{"pointer": "/ds", "detail": "the rows of a session must be 1 to 140"}]
    [unknown] = ask_frame(api, lines(frame(sessions[:1], 2)), LINES, JSON, "?levels=98")
    assert unknown["problem"]["errors"][0]["parameter"] == "levels"


@pytest.mark.parametrize(
    ("rows", "detail"),
    [
        ([{"ds": day(6)}], f"/ds: must be {day(5)}, step 1 after the last observation"),
        ([{"ds": day(5)}, {"ds": day(5)}], f"/ds: must be {day(6)}, step 2"),
        ([{"ds": 5}], f"/ds: must be {day(5)}"),
        ([{"ds": "soon"}], f"/ds: must be {day(5)}"),
        ([{"ds": day(5), "promo": 1}], "/promo: the model tiny@2 takes no covariates"),
        ([{"ds": day(5), "y": None}], "/y: the model tiny@2 takes no covariates"),
        ([{"ds": True}], "/ds: must be a timestamp (text) or a step"),
    ],
)
def test_a_frame_that_is_not_that_of_the_next_steps_is_its_sessions_refusal(
    api: httpx2.Client, sessions: list[str], rows: list[Json], detail: str
) -> None:
    sent = [{"unique_id": sessions[0], **row} for row in rows] + frame(sessions[1:2], 2)
    found = ask_frame(api, lines(sent), LINES, JSON)
    assert [one["status"] for one in found] == [422, 200]
    assert found[0]["problem"]["detail"].startswith(detail)


def test_a_frame_of_columns_says_what_no_column_can_be(api: httpx2.Client, sessions: list[str]) -> None:
    rows = [row | {"y": 1.0} for row in frame(sessions[:1], 1)]
    [refused] = ask_frame(api, arrow(rows), ARROW, LINES)
    assert (refused["status"], refused["detail"]) == (422, "/y: the model tiny@2 takes no covariates")


@pytest.mark.parametrize(
    ("sent", "media", "query", "status"),
    [
        (b"", LINES, "", 422),
        (b"{}", LINES, "?horizon=2", 422),
        (b"{}", "text/plain", "", 415),
        (b"no stream", ARROW, "", 400),
    ],
)
def test_a_body_that_is_no_frame_is_refused_as_a_whole(
    api: httpx2.Client, sent: bytes, media: str, query: str, status: int
) -> None:
    answer = api.post(f"/v1/forecasts:batch{query}", content=sent, headers={"Content-Type": media})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("accept", [LINES, ARROW])
def test_one_sessions_forecast_is_the_same_table_by_accept(
    api: httpx2.Client, sessions: list[str], accept: str
) -> None:
    for session in sessions:
        answer = api.get(f"/v1/sessions/{session}/forecast?horizon=3", headers={"Accept": accept})
        assert (answer.headers["content-type"], answer.headers["vary"]) == (accept, "Accept")
        assert outcomes(answer) == ask(api, {"sessions": [session], "horizon": 3}, accept)


@pytest.mark.parametrize("accept", [LINES, ARROW])
def test_retained_observations_are_a_frame_of_one_step_forecasts(
    api: httpx2.Client, sessions: list[str], accept: str
) -> None:
    path = f"/v1/sessions/{sessions[0]}/observations?page_size=3"
    page = api.get(path, headers={"Accept": accept})
    shown = api.get(path).json()["observations"]
    rows = outcomes(page)
    assert [(row["unique_id"], row["ds"], row["y"]) for row in rows] == [
        (sessions[0], one["timestamp"], one["value"]) for one in shown
    ]
    assert [row["cutoff"] for row in rows] == [None, day(1), day(2)]
    issued = [one["forecast"] and one["forecast"]["quantiles"]["0.975"] for one in shown]
    assert [row["yhat-hi-95"] for row in rows] == issued
    following = page.headers["link"].split(">")[0].lstrip("<")
    assert [row["ds"] for row in outcomes(api.get(following, headers={"Accept": accept}))] == [day(4)]
