"""What a client hears while replicas do not confirm, and after."""

from collections.abc import Callable, Iterator

import httpx2
import pytest

from service.sessions.registry import Registry
from service.storage.embedded import server_binary
from tests.contract.test_durability import Pair, in_step
from tests.deployments import Server, servers, wait_for
from tests.service.calls import post, problem, wait_until
from tests.service.conftest import serving
from tests.service.days import observation, series


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    with servers([Server(server_binary(), folder / name) for name in ("primary", "replica")]) as pair:
        pair[1].ask("REPLICAOF", "127.0.0.1", pair[0].port)
        pair[0].ask("SET", "first", "write")
        wait_for(lambda: in_step(pair[0]), "the replica")
        yield Pair(*pair)


@pytest.fixture(scope="module")
def waiting(pair: Pair, registry: Registry) -> Iterator[httpx2.Client]:
    """A service that answers once a replica has confirmed."""
    with (
        serving(registry, pair.url, durability="replica", durability_timeout_s=0.2) as running,
        httpx2.Client(base_url=running.url, timeout=30) as client,
    ):
        yield client


def confirmed(ask: Callable[[], httpx2.Response]) -> httpx2.Response:
    """The answer once the replica, which has just begun to speak again, has confirmed in time."""
    answers: list[httpx2.Response] = []

    def settled() -> bool:
        answers.append(ask())
        return answers[-1].status_code != 503

    wait_until(settled)
    return answers[-1]


def test_an_observation_is_unconfirmed_until_its_retry_is_confirmed_and_then_a_replay(
    pair: Pair, waiting: httpx2.Client, name: str
) -> None:
    waiting.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 3)})
    with pair.silent_replica():
        for body in (observation(4), observation(4), [observation(3), observation(4)]):
            found = problem(post(waiting, name, body), 503, "durability-unconfirmed")
            assert (found["retryable"], found["session"]) == (True, name)
        assert waiting.get(f"/v1/sessions/{name}").json()["step"] == 4
    answer = confirmed(lambda: post(waiting, name, observation(4)))
    assert (answer.status_code, answer.headers["idempotency-replayed"]) == (200, "true")


def test_a_key_is_replayed_only_when_what_it_did_is_confirmed(pair: Pair, waiting: httpx2.Client, name: str) -> None:
    waiting.put(f"/v1/sessions/{name}", json={"observations": [{"value": 1.0}]})
    with pair.silent_replica():
        for _ in range(2):
            problem(post(waiting, name, {"value": 2.0}, **{"Idempotency-Key": "a"}), 503, "durability-unconfirmed")
    keyed = confirmed(lambda: post(waiting, name, {"value": 2.0}, **{"Idempotency-Key": "a"}))
    assert keyed.json()["step"] == 2


def test_sessions_are_created_changed_and_deleted_only_when_it_is_confirmed(
    pair: Pair, waiting: httpx2.Client, name: str
) -> None:
    path, keyed = f"/v1/sessions/{name}", {"idempotency-key": "k"}
    with pair.silent_replica():
        for _ in range(2):
            problem(waiting.put(path, json={"freq": "D"}), 503, "durability-unconfirmed")
    assert confirmed(lambda: waiting.put(path, json={"freq": "D"})).status_code == 200
    with pair.silent_replica():
        for _ in range(2):
            problem(waiting.patch(path, json={"max_gap": 3}, headers=keyed), 503, "durability-unconfirmed")
    patched = confirmed(lambda: waiting.patch(path, json={"max_gap": 3}, headers=keyed))
    assert patched.headers["idempotency-replayed"] == "true"
    with pair.silent_replica():
        for _ in range(2):
            problem(waiting.delete(path), 503, "durability-unconfirmed")
    assert confirmed(lambda: waiting.delete(path)).status_code == 204


def test_the_status_says_what_was_asked_and_given(waiting: httpx2.Client) -> None:
    store = waiting.get("/v1/status").json()["store"]
    assert (store["durability_asked"], store["durability"], store["replicas"]) == ("replica", "replica", 1)


def test_a_service_whose_store_lacks_a_replica_is_not_ready_and_names_the_cure(pair: Pair, registry: Registry) -> None:
    with serving(registry, pair.url, durability="replica", durability_replicas=2) as running:
        found = problem(httpx2.get(f"{running.url}/health/ready"), 503, "not-ready")
    [reason] = found["reasons"]
    assert reason.endswith("start the others, or lower durability_replicas")
