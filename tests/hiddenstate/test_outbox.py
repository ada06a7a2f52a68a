"""Writes that got no answer, and those that a store has lost: what the client sends again, and what it does not."""

import pytest

from hiddenstate import Client, ServiceUnreachable
from hiddenstate.errors import OutOfOrder, PreconditionFailed, ProblemError, StateRegressed
from tests.hiddenstate.scripted import Answer, Scripted, scripted
from tests.hiddenstate.test_client import ADVANCE, RECORD

LOST = Answer(hang_up=True)
NO_HURRY = {"Retry-After": "31"}


def at(step: int, revision: int | None = None, **members: object) -> Answer:
    """The answer to the observation that brings a session to a step."""
    etag = f"life-{step if revision is None else revision}"
    return Answer(body=ADVANCE | {"step": step, "etag": etag, "observed": RECORD | {"step": step}, **members})


def corrected(step: int, revision: int) -> Answer:
    return at(step, revision, applied=0, corrected=1)


def refusal(slug: str, status: int, *, retryable: bool = False, **members: object) -> Answer:
    body = {"type": f"/problems/{slug}", "title": slug, "status": status, "retryable": retryable, "detail": ""}
    return Answer(status, body | members, NO_HURRY if retryable else {})


def regressed_to(step: int) -> Answer:
    return refusal("state-regressed", 409, step=step, last=None)


def sent(server: Scripted) -> list[tuple[object, str | None]]:
    """The values that were posted, and the If-Match that went with each."""
    return [
        (request.body["value"] if isinstance(request.body, dict) else request.body, request.headers.get("If-Match"))
        for request in server.seen
    ]


def test_what_got_no_answer_goes_before_the_next_with_the_key_that_it_had() -> None:
    with scripted(LOST, LOST, LOST, at(1), at(2)) as server, Client(server.url) as client:
        with pytest.raises(ServiceUnreachable) as failure:
            client.observe("a", 1.0)
        assert (failure.value.kept, client.waiting) == (True, {"a": 1})
        assert client.observe("a", 2.0).step == 2
        assert client.waiting == {}
    keys = [request.headers["Idempotency-Key"] for request in server.seen]
    assert (len(set(keys[:4])), keys[4] in keys[:4]) == (1, False)


def test_what_got_no_answer_is_sent_at_the_end_of_the_with_statement() -> None:
    with scripted(LOST, LOST, LOST, at(1)) as server, Client(server.url) as client, pytest.raises(ServiceUnreachable):
        client.observe("a", 1.0)
    assert len(server.seen) == 4


def test_a_key_of_the_callers_own_that_waits_already_is_that_write() -> None:
    with scripted(LOST, LOST, LOST, at(1)) as server, Client(server.url) as client:
        with pytest.raises(ServiceUnreachable):
            client.observe("a", 1.0, idempotency_key="mine")
        assert client.observe("a", 1.0, idempotency_key="mine").step == 1
    assert len(server.seen) == 4


def test_what_the_service_refuses_is_not_kept() -> None:
    with scripted(refusal("out-of-order", 409), at(1)) as server, Client(server.url) as client:
        with pytest.raises(OutOfOrder) as failure:
            client.observe("a", 1.0)
        assert (failure.value.kept, client.waiting) == (False, {})
        client.observe("a", 2.0)
    assert [value for value, _ in sent(server)] == [1.0, 2.0]


def test_a_refusal_of_what_was_kept_says_so_and_the_new_one_is_kept() -> None:
    busy = refusal("overloaded", 503, retryable=True)
    with scripted(busy, refusal("out-of-order", 409), at(2)) as server, Client(server.url) as client:
        with pytest.raises(ProblemError):
            client.observe("a", 1.0)
        with pytest.raises(OutOfOrder) as failure:
            client.observe("a", 2.0)
        assert '{"value":1.0}' in failure.value.__notes__[0]
        assert (failure.value.kept, client.waiting) == (True, {"a": 1})
        client.flush()
    assert [value for value, _ in sent(server)] == [1.0, 1.0, 2.0]


