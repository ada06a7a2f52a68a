"""history: "full" keeps every observation, and every one of them can be corrected or gone back to."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from service.storage.store import SessionStore
from tests.service.calls import correct, history, post, problem, rewind
from tests.service.conftest import Service, serving
from tests.service.days import day, observation, series, value
from tests.service.offline import offline, record_of

LONG = 1100
RINGS = {"ring of 64": 64, "ring of 5": 5}


@pytest.fixture(params=list(RINGS.values()), ids=list(RINGS), scope="module")
def ringed(request: pytest.FixtureRequest, service: Service) -> Iterator[Service]:
    """A service whose records have a ring of that size."""
    with serving(service.registry, service.store_url, history=request.param) as running:
        yield running


@pytest.fixture
def api(ringed: Service) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=ringed.url, timeout=60.0) as client:
        yield client


def create(api: httpx2.Client, name: str, steps: int, **settings: Any) -> None:  # noqa: ANN401 - any JSON
    body = {"freq": "D", "history": "full", "observations": series(1, steps), **settings}
    assert api.put(f"/v1/sessions/{name}", json=body).status_code == 201


def values(first: int, last: int) -> list[float | None]:
    return [value(number) for number in range(first, last + 1)]


async def is_the_fold_of(service: Service, name: str, sent: list[float | None]) -> bool:
    record = await record_of(service, name)
    return record.state.tobytes() == offline(service.registry.default, record, sent)[0].tobytes()


async def keys_of(service: Service, name: str) -> list[bytes]:
    async with SessionStore.open(service.store_url) as store:
        [node] = await store.servers.nodes(1.0)
        [keys] = await store.servers.run_at(node, [(b"KEYS", b"*" + name.encode() + b"*")], 1.0)
    return sorted(keys)


async def test_all_observations_are_retained(api: httpx2.Client, ringed: Service, name: str) -> None:
    create(api, name, 70)
    for number in range(71, 151):
        post(api, name, observation(number))
    post(api, name, series(151, 210))
    post(api, name, series(211, LONG))
    session = api.get(f"/v1/sessions/{name}").json()
    assert (session["history"], session["retained_from"], session["step"]) == ("full", day(1), LONG)
    shown = history(api, name)
    assert [one["value"] for one in shown] == values(1, LONG)
    _, issued = offline(ringed.registry.default, await record_of(ringed, name), values(1, LONG))
    assert [one["forecast"] is None for one in shown] == [forecast is None for forecast in issued[:LONG]]
    verified = api.post(f"/v1/sessions/{name}:verify").json()
    assert (verified["observations"], verified["identical"], verified["ok"]) == (LONG, True, True)


def test_pages_go_both_ways(api: httpx2.Client, name: str) -> None:
    create(api, name, 200)
    url = f"/v1/sessions/{name}/observations"
    steps: list[int] = []
    query = {"page_size": "30", "order_by": "step desc"}
    while True:
        page = api.get(url, params=query).json()
        steps += [one["step"] for one in page["observations"]]
        if not page["next_page_token"]:
            break
        query["page_token"] = page["next_page_token"]
    assert steps == list(range(200, 0, -1))


async def test_any_observation_can_be_corrected(api: httpx2.Client, ringed: Service, name: str) -> None:
    create(api, name, 130)
    before = history(api, name)
    sent = values(1, 130)
    for step in (100, 2, 65, 64, 128, 1, 130):
        assert correct(api, name, day(step), 500.0 + step).json()["observed"]["original"] == sent[step - 1]
        sent[step - 1] = 500.0 + step
    for number in range(131, 270):
        post(api, name, observation(number))
    sent += values(131, 269)
    assert await is_the_fold_of(ringed, name, sent)
    after = history(api, name)
    assert [one["value"] for one in after] == sent
    assert [one["forecast"] for one in after[:130]] == [one["forecast"] for one in before]
    assert all(one["revised"] is not None for one in after[2:130])
    assert api.post(f"/v1/sessions/{name}:verify").json()["ok"]


async def test_an_old_observation_that_is_sent_again_is_known(api: httpx2.Client, ringed: Service, name: str) -> None:
    create(api, name, 150)
    stood = api.get(f"/v1/sessions/{name}").json()
    assert post(api, name, observation(3)).headers["idempotency-replayed"] == "true"
    problem(post(api, name, observation(3, value=1.0)), 409, "out-of-order")
    assert api.get(f"/v1/sessions/{name}").json() == stood
    url = f"/v1/sessions/{name}/observations?on_conflict=correct"
    body = api.post(url, json=[observation(3, value=1.0), observation(150), observation(151)]).json()
    assert (body["corrected"], body["replayed"], body["applied"]) == (1, 1, 1)
    assert await is_the_fold_of(ringed, name, [*values(1, 2), 1.0, *values(4, 151)])


@pytest.mark.parametrize("last", [149, 130, 128, 127, 70, 64, 3, 1])
async def test_any_observation_can_be_gone_back_to(api: httpx2.Client, ringed: Service, name: str, last: int) -> None:
    create(api, name, 150)
    answer = rewind(api, name, {"step": last})
    assert (answer.status_code, answer.json()["step"]) == (200, last)
    assert await is_the_fold_of(ringed, name, values(1, last))
    assert [one["value"] for one in history(api, name)] == values(1, last)
    again = [observation(number, value=-value(number)) for number in range(last + 1, 171)]
    post(api, name, again)
    sent = [*values(1, last), *(one["value"] for one in again)]
    assert await is_the_fold_of(ringed, name, sent)
    assert [one["value"] for one in history(api, name)] == sent
    correct(api, name, day(2), 5.0)
    assert await is_the_fold_of(ringed, name, [sent[0], 5.0, *sent[2:]])


async def test_a_new_life_and_the_end_take_the_history_away(api: httpx2.Client, ringed: Service, name: str) -> None:
    create(api, name, 150)
    assert len(await keys_of(ringed, name)) == 2
    api.post(f"/v1/sessions/{name}:reset")
    assert len(await keys_of(ringed, name)) == 1
    post(api, name, series(1, 100))
    assert [one["step"] for one in history(api, name)] == list(range(1, 101))
    assert len(await keys_of(ringed, name)) == 2
    api.delete(f"/v1/sessions/{name}")
    assert await keys_of(ringed, name) == []


async def test_a_missing_or_damaged_part_is_named_where_it_is_needed(
    api: httpx2.Client, ringed: Service, name: str
) -> None:
    create(api, name, 150)
    async with SessionStore.open(ringed.store_url) as store:
        [node] = await store.servers.nodes(1.0)
        key = store.history_key(name)
        [chunk] = await store.servers.run_at(node, [(b"HGET", key, b"0")], 1.0)
        for broken in (chunk[:100] + b"?" + chunk[101:], chunk[:-8], b"", None):
            change = (b"HDEL", key, b"0") if broken is None else (b"HSET", key, b"0", broken)
            await store.servers.run_at(node, [change], 1.0)
            problem(correct(api, name, 2, 1.0), 409, "record-damaged")
            problem(api.get(f"/v1/sessions/{name}/observations"), 409, "record-damaged")
    assert correct(api, name, 149, 1.0).status_code == 200
    number = api.get(f"/v1/sessions/{name}").json()["step"] + 1
    assert post(api, name, observation(number)).status_code == 200


async def test_the_history_expires_with_its_session(api: httpx2.Client, ringed: Service, name: str) -> None:
    create(api, name, 150, ttl_s=200_000)
    for changed in ({"ttl_s": 300_000}, {"ttl_s": None}, {"ttl_s": 400_000}):
        api.patch(f"/v1/sessions/{name}", json=changed)
        post(api, name, observation(api.get(f"/v1/sessions/{name}").json()["step"] + 1))
        async with SessionStore.open(ringed.store_url) as store:
            [node] = await store.servers.nodes(1.0)
            asked = [(b"PEXPIRETIME", key) for key in (store.key(name), store.history_key(name))]
            times = await store.servers.run_at(node, asked, 1.0)
        assert times[0] == times[1]
        assert (times[0] == -1) is (changed["ttl_s"] is None)


async def test_a_history_that_becomes_full_late_has_no_chunks_of_what_was_not_retained(
    api: httpx2.Client, ringed: Service, name: str
) -> None:
    create(api, name, LONG, history=40)
    assert api.patch(f"/v1/sessions/{name}", json={"history": "full"}).json()["history"] == "full"
    post(api, name, series(LONG + 1, LONG + 100))
    steps = [one["step"] for one in history(api, name)]
    ring = int((await record_of(ringed, name)).history)
    async with SessionStore.open(ringed.store_url) as store:
        [node] = await store.servers.nodes(1.0)
        [fields] = await store.servers.run_at(node, [(b"HKEYS", store.history_key(name))], 1.0)
    moved = {(step - 1) // ring for step in steps if step <= steps[-1] // ring * ring}
    assert set(fields) == {b"base", *(b"%d" % chunk for chunk in moved)}
