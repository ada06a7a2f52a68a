"""Sessions over HTTP: created once, changed in their settings, reset, deleted, listed."""

import time
from pathlib import Path

import httpx2
import pytest

from service.sessions.registry import Registry
from service.storage.embedded import EmbeddedStore
from service.wire import schemas
from tests.service.calls import Json, post, problem, wait_until
from tests.service.conftest import Service, serving
from tests.service.days import day, observation, series


def test_put_creates_a_session_with_its_history(api: httpx2.Client, name: str) -> None:
    answer = api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 40)})
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/sessions/{name}"
    session = schemas.Session.model_validate(answer.json())
    assert (session.step, session.last, session.next) == (40, day(40), day(41))
    assert session.warmed_up
    assert session.model == "tiny@2"
    assert session.scores.all is not None
    assert session.scores.all.steps == 39
    assert answer.headers["etag"] == f'"{session.etag}"'
    assert api.get(f"/v1/sessions/{name}").json() == answer.json()


def test_the_same_put_again_changes_nothing(api: httpx2.Client, name: str) -> None:
    body = {"freq": "D", "minimum": 0, "ttl_s": None, "observations": series(1, 30)}
    first = api.put(f"/v1/sessions/{name}", json=body)
    again = api.put(f"/v1/sessions/{name}", json=body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.content == first.content
    assert api.put(f"/v1/sessions/{name}", json={}).content == first.content


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"freq": "h"}, "freq"),
        ({"minimum": 1}, "minimum"),
        ({"history": 10}, "history"),
        ({"model": "tiny@1"}, "model"),
        ({"observations": series(1, 29)}, "observations"),
    ],
)
def test_another_put_is_refused_and_says_what_differs(
    api: httpx2.Client, name: str, changed: dict[str, object], named: str
) -> None:
    body = {"freq": "D", "minimum": 0, "model": "tiny", "observations": series(1, 30)}
    api.put(f"/v1/sessions/{name}", json=body)
    refused = api.put(f"/v1/sessions/{name}", json={**body, **changed})
    assert refused.status_code == 409
    assert refused.json()["type"] == "/problems/session-exists"
    assert refused.json()["differences"] == [named]
    assert ("take another id" in refused.json()["detail"]) == (named in ("freq", "timezone"))


def test_a_long_history_is_folded_whole(api: httpx2.Client, name: str) -> None:
    answer = api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 1500)})
    assert answer.status_code == 201
    assert answer.json()["step"] == 1500
    assert answer.json()["retained_from"] == day(1500 // 32 * 32 - 32 + 1)


def test_a_long_closure_in_the_history_is_imputed(api: httpx2.Client, name: str) -> None:
    history = [*series(1, 10), *series(200, 210)]
    answer = api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": history})
    assert answer.json()["step"] == 210


def test_an_unknown_model_is_not_found(api: httpx2.Client, name: str) -> None:
    assert api.put(f"/v1/sessions/{name}", json={"model": "nobody"}).status_code == 404


def test_a_frequency_that_no_model_was_trained_for_is_warned_of(api: httpx2.Client, name: str) -> None:
    session = api.put(f"/v1/sessions/{name}", json={"freq": "h"}).json()
    assert [warning["type"] for warning in session["warnings"]] == ["freq-untrained"]


def test_an_older_version_is_warned_of(api: httpx2.Client, name: str) -> None:
    session = api.put(f"/v1/sessions/{name}", json={"freq": "D", "model": "tiny@1"}).json()
    assert session["model"] == "tiny@1"
    assert [warning["type"] for warning in session["warnings"]] == ["model-superseded"]


def test_a_time_to_live_below_two_periods_is_refused(api: httpx2.Client, name: str) -> None:
    refused = api.put(f"/v1/sessions/{name}", json={"freq": "D", "ttl_s": 90_000})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/ttl_s"


def test_the_default_time_to_live_covers_ten_periods(api: httpx2.Client, name: str) -> None:
    assert api.put(f"/v1/sessions/{name}", json={"freq": "YE"}).json()["ttl_s"] == 10 * 366 * 86_400


def test_static_covariates_that_the_model_does_not_take_are_refused(api: httpx2.Client, name: str) -> None:
    refused = api.put(f"/v1/sessions/{name}", json={"freq": "D", "static": {"area": 3.0}})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/static/area"


def test_a_session_expires_by_the_time_of_the_store(api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": "s", "ttl_s": 2})
    time.sleep(2.1)
    assert api.get(f"/v1/sessions/{name}").json()["type"] == "/problems/session-not-found"
    assert api.put(f"/v1/sessions/{name}", json={"freq": "s", "ttl_s": 2}).status_code == 201


def test_get_answers_304_to_those_who_have_it(api: httpx2.Client, name: str) -> None:
    etag = api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 3)}).headers["etag"]
    for path in ("", "/forecast", "/observations"):
        answer = api.get(f"/v1/sessions/{name}{path}", headers={"If-None-Match": etag})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
        assert answer.headers["cache-control"] == "private, no-cache"
    api.post(f"/v1/sessions/{name}/observations", json=observation(4))
    assert api.get(f"/v1/sessions/{name}", headers={"If-None-Match": etag}).status_code == 200


