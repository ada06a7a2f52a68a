"""Retries over HTTP: keys, preconditions, and that a replay is told from a new observation before anything else."""

import asyncio

import httpx2
import pytest

from tests.service.calls import post, problem
from tests.service.conftest import Service
from tests.service.days import observation, series


@pytest.fixture
def daily(api: httpx2.Client, name: str) -> str:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 10)})
    return name


def test_a_key_gives_the_same_answer_however_much_came_since(api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={})
    key = {"Idempotency-Key": '"a key"'}
    first = post(api, name, {"value": 1.5}, **key)
    for number in range(7):
        post(api, name, {"value": number})
    again = post(api, name, {"value": 1.5}, **{"Idempotency-Key": "a key"})
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert api.get(f"/v1/sessions/{name}").json()["step"] == 8


def test_a_key_is_known_for_the_last_eight_answers(api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={})
    for number in range(9):
        post(api, name, {"value": number}, **{"Idempotency-Key": f"key-{number}"})
    assert "idempotency-replayed" in post(api, name, {"value": 1}, **{"Idempotency-Key": "key-1"}).headers
    assert post(api, name, {"value": 0}, **{"Idempotency-Key": "key-0"}).json()["step"] == 10


def test_a_key_with_another_payload_is_refused(api: httpx2.Client, daily: str) -> None:
    post(api, daily, observation(11), **{"Idempotency-Key": "k"})
    problem(post(api, daily, observation(12), **{"Idempotency-Key": "k"}), 422, "idempotency-key-reused")


def test_a_refusal_is_not_stored_under_its_key(api: httpx2.Client, daily: str) -> None:
    problem(post(api, daily, observation(4, value=0), **{"Idempotency-Key": "k"}), 409, "out-of-order")
    assert post(api, daily, observation(11), **{"Idempotency-Key": "k"}).json()["step"] == 11


def test_a_creation_is_replayed_with_its_status(api: httpx2.Client, name: str) -> None:
    url = f"/v1/sessions/{name}/observations?create=true"
    answers = [api.post(url, json={"value": 1}, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == [None, "true"]


def test_a_list_under_a_key_is_replayed_whole(api: httpx2.Client, daily: str) -> None:
    key = {"Idempotency-Key": "list"}
    first, again = post(api, daily, series(9, 120), **key), post(api, daily, series(9, 120), **key)
    assert first.content == again.content
    assert first.json()["applied"] == 110


def test_a_key_survives_a_reset(api: httpx2.Client, daily: str) -> None:
    first = post(api, daily, observation(11), **{"Idempotency-Key": "k"})
    api.post(f"/v1/sessions/{daily}:reset")
    assert post(api, daily, observation(11), **{"Idempotency-Key": "k"}).content == first.content


def test_a_reset_under_a_key_is_done_once(api: httpx2.Client, daily: str) -> None:
    key = {"Idempotency-Key": "k"}
    api.post(f"/v1/sessions/{daily}:reset", headers=key)
    post(api, daily, observation(1))
    assert api.post(f"/v1/sessions/{daily}:reset", headers=key).json()["step"] == 1


def test_an_etag_lets_one_of_two_writers_through(api: httpx2.Client, daily: str) -> None:
    etag = api.get(f"/v1/sessions/{daily}").headers["etag"]
    moved = post(api, daily, observation(11), **{"If-Match": etag})
    assert moved.status_code == 200
    body = problem(post(api, daily, observation(12), **{"If-Match": etag}), 412, "precondition-failed")
    assert f'"{body["etag"]}"' == moved.headers["etag"]
    assert post(api, daily, observation(12), **{"If-Match": f'W/{moved.headers["etag"]}'}).status_code == 200


def test_a_replay_is_told_before_the_etag_is_compared(api: httpx2.Client, daily: str) -> None:
    etag = api.get(f"/v1/sessions/{daily}").headers["etag"]
    first = post(api, daily, observation(11), **{"If-Match": etag})
    again = post(api, daily, observation(11), **{"If-Match": etag})
    assert again.content == first.content
    problem(post(api, daily, observation(4, value=0), **{"If-Match": etag}), 412, "precondition-failed")


def test_an_etag_from_the_future_says_that_the_store_went_back(api: httpx2.Client, daily: str) -> None:
    life, revision = api.get(f"/v1/sessions/{daily}").json()["etag"].split("-")
    body = problem(
        post(api, daily, observation(15), **{"If-Match": f'"{life}-{int(revision) + 4}"'}), 409, "state-regressed"
    )
    assert (body["step"], body["last"]) == (10, "2026-01-10")


def test_a_session_may_require_an_etag(api: httpx2.Client, daily: str) -> None:
    api.patch(f"/v1/sessions/{daily}", json={"require_if_match": True})
    problem(post(api, daily, observation(11)), 428, "precondition-required")
    problem(api.patch(f"/v1/sessions/{daily}", json={"minimum": 0}), 428, "precondition-required")
    problem(api.delete(f"/v1/sessions/{daily}"), 428, "precondition-required")
    problem(api.post(f"/v1/sessions/{daily}:reset"), 428, "precondition-required")
    etag = api.get(f"/v1/sessions/{daily}").headers["etag"]
    assert post(api, daily, observation(11), **{"If-Match": etag}).status_code == 200


def test_an_etag_names_no_session_that_is_not_there(api: httpx2.Client, name: str) -> None:
    any_tag = {"If-Match": "*"}
    problem(post(api, name, observation(1), **any_tag), 404, "session-not-found")
    created = api.post(f"/v1/sessions/{name}/observations?create=true", json=observation(1), headers=any_tag)
    problem(created, 412, "precondition-failed")


async def test_of_many_rivals_with_one_key_one_is_applied(service: Service, name: str) -> None:
    async with httpx2.AsyncClient(base_url=service.url, timeout=60) as client:
        await client.put(f"/v1/sessions/{name}", json={})
        url, key = f"/v1/sessions/{name}/observations", {"Idempotency-Key": "k"}
        answers = await asyncio.gather(*(client.post(url, json={"value": 3}, headers=key) for _ in range(30)))
        assert {answer.content for answer in answers} == {answers[0].content}
        assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
        assert (await client.get(f"/v1/sessions/{name}")).json()["step"] == 1


async def test_many_writers_through_two_services_lose_and_double_nothing(
    service: Service, second: Service, name: str
) -> None:
    urls = [f"{each.url}/v1/sessions/{name}/observations" for each in (service, second)]
    async with httpx2.AsyncClient(timeout=60) as client:
        await client.put(f"{service.url}/v1/sessions/{name}", json={"history": 1000})

        async def write(number: int) -> int:
            headers = {"Idempotency-Key": f"w{number}"}
            while True:
                answer = await client.post(urls[number % 2], json={"value": number}, headers=headers)
                if answer.status_code == 200:
                    return int(answer.json()["step"])
                assert answer.json()["retryable"], answer.text
                await asyncio.sleep(0.01)

        steps = await asyncio.gather(*(write(number) for number in range(60)))
        assert sorted(steps) == list(range(1, 61))
        history = (await client.get(f"{service.url}/v1/sessions/{name}/observations")).json()["observations"]
        assert sorted(record["value"] for record in history) == list(range(60))
        assert [steps[int(record["value"])] for record in history] == list(range(1, 61))
