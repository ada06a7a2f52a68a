"""The client against a real service: every answer has the members that its class promises, and no others."""

import datetime as dt
from dataclasses import fields
from uuid import uuid4

import pytest

from hiddenstate import Client
from hiddenstate.answers.answer import Answer
from hiddenstate.answers.sessions import Session
from hiddenstate.errors import InvalidRequest, SessionExists, SessionNotFound
from hiddenstate.sending.shapes import BatchObservation, Observation


@pytest.fixture
def session(client: Client) -> str:
    """The id of a session with ten dated values."""
    name = f"shape-{uuid4().hex[:8]}"
    client.put_session(name, [{"timestamp": f"2026-10-{day:02}", "value": 5.0 + day} for day in range(1, 11)], freq="D")
    return name


def assert_whole(answer: Answer | None) -> None:
    assert answer is not None
    assert set(answer.members) == {each.name for each in fields(answer)[1:]}


def test_a_session_has_its_shape(client: Client, session: str) -> None:
    answer = client.session(session)
    assert_whole(answer)
    assert_whole(answer.scores)
    assert_whole(answer.scores.all)


def test_an_advance_has_its_shape(client: Client, session: str) -> None:
    first: Observation = {"timestamp": dt.date(2026, 10, 11), "value": 1}
    answer = client.observe_many(session, [first, {"timestamp": "2026-10-12", "value": None}])
    assert_whole(answer)
    assert_whole(answer.observed)
    assert_whole(answer.forecast)
    assert (answer.applied, answer.observed.value) == (2, None)


def test_forecasts_have_their_shape(client: Client, session: str) -> None:
    answer = client.forecast(session, horizon=3, levels=(50, 90))
    assert_whole(answer)
    quantiles = {"0.05", "0.25", "0.5", "0.75", "0.95"}
    assert [set(forecast.quantiles) for forecast in answer.forecasts] == [quantiles] * 3
    assert [forecast.levels for forecast in answer.forecasts] == [[50, 90]] * 3


def test_a_verification_a_status_and_a_model_have_their_shapes(client: Client, session: str) -> None:
    assert_whole(client.verify(session))
    assert_whole(client.status())
    assert_whole(client.models()[0])


def test_lists_have_their_shapes(client: Client, session: str) -> None:
    assert_whole(client.sessions_page(prefix=session))
    rows: list[BatchObservation] = [{"session": session, "timestamp": "2026-10-11", "value": 1.0}]
    [outcome] = client.observe_batch(rows).outcomes
    assert_whole(outcome)
    answer = client.forecast_batch(sessions=[session])
    assert_whole(answer.outcomes[0])


def test_history_can_be_read_from_either_end(client: Client, session: str) -> None:
    oldest_first = client.history(session).observations
    assert [record.step for record in oldest_first] == list(range(1, 11))
    assert list(client.records(session, newest_first=True)) == list(oldest_first)[::-1]
    assert_whole(oldest_first[0])


def test_settings_can_be_tried_before_they_are_changed(client: Client, session: str) -> None:
    assert client.patch_session(session, max_gap=3, validate_only=True).max_gap == 3
    assert client.session(session).max_gap == 32
    assert client.patch_session(session, max_gap=3).max_gap == 3
    assert client.session(session).max_gap == 3


def test_the_same_idempotency_key_finds_the_first_answer(client: Client) -> None:
    name = f"shape-{uuid4().hex[:8]}"
    first = client.observe(name, 1.0, create=True, idempotency_key="one")
    assert client.observe(name, 1.0, idempotency_key="one") == first
    assert client.session(name).step == 1


def test_a_session_that_counts_takes_steps(client: Client) -> None:
    name = f"shape-{uuid4().hex[:8]}"
    first = client.observe(name, 1.0, step=1, create=True)
    assert client.observe(name, 1.0, step=1) == first
    assert client.session(name).step == 1


def test_a_deleted_session_is_unknown(client: Client, session: str) -> None:
    client.delete(session)
    client.delete(session)
    with pytest.raises(SessionNotFound) as refusal:
        client.session(session)
    assert (refusal.value.type, refusal.value.status) == ("/problems/session-not-found", 404)


def test_a_refused_list_names_the_observation_that_is_wrong(client: Client, session: str) -> None:
    days: list[Observation] = [{"timestamp": "2026-10-11", "value": 1.0}, {"timestamp": "2026-10-32", "value": 2.0}]
    with pytest.raises(InvalidRequest, match="/1/timestamp") as refusal:
        client.observe_many(session, days)
    assert refusal.value.errors[0]["pointer"] == "/1/timestamp"


def test_a_refusal_carries_what_its_kind_adds(client: Client, session: str) -> None:
    with pytest.raises(SessionExists) as refusal:
        client.put_session(session, max_gap=7)
    assert refusal.value.members["differences"] == ["max_gap"]


def test_reset_keeps_the_settings(client: Client, session: str) -> None:
    answer: Session = client.reset(session)
    assert (answer.step, answer.freq) == (0, "D")


def test_rewind_forgets_what_follows(client: Client, session: str) -> None:
    assert client.rewind(session, dt.date(2026, 10, 4)).step == 4
    assert client.rewind(session, 2).step == 2