def test_each_observation_carries_the_etag_of_the_answer_before_it() -> None:
    with scripted(at(1), at(2), at(3)) as server, Client(server.url) as client:
        for value in (1.0, 2.0, 3.0):
            client.observe("a", value)
    assert sent(server) == [(1.0, None), (2.0, '"life-1"'), (3.0, '"life-2"')]


def test_what_the_store_lost_is_sent_again_in_order_and_with_the_same_keys() -> None:
    with (
        scripted(at(1), at(2), at(3), regressed_to(1), at(2), at(3), at(4)) as server,
        Client(server.url) as client,
    ):
        for value in (1.0, 2.0, 3.0):
            client.observe("a", value)
        assert client.observe("a", 4.0).step == 4
    assert sent(server)[4:] == [(2.0, None), (3.0, '"life-2"'), (4.0, '"life-3"')]
    keys = [request.headers["Idempotency-Key"] for request in server.seen]
    assert keys[4:] == keys[1:4]


def test_a_correction_that_the_store_lost_is_sent_again() -> None:
    with (
        scripted(at(1), corrected(1, 2), regressed_to(1), corrected(1, 2), at(2, 3)) as server,
        Client(server.url) as client,
    ):
        client.observe("a", 1.0)
        client.correct("a", 1, 5.0)
        client.observe("a", 2.0)
    assert sent(server) == [(1.0, None), (5.0, '"life-1"'), (2.0, '"life-2"'), (5.0, None), (2.0, '"life-2"')]


def test_a_loss_of_more_than_this_client_sent_is_raised_with_where_the_session_stands() -> None:
    with scripted(at(7), regressed_to(3), at(4)) as server, Client(server.url) as client:
        client.observe("a", 7.0)
        with pytest.raises(StateRegressed) as failure:
            client.observe("a", 8.0)
        assert (failure.value.step, failure.value.kept, client.waiting) == (3, False, {})
        client.observe("a", 4.0)
    assert sent(server)[2] == (4.0, None)


def test_a_loss_among_which_are_another_writers_observations_is_raised() -> None:
    with scripted(at(1), at(3), regressed_to(0)) as server, Client(server.url) as client:
        client.observe("a", 1.0)
        client.observe("a", 3.0)
        with pytest.raises(StateRegressed):
            client.observe("a", 4.0)


def test_a_session_that_another_writer_has_moved_takes_the_observation_all_the_same() -> None:
    moved = refusal("precondition-failed", 412, etag="life-5")
    with scripted(at(1), moved, at(6), at(7)) as server, Client(server.url) as client:
        for value in (1.0, 2.0, 3.0):
            client.observe("a", value)
    assert sent(server)[1:] == [(2.0, '"life-1"'), (2.0, None), (3.0, '"life-6"')]


def test_a_session_that_requires_to_be_seen_is_not_written_to_unseen() -> None:
    moved, required = refusal("precondition-failed", 412, etag="life-5"), refusal("precondition-required", 428)
    with (
        scripted(at(1), moved, required) as server,
        Client(server.url) as client,
    ):
        client.observe("a", 1.0)
        with pytest.raises(PreconditionFailed) as failure:
            client.observe("a", 2.0)
        assert not failure.value.kept


def test_what_was_sent_before_a_deletion_is_not_sent_again() -> None:
    with scripted(LOST, LOST, LOST, Answer(204, b"")) as server, Client(server.url) as client:
        with pytest.raises(ServiceUnreachable):
            client.observe("a", 1.0)
        client.delete("a")
        assert client.waiting == {}


def test_a_value_that_json_has_not_is_refused_before_it_is_kept() -> None:
    with scripted() as server, Client(server.url) as client:
        with pytest.raises(ValueError, match="JSON"):
            client.observe("a", float("nan"))
        assert client.waiting == {}
