"""The client against a real service: every answer has the members that the shapes promise, and no others."""

from collections.abc import Iterator, Mapping
from uuid import uuid4

import pytest

from hiddenstate import Client, ProblemError, shapes
from hiddenstate.shapes import Observation
from tests.hiddenstate.conftest import Running


@pytest.fixture
def client(service: Running) -> Iterator[Client]:
    with Client(service.url) as client:
        yield client


@pytest.fixture
def session(client: Client) -> str:
    """The id of a session with ten dated values."""
    name = f"shape-{uuid4().hex[:8]}"
    client.put_session(name, [{"timestamp": f"2026-10-{day:02}", "value": 5.0 + day} for day in range(1, 11)], freq="D")
    return name


def assert_has(answer: Mapping[str, object], shape: type) -> None:
    promised: set[str] = set(shape.__annotations__)
    assert set(answer) == promised


def test_a_session_has_its_shape(client: Client, session: str) -> None:
    answer = client.session(session)
    assert_has(answer, shapes.Session)
    assert_has(answer["scores"], shapes.SessionScores)
    assert answer["scores"]["all"] is not None
    assert_has(answer["scores"]["all"], shapes.Scores)


def test_an_advance_has_its_shape(client: Client, session: str) -> None:
    days: list[Observation] = [{"timestamp": "2026-10-11", "value": 1.0}, {"timestamp": "2026-10-12", "value": None}]
    answer = client.observe_many(session, days)
    assert_has(answer, shapes.Advance)
    assert_has(answer["observed"], shapes.Record)
    assert answer["forecast"] is not None
    assert_has(answer["forecast"], shapes.Forecast)
    assert (answer["applied"], answer["observed"]["value"]) == (2, None)


def test_forecasts_have_their_shape(client: Client, session: str) -> None:
    answer = client.forecast(session, horizon=3, levels=(50, 90))
    assert_has(answer, shapes.Forecasts)
    quantiles = {"0.05", "0.25", "0.5", "0.75", "0.95"}
    assert [set(forecast["quantiles"]) for forecast in answer["forecasts"]] == [quantiles] * 3


def test_a_verification_and_a_status_have_their_shapes(client: Client, session: str) -> None:
    assert_has(client.verify(session), shapes.Verification)
    assert_has(client.status(), shapes.Status)


def test_history_can_be_read_from_either_end(client: Client, session: str) -> None:
    oldest_first = list(client.history(session))
    assert [record["step"] for record in oldest_first] == list(range(1, 11))
    assert list(client.history(session, newest_first=True)) == oldest_first[::-1]
    assert_has(oldest_first[0], shapes.Record)


def test_the_same_idempotency_key_finds_the_first_answer(client: Client) -> None:
    name = f"shape-{uuid4().hex[:8]}"
    first = client.observe(name, 1.0, create=True, idempotency_key="one")
    assert client.observe(name, 1.0, idempotency_key="one") == first
    assert client.session(name)["step"] == 1


def test_a_deleted_session_is_unknown(client: Client, session: str) -> None:
    client.delete(session)
    client.delete(session)
    with pytest.raises(ProblemError) as refusal:
        client.session(session)
    assert (refusal.value.slug, refusal.value.status) == ("session-not-found", 404)


def test_a_refused_list_names_the_observation_that_is_wrong(client: Client, session: str) -> None:
    days: list[Observation] = [{"timestamp": "2026-10-11", "value": 1.0}, {"timestamp": "2026-10-32", "value": 2.0}]
    with pytest.raises(ProblemError) as refusal:
        client.observe_many(session, days)
    assert refusal.value.members["errors"][0]["pointer"].startswith("/1")


def test_reset_keeps_the_settings(client: Client, session: str) -> None:
    answer = client.reset(session)
    assert_has(answer, shapes.Session)
    assert (answer["step"], answer["freq"]) == (0, "D")
