"""A batch is the same rows posted singly, bit for bit: the answers, and all that is stored."""

import json
import os
from typing import Any

import httpx2
import numpy as np
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from service.storage.record import Record
from tests.service.batch.bodies import LINES, lines, outcomes, post
from tests.service.calls import Json
from tests.service.conftest import Service
from tests.service.days import day, series
from tests.service.offline import record_of

SESSIONS = 3
ROW = st.fixed_dictionaries(
    {"session": st.integers(0, SESSIONS - 1), "value": st.sampled_from([1.5, 2.5, 1e3, None])},
    optional={
        "ahead": st.integers(-3, 4),
        "step": st.integers(-2, 2),
        "key": st.sampled_from(["a", "b", "c"]),
        "if_match": st.sampled_from(["*", '"0000000000000000-1"']),
    },
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "freq": st.sampled_from(["D", None]),
        "gaps": st.just("reject"),
        "history": st.sampled_from([0, 2, 5, "full"]),
        "require_if_match": st.just(True),
        "minimum": st.just(2.0),
        "timezone": st.just("Europe/Berlin"),
    },
)


def rows_of(sent: list[Json]) -> list[Json]:
    """Rows with a time of their own: the days go on from one to the next in each session, more or less."""
    at = [0] * SESSIONS
    rows = []
    for one in sent:
        session = one["session"]
        row: Json = {"session": session, "value": one["value"]}
        if "step" in one:
            row["step"] = max(at[session] + one["step"], 1)
        else:
            at[session] = max(at[session] + one.get("ahead", 1), 1)
            row["timestamp"] = day(at[session])
        rows.append(row | {name: one[name] for name in ("key", "if_match") if name in one})
    return rows


def singly(api: httpx2.Client, name: str, rows: list[Json], query: str) -> list[tuple[int, bool, Json]]:
    answers = []
    for row in rows:
        body = {key: row[key] for key in ("value", "timestamp", "step") if key in row}
        headers = {"Idempotency-Key": row["key"]} if "key" in row else {}
        headers |= {"If-Match": row["if_match"]} if "if_match" in row else {}
        answer = api.post(f"/v1/sessions/{name}-{row['session']}/observations{query}", json=body, headers=headers)
        answers.append((answer.status_code, "idempotency-replayed" in answer.headers, answer.json()))
    return answers


def batched(api: httpx2.Client, name: str, rows: list[Json], query: str, media: str) -> list[tuple[int, bool, Json]]:
    sent = []
    for row in rows:
        renamed = {"key": "idempotency_key"}
        one = {renamed.get(key, key): value for key, value in row.items()} | {"session": f"{name}-{row['session']}"}
        sent.append(one)
    body = json.dumps({"observations": sent}) if media == "application/json" else "\n".join(map(json.dumps, sent))
    answer = api.post(f"/v1/observations:batch{query}", content=body, headers={"Content-Type": media})
    assert answer.status_code == 200, answer.text
    outcomes = (
        answer.json()["outcomes"] if media == "application/json" else list(map(json.loads, answer.text.splitlines()))
    )
    assert [outcome["row"] for outcome in outcomes] == list(range(len(rows)))
    return [(one["status"], one["replayed"], one["advance"] or one["problem"]) for one in outcomes]


def comparable(answers: list[tuple[int, bool, Json]], name: str) -> list[Any]:
    """Answers without what differs from session to session: its id, its incarnation, the request."""
    found = []
    for status, replayed, body in answers:
        text = json.dumps({**body, "instance": None}).replace(name, "NAME")
        if body.get("etag"):
            text = text.replace(body["etag"].split("-")[0], "LIFE")
        found.append((status, replayed, text))
    return found


def stored(record: Record) -> list[bytes]:
    """All of a record but its incarnation, its times, and the tokens of requests without key."""
    head = record.head.copy()
    for name in ("incarnation", "tokens", "created_ms", "crc", "updated_ms", "expires_ms"):
        head[name] = np.zeros((), head.dtype[name])
    outcomes = record.outcomes.copy()
    for name in ("crc", "token", "incarnation"):
        outcomes[name] = np.zeros((), outcomes.dtype[name])
    parts = head, record.state, outcomes, record.slots(), record.snapshots
    return [np.ascontiguousarray(part).tobytes() for part in parts]


@examples(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sent=st.lists(ROW, min_size=1, max_size=24),
    before=st.lists(ROW, max_size=6),
    settings=st.none() | SETTINGS,
    correct=st.booleans(),
    media=st.sampled_from(["application/json", "application/jsonl"]),
)
async def test_a_batch_is_the_same_rows_posted_singly(
    service: Service,
    api: httpx2.Client,
    sent: list[Json],
    before: list[Json],
    settings: Json | None,
    correct: bool,
    media: str,
) -> None:
    rows = rows_of([*before, *sent])
    query = "?create=true" if settings is None else "?"
    query += "&on_conflict=correct" if correct else ""
    one, many = (f"{kind}{os.urandom(4).hex()}" for kind in ("one", "many"))
    for name in (one, many):
        for session in range(SESSIONS if settings is not None else 0):
            api.put(f"/v1/sessions/{name}-{session}", json=settings).raise_for_status()
        singly(api, name, rows[: len(before)], query)
    expected = singly(api, one, rows[len(before) :], query)
    assert comparable(batched(api, many, rows[len(before) :], query, media), many) == comparable(expected, one)
    for session in range(SESSIONS):
        if api.get(f"/v1/sessions/{one}-{session}").status_code == 200:
            records = [await record_of(service, f"{name}-{session}") for name in (one, many)]
            assert stored(records[1]) == stored(records[0])


def test_rows_of_a_session_of_another_freq_than_they_would_create_are_refused(api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 3)})
    rows = lines([{"unique_id": name, "ds": day(4), "y": 4.0}])
    [refused] = outcomes(post(api, rows, LINES, "?create=true&freq=h"))
    assert (refused["status"], refused["problem"]) == (409, "session-exists")
    [taken] = outcomes(post(api, rows, LINES, "?create=true&freq=D"))
    assert (taken["status"], taken["step"]) == (200, 4)
