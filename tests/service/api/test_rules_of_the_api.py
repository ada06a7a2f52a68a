"""Random calls of every kind against the rules in plain Python: the same answers, histories and forecasts."""

from typing import Any, ClassVar
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.service.api.sessions_model import Expected, Rules
from tests.service.api.times import KINDS, Times
from tests.service.calls import history
from tests.service.conftest import Service
from tests.service.offline import quantiles_of

MOST_STEPS = 30
"""Fewer than half of what is retained, so that all can be corrected."""
values = st.sampled_from([1.0, 2.5, 40.0, 0.0, -3.0, None])
offsets = st.integers(-4, 8)
etags = st.sampled_from(["none", "none", "current", "other"])
KEYS_TRUSTED = 4
"""Keys are known for the last 8 outcomes; of those that are older than this the test asks nothing."""


class Calls(RuleBasedStateMachine):
    """One session of one client."""

    service: Service
    times: Times
    sessions: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).sessions += 1
        self.name = f"{type(self).__name__}-{type(self).sessions}"
        self.api = httpx2.Client(base_url=self.service.url, timeout=60.0)
        self.path = f"/v1/sessions/{self.name}"
        self.api.delete(self.path)
        self.right = Rules(self.service.registry.default, self.times)
        self.etag: str | None = None
        self.keys = 0

    def teardown(self) -> None:
        self.api.close()

    @rule(gaps=st.sampled_from(["impute", "reject"]))
    def create(self, gaps: str) -> None:
        answer = self.api.put(self.path, json={**self.times.settings, "gaps": gaps, "max_gap": 5})
        if self.right.exists:
            self._is(answer, (200, None) if gaps == self.right.gaps else (409, "session-exists"))
        else:
            self._is(answer, (201, None))
            self.right = Rules(self.right.loaded, self.times, exists=True, gaps=gaps)

    @precondition(lambda self: len(self.right.stored) < MOST_STEPS)
    @rule(offset=offsets, value=values, etag=etags, keyed=st.booleans(), correct=st.booleans())
    def post_one(self, offset: int, value: float | None, etag: str, keyed: bool, correct: bool) -> None:
        self._post([(self.right.last + offset, value)], etag=etag, keyed=keyed, correct=correct)

    @precondition(lambda self: self.right.exists and len(self.right.stored) < MOST_STEPS)
    @rule(value=values)
    def post_the_next(self, value: float | None) -> None:
        """With no more than it must bear: where steps are counted, sent again it counts again."""
        place = self.right.last + 1
        answer = self._send({**self.times.bare(place), "value": value}, {}, correct=False)
        self._is(answer, self.right.post([(place, value)], correct=False, matches=True))
        assert (answer.json()["step"], answer.json()["applied"]) == (len(self.right.stored), 1)
        self._outcome()

    @precondition(lambda self: len(self.right.stored) < MOST_STEPS)
    @rule(offset=offsets, several=st.lists(values, min_size=2, max_size=4), etag=etags, correct=st.booleans())
    def post_list(self, offset: int, several: list[float | None], etag: str, correct: bool) -> None:
        sent = [(self.right.last + offset + number, value) for number, value in enumerate(several)]
        self._post(sent, etag=etag, keyed=False, correct=correct)

    @precondition(lambda self: self.right.stored)
    @rule(ago=st.integers(0, 3))
    def post_again(self, ago: int) -> None:
        """What is stored is a replay, whatever ETag comes with it."""
        step = max(len(self.right.stored) - ago, 1)
        known = self.right.stored[step - 1]
        if not known.imputed:
            self._post([(self.right.first + step - 1, known.value)], etag="other", keyed=False, correct=False)

    @rule(number=st.integers(0, KEYS_TRUSTED - 1))
    def send_a_key_again(self, number: int) -> None:
        keys = [key for key in self.right.keyed if not key.startswith("none-")]
        if not keys:
            return
        key = keys[number % len(keys)]
        sent, correct, first = self.right.keyed[key]
        again = self._send(sent, {"Idempotency-Key": key, "If-Match": '"other"'}, correct=correct)
        assert (again.content, again.headers["idempotency-replayed"]) == (first, "true")
        other = self._send([{**self.times.told(900), "value": 9.0}], {"Idempotency-Key": key}, correct=False)
        self._is(other, (422, "idempotency-key-reused"))

    @precondition(lambda self: self.right.stored)
    @rule(ago=st.integers(0, 10), value=values, etag=etags)
    def correct(self, ago: int, value: float | None, etag: str) -> None:
        step = max(len(self.right.stored) - ago, 1)
        known = self.right.stored[step - 1]
        if known.value == value and not known.imputed:
            return
        path = f"{self.path}/observations/{quote(self.times.written(self.right.first + step - 1))}"
        answer = self.api.patch(path, json={"value": value}, headers=self._condition(etag))
        self._is(answer, self._unless_other(etag))
        if answer.status_code == 200:
            assert answer.json()["corrected"] == 1
            self.right.correct(step, value)
            self._outcome()

    @precondition(lambda self: len(self.right.stored) > 1)
    @rule(back=st.integers(1, 5), etag=etags)
    def rewind(self, back: int, etag: str) -> None:
        step = max(len(self.right.stored) - back, 1)
        body = self.times.told(self.right.first + step - 1)
        answer = self.api.post(f"{self.path}:rewind", json=body, headers=self._condition(etag))
        self._is(answer, self._unless_other(etag))
        if answer.status_code == 200:
            del self.right.stored[step:]
            self._outcome()

    @rule(etag=etags)
    def reset(self, etag: str) -> None:
        answer = self.api.post(f"{self.path}:reset", headers=self._condition(etag))
        self._is(answer, self._unless_other(etag) if self.right.exists else (404, "session-not-found"))
        if answer.status_code == 200:
            self.right.stored.clear()
            self._outcome()

    @rule(gaps=st.sampled_from(["impute", "reject"]), etag=etags)
    def change(self, gaps: str, etag: str) -> None:
        answer = self.api.patch(self.path, json={"gaps": gaps}, headers=self._condition(etag))
        self._is(answer, self._unless_other(etag) if self.right.exists else (404, "session-not-found"))
        if answer.status_code == 200:
            self.right.gaps = gaps
            self._outcome()

    @precondition(lambda self: self.right.stored)
    @rule(ahead=st.integers(0, 3))
    def post_off_the_grid(self, ahead: int) -> None:
        between = self.times.off_grid(self.right.last + ahead)
        if between is not None:
            answer = self._send({"timestamp": between, "value": 1.0}, {}, correct=False)
            self._is(answer, (422, "off-grid"))

    @rule()
    def delete(self) -> None:
        self._is(self.api.delete(self.path), (204, None))
        self.right = Rules(self.right.loaded, self.times)

    @invariant()
    def it_holds_what_the_rules_say(self) -> None:
        answer = self.api.get(self.path)
        if not self.right.exists:
            self._is(answer, (404, "session-not-found"))
            self.etag = None
            return
        self.etag = answer.headers["etag"]
        assert answer.json()["step"] == len(self.right.stored)
        records = history(self.api, self.name)
        assert [record["step"] for record in records] == [number + 1 for number in range(len(records))]
        shown = ("timestamp", "value", "imputed", "original")
        assert [tuple(record[name] for name in shown) for record in records] == [
            (self.times.shown(self.right.first + number), one.value, one.imputed, one.original)
            for number, one in enumerate(self.right.stored)
        ]
        assert [quantiles_of(record["forecast"]) for record in records] == [one.issued for one in self.right.stored]
        fan = self.api.get(f"{self.path}/forecast")
        right = self.right.forecast()
        if right is None:
            self._is(fan, (409, "session-empty"))
        else:
            assert quantiles_of(fan.json()["forecasts"][0]) == right

    def _post(self, sent: list[tuple[int, float | None]], *, etag: str, keyed: bool, correct: bool) -> None:
        listed: list[dict[str, Any]] = [{**self.times.told(place), "value": value} for place, value in sent]
        body: object = listed[0] if len(listed) == 1 else listed
        headers = self._condition(etag)
        if keyed:
            self.keys += 1
            headers["Idempotency-Key"] = f"{self.name}-{self.keys}"
        before = list(self.right.stored)
        answer = self._send(body, headers, correct=correct)
        self._is(answer, self.right.post(sent, correct=correct, matches=etag != "other"))
        if answer.status_code == 200:
            changed = before != self.right.stored
            assert ("idempotency-replayed" in answer.headers) == (not changed)
            if changed:
                self._outcome(headers.get("Idempotency-Key"), body, correct, answer.content)

    def _send(self, body: object, headers: dict[str, str], *, correct: bool) -> httpx2.Response:
        query = "?on_conflict=correct" if correct else ""
        return self.api.post(f"{self.path}/observations{query}", json=body, headers=headers)

    def _outcome(self, key: str | None = None, body: object = None, correct: bool = False, answer: bytes = b"") -> None:
        """A commit, which takes a place among the outcomes that are kept."""
        self.keys += 1
        self.right.keyed[key or f"none-{self.keys}"] = (body, correct, answer)
        self.right.keyed = dict(list(self.right.keyed.items())[-KEYS_TRUSTED:])

    def _condition(self, etag: str) -> dict[str, str]:
        given = {"none": None, "current": self.etag, "other": '"0000000000000000-1"'}[etag]
        return {"If-Match": given} if given is not None else {}

    def _unless_other(self, etag: str) -> Expected:
        return (412, "precondition-failed") if etag == "other" else (200, None)

    def _is(self, answer: httpx2.Response, expected: Expected) -> None:
        slug = answer.json()["type"].removeprefix("/problems/") if answer.status_code >= 400 else None
        assert (answer.status_code, slug) == expected, answer.text


@pytest.mark.parametrize("kind", KINDS)
def test_any_calls_in_any_order_follow_the_rules(service: Service, kind: str) -> None:
    calls = type(f"Calls-{list(KINDS).index(kind)}", (Calls,), {"service": service, "times": KINDS[kind]})
    few = settings(max_examples=10, stateful_step_count=25, suppress_health_check=list(HealthCheck), print_blob=True)
    run_state_machine_as_test(calls, settings=few)
