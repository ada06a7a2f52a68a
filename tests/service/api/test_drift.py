"""Drift of sessions over HTTP: shown from the observation that raised the alarm until errors have settled."""

from collections.abc import Callable

import httpx2
import pytest

from tests.service.calls import wait_until
from tests.service.days import Observation, day, observation, series, value
from tests.service.live.listener import listening

NOTHING = {"detected": False, "since": None}
USUAL = 70


def climbing(number: int) -> Observation:
    """An observation of a series that goes another way after the usual ones."""
    return observation(number, value=value(number) + 60.0 * max(number - USUAL, 0))


def drift_of(client: httpx2.Client, name: str) -> object:
    return client.get(f"/v1/sessions/{name}").json()["drift"]


def listed(client: httpx2.Client, prefix: str) -> list[object]:
    return [one["drift"] for one in client.get("/v1/sessions", params={"prefix": prefix}).json()["sessions"]]


def test_drift_is_shown_since_the_observation_that_raised_the_alarm(noticing: httpx2.Client, name: str) -> None:
    path = f"/v1/sessions/{name}"
    noticing.put(path, json={"model": "daily@2", "freq": "D", "observations": series(1, USUAL)})
    seen = []
    for number in range(USUAL + 1, USUAL + 16):
        seen.append(drift_of(noticing, name))
        noticing.post(f"{path}/observations", json=climbing(number))
    alarmed = [shown for shown in seen if shown != NOTHING]
    since = day(USUAL + 1 + seen.index(alarmed[0]) - 1)
    assert seen[0] == NOTHING
    assert alarmed == [{"detected": True, "since": since}] * len(alarmed)
    wait_until(lambda: listed(noticing, name) == [alarmed[0]])
    assert noticing.post(f"{path}:verify").json()["ok"]


def test_drift_is_over_when_errors_have_settled(noticing: httpx2.Client, name: str) -> None:
    path = f"/v1/sessions/{name}"
    observations = [climbing(number) for number in range(1, USUAL + 13)]
    noticing.put(path, json={"model": "daily@2", "observations": observations})
    assert drift_of(noticing, name) != NOTHING
    last = observations[-1]["value"]
    steady = [observation(USUAL + 12 + step, value=last + value(step)) for step in range(1, 121)]
    noticing.post(f"{path}/observations", json=steady)
    assert drift_of(noticing, name) == NOTHING


def post_singly(client: httpx2.Client, name: str, observations: list[Observation]) -> None:
    for one in observations:
        client.post(f"/v1/sessions/{name}/observations", json=one)


def post_as_a_list(client: httpx2.Client, name: str, observations: list[Observation]) -> None:
    client.post(f"/v1/sessions/{name}/observations", json=observations)


def post_as_a_batch(client: httpx2.Client, name: str, observations: list[Observation]) -> None:
    rows = [{"session": name, **one} for one in observations]
    client.post("/v1/observations:batch", json={"observations": rows})


@pytest.mark.parametrize("post", [post_singly, post_as_a_list, post_as_a_batch])
def test_drift_that_begins_or_ends_is_told_to_those_who_listen(
    noticing: httpx2.Client, name: str, post: Callable[[httpx2.Client, str, list[Observation]], None]
) -> None:
    path = f"/v1/sessions/{name}"
    noticing.put(path, json={"model": "daily@2", "freq": "D", "observations": series(1, USUAL)})
    with listening(str(noticing.base_url), f"session={name}") as listener:
        post(noticing, name, [climbing(number) for number in range(USUAL + 1, USUAL + 16)])
        [begun] = listener.wait_for(1, "drift")
        assert {"detected": True, "since": begun["since"]} == drift_of(noticing, name)
        ended = noticing.post(f"{path}:rewind", json={"step": USUAL}).json()
        told = {"session": name, "detected": False, "since": None, "step": USUAL, "etag": ended["etag"]}
        assert listener.wait_for(2, "drift")[1] == told


def test_a_session_of_a_model_that_cannot_tell_shows_none(noticing: httpx2.Client, name: str) -> None:
    observations = [climbing(number) for number in range(1, USUAL + 16)]
    noticing.put(f"/v1/sessions/{name}", json={"model": "tiny@1", "observations": observations})
    assert drift_of(noticing, name) == NOTHING
