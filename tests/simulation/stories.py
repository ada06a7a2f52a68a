"""Clients: each lives with one session, in one of the ways in which an observation can be told from another."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson

from tests.simulation.chronicle import Commit, Standing, Value, Violation, chain, is_expired
from tests.simulation.server import Server
from tests.simulation.traffic import Operation, Traffic
from tests.simulation.worker import Answer, Call

TTLS_S = (20, 20, 100, None)
HISTORIES = (12, 16, 32, "full")
APART = 1000.0
"""Between the values of two sessions: a value betrays whose it is."""


class Story:
    """One session and what is done to it.

    Args:
        number: of the session; its values lie between `number` * APART and the next.
        history: observations that it retains, or "full".
    """

    def __init__(self, traffic: Traffic, server: Server, number: int, history: int | str) -> None:
        self.session = f"s{number}"
        self.history = history
        self._traffic = traffic
        self._chance = traffic.chance
        self._server = server
        self._values = number * APART
        self._names = 0

    @abstractmethod
    async def turn(self) -> None:
        """Do one thing."""

    def value(self) -> Value:
        """A value that was never sent before, or a missing one."""
        self._values += 0.25
        return None if self._chance.random() < 0.05 else self._values

    def name(self) -> str:
        """An Idempotency-Key that was never used before."""
        self._names += 1
        return f"{self.session}/{self._names}"

    @property
    def standing(self) -> Commit | None:
        """The session's latest commit; None = there is none, or it has expired."""
        notes: Standing = self._server.notes
        last = notes.get(self.session)
        return None if last is None or is_expired(last, self._server.now_ms()) else last

    @property
    def etag(self) -> str | None:
        """What a reader of the session is shown; None = there is none, or it has expired."""
        return None if self.standing is None else self.standing.etag

    def holds(self, commit: Commit) -> bool:
        """Whether a commit is part of what the store holds of the session."""
        last = self.standing
        return last is not None and commit in chain(last)

    def retains(self, operation: Operation) -> bool:
        """Whether a request that was answered can still be recognised: by its key, or by its first observation."""
        sent, held = operation.commit, self.standing
        assert sent is not None
        first = sent.step - len(operation.values) + 1
        return operation.call.key is not None or (held is not None and first >= held.retained_from)

    def moment(self) -> tuple[int, ...]:
        """Differs from an earlier one if something may have been lost meanwhile."""
        chronicle = self._traffic.chronicle
        return chronicle.fallbacks, len(chronicle.ended), self._server.jumps

    async def observe(self, operation: Operation) -> Answer | None:
        """Settle it, and hold a success against what was stored."""
        answer = await self._traffic.settle(operation)
        if answer is not None and answer.status < 300:
            operation.commit = self._traffic.acknowledged(operation, answer)
        return answer

    async def again(self, operation: Operation) -> bool:
        """Send a request again that was answered: the same bytes come back, unless the store lost it (False)."""
        first, commit = operation.answer, operation.commit
        assert first is not None
        assert commit is not None
        held, moment = self.holds(commit), self.moment()
        answer = await self._traffic.settle(Operation(operation.call, operation.values, unknown=True))
        if not held or moment != self.moment() or not self.retains(operation):
            return False
        if answer is not None and answer.body != first.body:
            raise Violation(f"{self.session}: {first.body!r} was repeated as {answer}")
        return True

    async def look(self) -> Answer | None:
        """Read the session or its forecast, once."""
        call = Call("GET", self.session, self._chance.choice(("", "/forecast", "/observations")))
        answer = await self._traffic.attempt(call)
        if answer is not None and answer.status < 300:
            self._traffic.shown(call, answer)
        elif answer is not None:
            self.expect(answer, "session-not-found", "session-empty", "store-unavailable", "not-ready")
        return answer

    async def read(self) -> Commit | None:
        """Read the session until there is an answer; None = there is no such session."""
        operation = Operation(Call("GET", self.session))
        while (answer := await self._traffic.settle(operation)) is None:
            pass
        if answer.status == 200:
            return self._traffic.shown(operation.call, answer)
        self.expect(answer, "session-not-found")
        return None

    async def put(self, **settings: object) -> Answer | None:
        settings["history"] = self.history
        answer = await self._traffic.settle(Operation(Call("PUT", self.session, body=orjson.dumps(settings))))
        if answer is not None and answer.status >= 300:
            self.expect(answer, "session-exists")
        return answer

    async def reset(self) -> Answer | None:
        answer = await self._traffic.settle(Operation(Call("POST", self.session, ":reset", key=self.name())))
        if answer is not None and answer.status >= 300:
            self.expect(answer, "session-not-found")
        return answer

    async def delete(self) -> None:
        """Delete it; until this is answered, a deletion may happen at any moment."""
        deleting = self._traffic.chronicle.deleting
        deleting[self.session] += 1
        operation = Operation(Call("DELETE", self.session))
        answer = await self._traffic.settle(operation)
        if answer is not None:
            if answer.status >= 300:
                self.expect(answer)
            if operation.unknown:  # an attempt whose client left may wait in its line yet, until its deadline
                await asyncio.sleep(2.0)
            deleting[self.session] -= 1

    async def change_settings(self, **settings: object) -> None:
        """Change the settings that are given, or how much is retained."""
        body = orjson.dumps(settings or {"history": self._chance.choice(HISTORIES)})
        key = self.name() if self._chance.random() < 0.5 else None
        answer = await self._traffic.settle(Operation(Call("PATCH", self.session, body=body, key=key)))
        if answer is not None and answer.status >= 300:
            self.expect(answer, "session-not-found")

    def expect(self, answer: Answer, *slugs: str) -> None:
        """Raises Violation where a refusal is none of these, nor speaks of a loss that there was."""
        if answer.status >= 400 and answer.slug == "state-regressed" and self._traffic.chronicle.fallbacks:
            return
        if answer.status < 400 or answer.slug not in slugs:
            raise Violation(f"{self.session}: answered with {answer.body.decode()}; expected {slugs}")


