"""What holds for batches whatever their media type: order, keys, conditions, creation, refusals, limits."""

import gzip
import json

import httpx2
import pytest

from tests.service.batch.bodies import ARROW, JSON, LINES, arrow, lines, outcomes, post
from tests.service.calls import Json, history, problem
from tests.service.conftest import Service
from tests.service.days import day


def table(name: str, first: int, last: int) -> list[Json]:
    return [{"unique_id": name, "ds": day(number), "y": 2.0 * number} for number in range(first, last + 1)]


def body_of(rows: list[Json], media: str) -> bytes:
    """Table rows in a media type; as JSON they are objects."""
    if media == JSON:
        names = {"unique_id": "session", "ds": "timestamp", "y": "value"}
        objects = [{names.get(key, key): value for key, value in row.items()} for row in rows]
        return json.dumps({"observations": objects}).encode()
    return lines(rows) if media == LINES else arrow(rows)


@pytest.mark.parametrize("media", [JSON, LINES, ARROW])
def test_rows_of_one_session_are_applied_in_order(api: httpx2.Client, name: str, media: str) -> None:
    found = outcomes(post(api, body_of(table(name, 1, 70), media), media, "?create=true"))
    assert [one["status"] for one in found] == [201] + [200] * 69
    assert [one["step"] if media != JSON else one["advance"]["step"] for one in found] == list(range(1, 71))
    assert [one["value"] for one in history(api, name)] == [2.0 * number for number in range(7, 71)]


def test_batches_and_single_observations_take_turns_at_a_session(api: httpx2.Client, name: str) -> None:
    for first in (1, 5, 9):
        outcomes(post(api, lines(table(name, first, first + 1)), LINES, "?create=true"))
        for number in (first + 2, first + 3):
            sent = {"timestamp": day(number), "value": 2.0 * number}
            assert api.post(f"/v1/sessions/{name}/observations", json=sent).json()["step"] == number
    assert [one["value"] for one in history(api, name)] == [2.0 * number for number in range(1, 13)]


@pytest.mark.parametrize("media", [JSON, LINES, ARROW])
def test_a_batch_sent_again_with_its_key_changes_nothing_and_answers_the_same(
    api: httpx2.Client, name: str, media: str
) -> None:
    rows = [row | {"unique_id": f"{name}-{n}"} for n in range(5) for row in table(name, 1, 6)]
    rows += [{"unique_id": f"{name}-counted", "y": float(n)} for n in range(8)]
    sent = body_of(rows, media)
    first = outcomes(post(api, sent, media, "?create=true", **{"Idempotency-Key": name}))
    again = outcomes(post(api, sent, media, "?create=true", **{"Idempotency-Key": name}))
    assert {one["replayed"] for one in first} == {False}
    assert again == [one | {"replayed": True} for one in first]


def test_a_row_key_is_the_key_of_a_single_request(api: httpx2.Client, name: str) -> None:
    row = {"session": name, "value": 1.0, "idempotency_key": "k"}
    [first] = outcomes(post(api, lines([row]), LINES, "?create=true"))
    answer = api.post(f"/v1/sessions/{name}/observations", json={"value": 1.0}, headers={"Idempotency-Key": "k"})
    assert (answer.headers["idempotency-replayed"], answer.json()) == ("true", first["advance"])


def test_the_header_gives_row_i_the_key_with_its_number(api: httpx2.Client, name: str) -> None:
    rows = [{"session": name, "value": 1.0}, {"session": name, "value": 2.0}]
    found = outcomes(post(api, lines(rows), LINES, "?create=true", **{"Idempotency-Key": "load"}))
    answer = api.post(f"/v1/sessions/{name}/observations", json={"value": 2.0}, headers={"Idempotency-Key": "load/1"})
    assert (answer.headers["idempotency-replayed"], answer.json()) == ("true", found[1]["advance"])