def test_patch_changes_what_is_given_and_raises_the_etag(api: httpx2.Client, name: str) -> None:
    before = api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 3)}).json()
    changes = {"gaps": "reject", "max_gap": 5, "minimum": 0.0, "maximum": 101.0, "require_if_match": True}
    after = api.patch(f"/v1/sessions/{name}", json={**changes, "ttl_s": 200_000}).json()
    assert {key: after[key] for key in changes} == changes
    assert after["ttl_s"] == 200_000
    assert after["etag"] != before["etag"]
    assert {**after, **{key: before[key] for key in (*changes, "ttl_s", "etag", "expires_at", "updated_at")}} == before


@pytest.mark.parametrize("setting", [{"freq": "h"}, {"timezone": "UTC"}, {"static": {}}, {"max_gap": -1}, {"ttl_s": 5}])
def test_patch_refuses_what_cannot_change(api: httpx2.Client, name: str, setting: dict[str, object]) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": "D"})
    refused = problem(api.patch(f"/v1/sessions/{name}", json=setting), 422, "invalid-request")
    assert [fault["pointer"] for fault in refused["errors"]] == [f"/{member}" for member in setting]


@pytest.mark.parametrize(
    ("kept", "changed"), [({"minimum": 10}, {"maximum": 5}), ({"maximum": 10}, {"minimum": 15})]
)
def test_patch_keeps_minimum_below_maximum(
    api: httpx2.Client, name: str, kept: dict[str, float], changed: dict[str, float]
) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": "D", **kept})
    refused = problem(api.patch(f"/v1/sessions/{name}", json=changed), 422, "invalid-request")
    assert [fault["pointer"] for fault in refused["errors"]] == [f"/{member}" for member in changed]


def test_patch_with_a_key_is_done_once(api: httpx2.Client, name: str) -> None:
    api.put(f"/v1/sessions/{name}", json={"freq": "D"})
    key = {"Idempotency-Key": "once"}
    first = api.patch(f"/v1/sessions/{name}", json={"minimum": 1}, headers=key)
    again = api.patch(f"/v1/sessions/{name}", json={"minimum": 1}, headers=key)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.content == first.content
    other = api.patch(f"/v1/sessions/{name}", json={"minimum": 2}, headers=key)
    assert other.json()["type"] == "/problems/idempotency-key-reused"


def test_reset_forgets_the_observations_and_keeps_the_settings(api: httpx2.Client, name: str) -> None:
    before = api.put(f"/v1/sessions/{name}", json={"freq": "D", "minimum": 1, "observations": series(1, 40)}).json()
    after = api.post(f"/v1/sessions/{name}:reset")
    assert after.status_code == 200
    session = after.json()
    assert (session["step"], session["last"], session["freq"], session["minimum"]) == (0, None, "D", 1.0)
    assert session["etag"].split("-")[0] != before["etag"].split("-")[0]
    assert api.get(f"/v1/sessions/{name}/observations").json()["observations"] == []
    assert api.get(f"/v1/sessions/{name}/forecast").json()["type"] == "/problems/session-empty"
    assert api.post(f"/v1/sessions/{name}/observations", json=observation(3)).json()["step"] == 1


def test_delete_forgets_and_may_be_repeated(api: httpx2.Client, name: str) -> None:
    etag = api.put(f"/v1/sessions/{name}", json={"freq": "D"}).headers["etag"]
    assert api.delete(f"/v1/sessions/{name}", headers={"If-Match": '"0000000000000000-9"'}).status_code == 412
    assert api.delete(f"/v1/sessions/{name}", headers={"If-Match": etag}).status_code == 204
    assert api.delete(f"/v1/sessions/{name}", headers={"If-Match": etag}).status_code == 204
    assert api.delete(f"/v1/sessions/{name}").status_code == 204
    assert api.get(f"/v1/sessions/{name}").status_code == 404


def test_who_writes_and_then_lists_finds_what_was_written(api: httpx2.Client, name: str) -> None:
    for number in range(5):
        assert api.put(f"/v1/sessions/{name}.{number}", json={"observations": [{"value": 1}]}).status_code == 201
        listed = api.get("/v1/sessions", params={"prefix": f"{name}."}).json()["sessions"]
        assert [one["session"] for one in listed] == [f"{name}.{before}" for before in range(number + 1)]
        outcomes = api.post("/v1/forecasts:batch", json={"prefix": f"{name}.{number}"}).json()["outcomes"]
        assert [one["status"] for one in outcomes] == [200]


