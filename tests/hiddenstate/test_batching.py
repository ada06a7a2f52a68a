"""Rows of many sessions: how they are divided, and which of them are sent again."""

from hiddenstate import Client
from hiddenstate.sending.shapes import BatchObservation
from tests.hiddenstate.scripted import Answer, scripted
from tests.hiddenstate.test_client import ADVANCE, BUSY


def outcomes(*statuses: int) -> Answer:
    rows = [
        {
            "row": row,
            "status": status,
            "replayed": False,
            "advance": ADVANCE if status == 200 else None,
            "problem": None if status == 200 else BUSY,
        }
        for row, status in enumerate(statuses)
    ]
    return Answer(body={"outcomes": rows, "counts": {}})


def bare(session: str, count: int) -> list[BatchObservation]:
    return [{"session": session, "value": float(value)} for value in range(count)]


def test_only_rows_that_were_not_settled_are_sent_again_with_their_keys() -> None:
    with scripted(outcomes(200, 503, 200), outcomes(200)) as server, Client(server.url) as client:
        batch = client.observe_batch(bare("a", 3), idempotency_key="k")
    assert [(outcome.row, outcome.status) for outcome in batch.outcomes] == [(0, 200), (1, 200), (2, 200)]
    keys = [[row["idempotency_key"] for row in request.body["observations"]] for request in server.seen]  # type: ignore[index]
    assert keys == [["k/0", "k/1", "k/2"], ["k/1"]]


def test_what_stays_unsettled_is_told_as_it_is() -> None:
    with scripted(outcomes(503), outcomes(503), outcomes(503)) as server, Client(server.url) as client:
        [refused] = client.observe_batch(bare("a", 1)).refused
    assert refused.problem is not None
    assert (refused.problem.slug, len(server.seen)) == ("overloaded", 3)


def test_bare_values_of_one_session_go_by_eights_so_that_all_their_keys_are_remembered() -> None:
    with scripted(outcomes(*[200] * 16), outcomes(*[200] * 2)) as server, Client(server.url) as client:
        batch = client.observe_batch([*bare("a", 8), *bare("b", 8), *bare("a", 2)])
    assert [outcome.row for outcome in batch.outcomes] == list(range(18))
    assert [len(request.body["observations"]) for request in server.seen] == [16, 2]  # type: ignore[index]