def test_a_key_with_another_payload_is_that_rows_refusal(api: httpx2.Client, name: str) -> None:
    rows = [{"session": name, "value": float(n), "idempotency_key": "k"} for n in (1, 1, 2)]
    found = outcomes(post(api, lines(rows), LINES, "?create=true"))
    assert [(one["status"], one["replayed"]) for one in found] == [(201, False), (201, True), (422, False)]
    assert found[2]["problem"]["type"] == "/problems/idempotency-key-reused"


def test_a_known_row_before_a_new_one_is_not_applied_again(api: httpx2.Client, name: str) -> None:
    rows = [{"session": name, "value": float(n), "idempotency_key": f"till/{n}"} for n in range(4)]
    post(api, lines(rows[:2]), LINES, "?create=true")
    found = outcomes(post(api, lines([*rows, *rows[2:]]), LINES))
    assert [(one["replayed"], one["advance"]["step"]) for one in found] == [
        *[(True, 1), (True, 2), (False, 3), (False, 4)],
        *[(True, 3), (True, 4)],
    ]


def test_if_match_in_a_row_is_compared(api: httpx2.Client, name: str) -> None:
    [first] = outcomes(post(api, lines(table(name, 1, 1)), LINES, "?create=true"))
    rows = [row | {"if_match": first["etag"]} for row in table(name, 2, 3)]
    assert [one["status"] for one in outcomes(post(api, lines(rows), LINES))] == [200, 412]


def test_another_value_is_corrected_where_that_is_asked_for(api: httpx2.Client, name: str) -> None:
    post(api, lines(table(name, 1, 7)), LINES, "?create=true")
    week = [row | {"y": row["y"] + (row["ds"] == day(5))} for row in table(name, 2, 8)]
    found = outcomes(post(api, lines(week), LINES, "?on_conflict=correct"))
    assert [(one["status"], one["replayed"]) for one in found] == [
        *[(200, True)] * 3, (200, False), *[(200, True)] * 2, (200, False),
    ]
    assert [one["value"] for one in history(api, name)] == [2.0, 4.0, 6.0, 8.0, 11.0, 12.0, 14.0, 16.0]


def test_without_creation_an_unknown_session_is_each_of_its_rows_404(api: httpx2.Client, name: str) -> None:
    found = outcomes(post(api, lines(table(name, 1, 2)), LINES))
    assert [(one["status"], one["problem"]) for one in found] == [(404, "session-not-found")] * 2


def test_a_refused_row_keeps_none_of_the_others_from_being_applied(api: httpx2.Client, name: str) -> None:
    sent = lines(table(name, 1, 2)) + b"{not json\n" + lines([{"unique_id": name, "ds": "yesterday", "y": 1}])
    found = outcomes(post(api, sent + lines(table(name, 3, 3)), LINES, "?create=true"))
    assert [one["status"] for one in found] == [201, 200, 400, 422, 200]
    assert found[2]["detail"].startswith("the line is not JSON")
    assert [one["problem"] for one in found[2:4]] == ["malformed-request", "invalid-request"]
    assert found[3]["detail"].startswith("ds: not an ISO 8601 date")


def test_minimal_outcomes_say_so(api: httpx2.Client, name: str) -> None:
    answer = post(api, lines(table(name, 1, 2)), LINES, "?create=true", Prefer="return=minimal")
    assert answer.headers["preference-applied"] == "return=minimal"
    assert outcomes(answer) == [
        {"row": row, "status": status, "replayed": False, "step": row + 1, "problem": None, "detail": None}
        for row, status in enumerate((201, 200))
    ]


def test_counts_are_those_of_the_outcomes(api: httpx2.Client, name: str) -> None:
    rows = [*table(name, 1, 3), *table(name, 2, 2), *table("a b", 1, 1)]
    answer = post(api, body_of(rows, JSON), JSON, "?create=true")
    assert answer.json()["counts"] == {"200": 3, "201": 1, "422": 1}