def test_a_deletion_sent_again_leaves_the_session_made_since_alone(api: httpx2.Client, name: str) -> None:
    etag = api.put(f"/v1/sessions/{name}", json={"freq": "D"}).headers["etag"]
    api.delete(f"/v1/sessions/{name}", headers={"If-Match": etag})
    made = api.put(f"/v1/sessions/{name}", json={"freq": "D"}).headers["etag"]
    problem(api.delete(f"/v1/sessions/{name}", headers={"If-Match": etag}), 412, "precondition-failed")
    assert api.get(f"/v1/sessions/{name}").headers["etag"] == made


def test_a_history_out_of_order_names_the_observation_that_is(api: httpx2.Client, name: str) -> None:
    body = problem(
        api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": [observation(2), observation(1)]}),
        *(409, "out-of-order"),
    )
    where = "/observations/1"
    told = f"the observation {where} is not later than those before it in the list; send them oldest first"
    assert (body["detail"], body["errors"][0]["pointer"]) == (told, where)


def test_a_gap_too_long_for_a_session_that_is_not_there_is_not_cured_by_patch(api: httpx2.Client, name: str) -> None:
    history = [observation(1), {"timestamp": "2102-01-01", "value": 1}]
    put = problem(api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": history}), 422, "gap-too-long")
    assert "the 10000 that may be imputed within one PUT (the server's setting warm_up_gap_limit)" in put["detail"]
    path = f"/v1/sessions/{name}/observations?create=true&freq=D"
    posted = problem(api.post(path, json=history), 422, "gap-too-long")
    assert "create the session with PUT and these observations" in posted["detail"]
    assert "PATCH" not in put["detail"] + posted["detail"]


def test_the_proof_of_a_session_names_the_state_that_was_proved(api: httpx2.Client, name: str) -> None:
    etag = api.put(f"/v1/sessions/{name}", json={"freq": "D", "observations": series(1, 5)}).headers["etag"]
    assert api.post(f"/v1/sessions/{name}:verify").headers["etag"] == etag


def test_a_put_that_took_too_long_says_that_the_same_again_settles_it(service: Service) -> None:
    with (
        serving(service.registry, service.store_url, long_deadline_s=0.001) as hasty,
        httpx2.Client(base_url=hasty.url) as client,
    ):
        answer = client.put("/v1/sessions/long-history", json={"freq": "D", "observations": series(1, 3000)})
    detail = problem(answer, 504, "deadline-exceeded")["detail"]
    assert detail == "the work took too long; the same request again settles it"


def test_the_list_pages_through_the_sessions_of_a_prefix(api: httpx2.Client, name: str) -> None:
    names = [f"{name[:90]}.{number:02d}" for number in range(7)]
    for one in names:
        api.put(f"/v1/sessions/{one}", json={"freq": "D"})
    prefix = {"prefix": f"{name[:90]}."}
    wait_until(lambda: len(api.get("/v1/sessions", params=prefix).json()["sessions"]) == 7)
    found, token = [], ""
    while True:
        page = api.get("/v1/sessions", params={**prefix, "page_size": 3, "page_token": token}).json()
        assert page["total_size"] == 7
        found += [session["session"] for session in page["sessions"]]
        token = page["next_page_token"]
        if not token:
            break
    assert found == names
    backwards = api.get("/v1/sessions", params={**prefix, "order_by": "session desc"}).json()["sessions"]
    assert [session["session"] for session in backwards] == names[::-1]
    assert backwards[0] == api.get(f"/v1/sessions/{names[-1]}").json()


@pytest.mark.parametrize("order", ["session", "session desc", "updated_at desc", "mase"])
def test_the_list_pages_through_the_sessions_of_a_model(
    api: httpx2.Client, name: str, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.routes.sessions.LOOKED_AT_ONCE", 2)
    monkeypatch.setattr("service.routes.sessions.LOOKS", 3)
    models = {f"{name}.{number}": f"tiny@{1 + number % 2}" for number in range(5)}
    for session, model in models.items():
        api.put(f"/v1/sessions/{session}", json={"freq": "D", "model": model, "observations": series(1, 20)})

    def found(model: str) -> list[str]:
        sessions, token, pages = [], "", 0
        while pages == 0 or token:
            query: dict[str, str | int] = {"model": model, "order_by": order, "page_size": 2, "page_token": token}
            page = api.get("/v1/sessions", params=query).json()
            sessions += [one["session"] for one in page["sessions"]]
            token, pages = page["next_page_token"], pages + 1
        return [session for session in sessions if session in models]

    first = [session for session, model in models.items() if model == "tiny@1"]
    wait_until(lambda: sorted(found("tiny@1")) == first)
    wait_until(lambda: sorted(found("tiny")) == list(models))
    assert found("nobody") == []


def test_the_list_counts_what_its_filters_let_through(api: httpx2.Client, name: str) -> None:
    for number in range(5):
        api.put(f"/v1/sessions/{name}.{number}", json={"model": f"tiny@{1 + number % 2}"})

    def total(**query: str) -> int:
        size: int = api.get("/v1/sessions", params={**query, "page_size": 1}).json()["total_size"]
        return size

    prefix = f"{name}."
    wait_until(lambda: total(prefix=prefix) == 5)
    counts = [total(prefix=prefix, model=model) for model in ("tiny", "tiny@1", "tiny@2", "nobody")]
    assert counts == [5, 3, 2, 0]
    assert (total(prefix=f"{prefix}4"), total(prefix=f"{prefix}none"), total(model="nobody")) == (1, 0, 0)


def test_the_counts_of_all_models_make_up_the_list(registry: Registry, tmp_path: Path) -> None:
    """In a store of its own: other tests leave sessions of models that this one does not know."""
    with (
        EmbeddedStore(tmp_path) as store,
        serving(registry, store.url) as running,
        httpx2.Client(base_url=running.url, timeout=60.0) as client,
    ):
        for number in range(5):
            client.put(f"/v1/sessions/s-{number}", json={"model": f"tiny@{1 + number % 2}"})

        def totals() -> list[int]:
            queries: list[dict[str, str]] = [{}, {"model": "tiny"}, {"model": "tiny@1"}, {"model": "tiny@2"}]
            return [client.get("/v1/sessions", params=query).json()["total_size"] for query in queries]

        wait_until(lambda: totals() == [5, 5, 3, 2])


def test_the_list_can_be_ordered_by_the_last_commit(api: httpx2.Client, name: str) -> None:
    for number in (1, 2):
        api.put(f"/v1/sessions/{name}.{number}", json={"freq": "D"})
        time.sleep(0.01)

    def newest() -> list[str]:
        page = api.get("/v1/sessions", params={"order_by": "updated_at desc", "page_size": 2}).json()
        return [session["session"] for session in page["sessions"]]

    wait_until(lambda: newest() == [f"{name}.2", f"{name}.1"])


def test_the_list_can_be_ordered_by_the_recent_error(api: httpx2.Client, name: str) -> None:
    steps = {f"{name}.{wildness}": [float(wildness * (-1) ** day) for day in range(30)] for wildness in (1, 2, 3)}
    for session, values in steps.items():
        history = [{"timestamp": day(number), "value": value} for number, value in enumerate(values, 1)]
        api.put(f"/v1/sessions/{session}", json={"freq": "D", "observations": history})
    api.put(f"/v1/sessions/{name}.new", json={"freq": "D"})

    def ordered(order: str) -> list[Json]:
        found: list[Json] = []
        token = ""
        while True:
            query: dict[str, str | int] = {"order_by": order, "page_size": 2, "page_token": token}
            page = api.get("/v1/sessions", params=query).json()
            found += page["sessions"]
            token = page["next_page_token"]
            if not token:
                return [session for session in found if session["session"].startswith(name)]

    wait_until(lambda: len(ordered("mase")) == 4)
    errors = [session["scores"]["recent"]["mase"] for session in ordered("mase")]
    assert errors == [None, *sorted(errors[1:])]
    assert [session["session"] for session in ordered("mase desc")] == [
        session["session"] for session in reversed(ordered("mase"))
    ]
    refused = api.get("/v1/sessions", params={"order_by": "mase", "prefix": name[:90]})
    assert problem(refused, 422, "invalid-request")["errors"][0]["parameter"] == "prefix"


def test_a_session_that_gets_worse_moves_up_the_list(api: httpx2.Client, name: str) -> None:
    for session in ("calm", "wild"):
        api.put(f"/v1/sessions/{name}.{session}", json={"freq": "D", "observations": series(1, 40)})

    def worst() -> str:
        page = api.get("/v1/sessions", params={"order_by": "mase desc", "page_size": 1000}).json()
        return str(next((found["session"] for found in page["sessions"] if found["session"].startswith(name)), ""))

    for step in range(41, 61):
        post(api, f"{name}.wild", observation(step, value=100.0 + 40.0 * (step % 7 == 0)))
    wait_until(lambda: worst() == f"{name}.wild")


def test_a_page_token_of_another_list_is_refused(api: httpx2.Client) -> None:
    assert api.get("/v1/sessions", params={"page_token": "WzJd"}).json()["type"] == "/problems/malformed-request"
    assert api.get("/v1/sessions", params={"page_token": "?"}).status_code == 400
