"""Requests as clients send them: answered, given up, cancelled, sent again; and what every answer must agree with."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

from tests.simulation.chronicle import Chronicle, Commit, Value, Violation
from tests.simulation.faults import Faults
from tests.simulation.loop import VirtualLoop
from tests.simulation.worker import Answer, Call, Worker

CANCELLED = 0.03
"""Share of the requests whose client cancels, and of those whose client leaves without a word."""
GIVE_UP = 0.05
"""Share of the requests without an answer that are not sent again."""
QUANTILES = ("0.025", "0.1", "0.5", "0.9", "0.975")
PASSING = ("store-unavailable", "overloaded", "not-ready", "concurrent-update")
"""Problems that say that this request changed nothing, and may be sent again."""


@dataclass(slots=True)
class Operation:
    """What a client wants done once, however often it is sent.

    Attributes:
        values: the observations that it carries.
        unknown: it may have been applied by an attempt that did not say so, or under another operation.
        answer: the one that settled it; `commit`: what it speaks of.
    """

    call: Call
    values: tuple[Value, ...] = ()
    unknown: bool = False
    answer: Answer | None = None
    commit: Commit | None = None


@dataclass(slots=True)
class Traffic:
    """What all clients of a run share.

    Attributes:
        durable: a replica confirms whatever is answered.
        requests: how many were sent.
        answers: how often each was given, by status and slug.
        trace: a line for each answer, with its session.
    """

    loop: VirtualLoop
    chance: Random
    faults: Faults
    chronicle: Chronicle
    workers: list[Worker]  # of which one is alive, always
    durable: bool
    requests: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    trace: list[tuple[str, str]] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)

    async def settle(self, operation: Operation) -> Answer | None:
        """Send until an answer says what became of it; None = given up."""
        self.operations.append(operation)
        self._announce(operation)
        while True:
            answer = await self.attempt(operation.call)
            if answer is not None and answer.status < 500 and not (answer.status >= 400 and answer.slug in PASSING):
                operation.answer = answer
                return answer
            if answer is None or answer.status == 504 or answer.slug not in PASSING:
                operation.unknown = True
            elif not operation.unknown and self._stands(operation):
                raise Violation(f"{operation.call.session}: {operation.values} was stored, though answered {answer}")
            if self.faults.active and self.chance.random() < GIVE_UP:
                return None
            await asyncio.sleep(self.chance.expovariate(5.0))

    async def attempt(self, call: Call) -> Answer | None:
        """Send once, to any worker; None = no answer. Raises Violation once a commit has broken a promise."""
        if self.chronicle.violations:
            raise Violation(self.chronicle.violations[0])
        self.requests += 1
        task = self.chance.choice([worker for worker in self.workers if worker.alive]).take(call)
        answer = await self._awaited(task)
        if answer is None:
            text = "no answer"
        else:
            text = f"{answer.status} {answer.slug}" if answer.status >= 400 else f"{answer.status}"
            if answer.replayed:
                text += " replayed"
        self.answers[f"{call.method} {text}"] += 1
        shown = call.body.decode()[:80]
        line = f"{self.loop.time():.4f} {call.method} {call.path}{call.query} {shown} {call.key} {call.if_match}"
        self.trace.append((call.session, f"{line} -> {text} {answer.etag if answer else ''}"))
        return answer

    async def _awaited(self, task: asyncio.Task[Answer]) -> Answer | None:
        """The answer; None where the client did not wait for it, or the worker was killed."""
        if self.faults.active and self.chance.random() < CANCELLED:
            await asyncio.wait({task}, timeout=self.chance.expovariate(200.0))
            if not task.done():
                if self.chance.random() < 0.5:
                    self.faults.effective["request cancelled"] += 1
                    task.cancel()
                else:
                    self.faults.effective["client left"] += 1
                return None
        await asyncio.wait({task})
        return None if task.cancelled() else task.result()

    def _announce(self, operation: Operation) -> None:
        """Note whose values these are, before they can be stored."""
        for value in operation.values:
            if value is not None:
                self.chronicle.sent[value] = operation.call.session

    # ------------------------------------------------ what answers must agree with

    def acknowledged(self, operation: Operation, answer: Answer) -> Commit:
        """The commit that an answer to a write of observations speaks of. Raises Violation where there is none such."""
        advance = orjson.loads(answer.body)
        session = operation.call.session
        if advance["session"] != session:
            raise Violation(f"{session} was answered with {advance['session']}")
        named = sorted(self._named(session, answer), key=lambda commit: commit in self.chronicle.lost)
        for commit in named:
            if _agrees(advance, commit, operation.values):
                self._confirm(commit)
                return commit
        raise Violation(f"no commit agrees with the answer {advance} to {operation.values}")

    def _confirm(self, commit: Commit) -> None:
        """Note what must not be lost any more. Raises Violation where it is lost already."""
        if self.durable:
            if commit in self.chronicle.lost and not self.chronicle.is_over(commit):
                raise Violation(f"{commit.session}: {commit} was answered, and is lost")
            self.chronicle.confirmed.add(commit)

    def shown(self, call: Call, answer: Answer) -> Commit:
        """The commit that an answer to a read speaks of. Raises Violation where there is none such."""
        body = orjson.loads(answer.body)
        for commit in self._named(call.session, answer):
            if body["session"] == call.session and _shows(body, commit):
                return commit
        raise Violation(f"no commit agrees with what was read: {body}")

    def _named(self, session: str, answer: Answer) -> Sequence[Commit]:
        assert answer.etag is not None
        return self.chronicle.commits[session, answer.etag]

    def unapplied(self) -> None:
        """Raises Violation where something was stored whose every attempt was answered "nothing was changed"."""
        possible: set[float] = set()
        for operation in self.operations:
            if operation.unknown or (operation.answer is not None and operation.answer.status < 300):
                possible.update(value for value in operation.values if value is not None)
        for operation in self.operations:
            if not possible.intersection(operation.values) and self._stands(operation):
                said = operation.answer and operation.answer.body.decode()
                raise Violation(f"{operation.call.session}: {operation.values} was stored, though it was told: {said}")

    def _stands(self, operation: Operation) -> bool:
        """Whether an observation of it was stored, and the store has neither lost nor deleted it since."""
        stored = self.chronicle.stored.intersection(operation.values)
        session = operation.call.session
        return any(
            commit not in self.chronicle.lost
            and not self.chronicle.is_over(commit)
            and stored.intersection(commit.values)
            for (of, _), commits in (self.chronicle.commits.items() if stored else ())
            if of == session
            for commit in commits
        )


def quantiles(forecast: dict[str, dict[str, float]] | None) -> tuple[float, ...] | None:
    """The five numbers of a Forecast."""
    return None if forecast is None else tuple(forecast["quantiles"][key] for key in QUANTILES)


def _shows(body: dict[str, Any], commit: Commit) -> bool:
    """Whether a session, its forecast or its history is that of a commit."""
    if "observations" in body:
        shown = [record["value"] for record in body["observations"]]
        return shown == list(commit.values[commit.retained_from - 1 :])
    forecast = quantiles(body["forecasts"][0]) if "forecasts" in body else commit.folded.forecast
    return body["step"] == commit.step and forecast == commit.folded.forecast


def _agrees(advance: dict[str, object], commit: Commit, sent: Sequence[Value]) -> bool:
    observed = advance["observed"]
    assert isinstance(observed, dict)
    step = advance["step"]
    assert isinstance(step, int)
    return (
        step == commit.step
        and observed["value"] == sent[-1] == commit.values[observed["step"] - 1]
        and quantiles(advance["forecast"]) == commit.folded.forecast  # type: ignore[arg-type]
    )