class Keyed(Story):
    """Told by Idempotency-Key: several clients send observations to one session that counts steps."""

    WINDOW = 3
    """Requests that may overtake one that is not settled: with those under way, fewer than the 8 outcomes kept."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._overtaken: dict[int, int] = {}
        self._settled = asyncio.Condition()

    async def turn(self) -> None:
        if self.standing is None and self._chance.random() < 0.7:
            await self.put(freq=None, ttl_s=self._chance.choice(TTLS_S))
        match self._chance.choices(range(6), weights=(40, 8, 40, 8, 3, 8))[0]:
            case 0:
                await self._send(self._new())
            case 1:
                await self._send(self._new(self._chance.randint(2, 3)))
            case 2:
                await self._rivals()
            case 3:
                async with self._in_window():
                    await self.change_settings(**self._settings())
            case 4:
                async with self._in_window():
                    await self.reset()
            case 5:
                await asyncio.gather(self._delete(), self._send(self._new()))

    def _settings(self) -> dict[str, object]:
        if self._chance.random() < 0.3:
            return {}
        return {"max_gap": self._chance.randint(1, 3), "ttl_s": self._chance.choice(TTLS_S)}

    async def _delete(self) -> None:
        async with self._in_window():
            await self.delete()

    @asynccontextmanager
    async def _in_window(self) -> AsyncIterator[None]:
        """While a request is not settled, only few others may be sent: a session forgets old outcomes."""
        async with self._settled:
            await self._settled.wait_for(lambda: all(others < self.WINDOW for others in self._overtaken.values()))
        for other in self._overtaken:
            self._overtaken[other] += 1
        self._names += 1
        mine = self._names
        self._overtaken[mine] = 0
        try:
            yield
        finally:
            del self._overtaken[mine]
            async with self._settled:
                self._settled.notify_all()

    def _new(self, count: int = 1, key: str | None = None) -> Operation:
        values = tuple(self.value() for _ in range(count))
        observations = [{"value": value} for value in values]
        body = orjson.dumps(observations if count > 1 else observations[0])
        query = "create=true" if self._chance.random() < 0.9 else ""
        call = Call("POST", self.session, "/observations", query, body, key or self.name())
        return Operation(call, values)

    async def _send(self, operation: Operation) -> None:
        async with self._in_window():
            answer = await self.observe(operation)
            if answer is None:
                return
            if answer.status >= 300:
                self.expect(answer, "session-not-found", "idempotency-key-reused")
                return
            if self._chance.random() < 0.2:
                await self.again(operation)

    async def _rivals(self) -> None:
        """Two requests under one key, at the same time: one of them at most may be applied."""
        key = self.name()
        first, second = self._new(key=key), self._new(key=key)
        self._traffic.chronicle.exclude(first.values, second.values)
        await asyncio.gather(self._send(first), self._send(second))


class Matched(Story):
    """Told by If-Match alone: its session requires it, and nobody else writes to it."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._etag: str | None = None

    async def turn(self) -> None:
        if self._etag is None:
            answer = await self.put(require_if_match=True, ttl_s=self._chance.choice(TTLS_S))
            commit = await self.read()
            self._etag = None if answer is None or commit is None else commit.etag
            return
        value = self.value()
        call = Call("POST", self.session, "/observations", body=orjson.dumps({"value": value}), if_match=self._etag)
        operation = Operation(call, (value,))
        behind, moment = self._is_behind(self._etag), self.moment()
        answer = await self.observe(operation)
        while answer is None:  # whoever has nothing but the ETag cannot go on before it is settled
            answer = await self.observe(operation)
        # Else what was lost was committed again, or has expired meanwhile.
        if behind and self._is_behind(self._etag) and moment == self.moment() and answer.status >= 300:
            self.expect(answer, "state-regressed")
        if answer.status < 300:
            self._etag = answer.etag
            return
        self.expect(answer, "precondition-failed", "state-regressed", "session-not-found")
        if answer.slug == "state-regressed" and not self._traffic.chronicle.fallbacks:
            raise Violation(f"{self.session}: {self._etag} is called regressed though the store lost nothing")
        commit = await self.read()
        life, _, _ = self._etag.partition("-")
        same_life = commit is not None and commit.etag.startswith(life)
        applied = commit is not None and commit.before is not None and commit.before.etag == self._etag
        if answer.slug == "precondition-failed" and moment == self.moment() and same_life and not applied:
            raise Violation(f"{self.session}: {self._etag} does not match, though nobody else wrote: {commit}")
        self._etag = None if commit is None else commit.etag

    def _is_behind(self, etag: str) -> bool:
        """Whether the store holds an earlier state of the same life."""
        held = self.standing
        incarnation, _, revision = etag.partition("-")
        return held is not None and held.incarnation.hex() == incarnation and held.revision < int(revision)