@pytest.mark.parametrize(("accept", "answered"), [("*/*", LINES), (JSON, JSON), ("text/html, " + ARROW, ARROW)])
def test_accept_decides_the_answer_and_defaults_to_what_was_sent(
    api: httpx2.Client, name: str, accept: str, answered: str
) -> None:
    answer = post(api, lines(table(name, 1, 2)), LINES, "?create=true", Accept=accept)
    assert (answer.headers["content-type"], answer.headers["vary"]) == (answered, "Accept")
    assert [one["status"] for one in outcomes(answer)] == [201, 200]


def test_ndjson_is_json_lines_by_another_name(api: httpx2.Client, name: str) -> None:
    answer = post(api, lines(table(name, 1, 2)), "application/x-ndjson", "?create=true")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert len(answer.text.splitlines()) == 2


def test_a_gzip_body_is_inflated_while_it_comes(api: httpx2.Client, name: str) -> None:
    sent = gzip.compress(lines(table(name, 1, 40)))
    found = outcomes(post(api, sent, LINES, "?create=true", **{"Content-Encoding": "gzip"}))
    assert [one["status"] for one in found] == [201] + [200] * 39
    members = b"".join(gzip.compress(lines([row])) for row in table(name, 41, 50))
    found = outcomes(post(api, members, LINES, **{"Content-Encoding": "gzip"}))
    assert [one["step"] for one in found] == list(range(41, 51))
    cut = outcomes(post(api, sent[:-9], LINES, **{"Content-Encoding": "gzip"}))
    assert (cut[-1]["row"], cut[-1]["status"], cut[-1]["problem"]) == (None, 400, "malformed-request")


def test_a_line_that_is_too_long_is_that_rows_refusal(api: httpx2.Client, name: str) -> None:
    long = b'{"session": "%b", "value": 1, "x": "%b"}\n' % (name.encode(), b"x" * 2**20)
    found = outcomes(post(api, lines(table(name, 1, 1)) + long + lines(table(name, 2, 2)), LINES, "?create=true"))
    assert [(one["row"], one["status"]) for one in found] == [(0, 201), (1, 400), (2, 200)]


@pytest.mark.parametrize(
    ("sent", "media", "status", "slug"),
    [
        (b"{", JSON, 400, "malformed-request"),
        (b"[]", JSON, 422, "invalid-request"),
        (b'{"observations": [], "x": 1}', JSON, 422, "invalid-request"),
        (json.dumps({"observations": [{"session": "a", "value": 1}] * 50_001}).encode(), JSON, 422, "invalid-request"),
        (b" " * (8 * 2**20 + 1), JSON, 413, "too-large"),
        (b"{}", "text/plain", 415, "unsupported-media-type"),
    ],
)
def test_a_body_that_is_no_batch_is_refused_as_a_whole(
    api: httpx2.Client, sent: bytes, media: str, status: int, slug: str
) -> None:
    problem(post(api, sent, media), status, slug)


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("?freq=D", {}, 422),
        ("?create=true&model=nobody", {}, 404),
        ("?colour=red", {}, 422),
        ("", {"Accept": "text/html"}, 406),
        ("", {"Content-Encoding": "br"}, 415),
        ("", {"Idempotency-Key": ""}, 400),
    ],
)
def test_what_is_wrong_with_the_request_itself_is_told_before_its_rows(
    api: httpx2.Client, query: str, headers: dict[str, str], status: int
) -> None:
    assert post(api, lines(table("any", 1, 1)), LINES, query, **headers).status_code == status


def test_two_services_take_turns_at_the_same_sessions(
    api: httpx2.Client, second: Service, name: str
) -> None:
    with httpx2.Client(base_url=second.url, timeout=60.0) as other:
        for number in range(1, 9):
            rows = [row for n in range(20) for row in table(f"{name}-{n}", number, number)]
            found = outcomes(post((api, other)[number % 2], lines(rows), LINES, "?create=true"))
            assert {(one["status"], one["step"]) for one in found} == {(201 if number == 1 else 200, number)}
