"""The client whose observations are told by timestamp or by step, and who corrects, rewinds, resets and deletes."""

from __future__ import annotations

from datetime import date, timedelta

import orjson

from tests.simulation.chronicle import Commit, Value
from tests.simulation.stories import TTLS_S, Story
from tests.simulation.traffic import Operation
from tests.simulation.worker import Call

FIRST_DAY = date(2026, 1, 1)


class Counting(Story):
    """Told by timestamp or by step: the only client of its session that sends observations.

    Args:
        dated: with timestamps; otherwise steps are counted.
        gaps: what the session does about missing steps.
    """

    def __init__(self, *args: object, dated: bool, gaps: str) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._dated = dated
        self._gaps = gaps
        self._sent = 0
        self._latest: list[Operation] = []

    async def turn(self) -> None:
        if self.standing is None:
            told = {} if self._dated else {"freq": None, "ttl_s": self._chance.choice(TTLS_S)}
            await self.put(gaps=self._gaps, **told)
        match self._chance.choices(range(10), weights=(50, 15, 8, 12, 5, 2, 2, 6, 2, 3))[0]:
            case 0:
                await self._append([1])
            case 1:
                await self._append([1] * self._chance.randint(2, 4))
            case 2:
                await self._append([self._chance.randint(2, 3)])
            case 3:
                await self._repeat()
            case 4:
                await self._contradict()
            case 5:
                await self.reset()
                self._begin_anew()
            case 6:
                await self.delete()
                self._begin_anew()
            case 7:
                await self._correct()
            case 8:
                await self._rewind()
            case 9:
                await self.change_settings()

    def _begin_anew(self) -> None:
        self._latest.clear()
        if not self._dated:
            self._sent = 0

    async def _append(self, strides: list[int]) -> None:
        """Observations that lie so many steps apart."""
        observations, values = [], []
        for stride in strides:
            self._sent += stride
            values.append(self.value())
            observations.append(self._observation(self._sent, values[-1]))
        body: object = observations if len(observations) > 1 else observations[0]
        operation = Operation(Call("POST", self.session, "/observations", body=orjson.dumps(body)), tuple(values))
        answer = await self.observe(operation)
        if answer is None:
            return
        if answer.status < 300:
            self._latest = [*self._latest[-1:], operation]
            return
        # Whoever is told how far the session is goes on from there: the store may have lost the latest steps.
        refusals = ("gap-rejected", "gap-too-long", "session-not-found", "out-of-order", "observation-conflict")
        lost = ("state-regressed",) if self._traffic.chronicle.fallbacks else ()
        self.expect(answer, *refusals, *lost)
        commit = await self.read()
        self._latest.clear()
        self._sent = self._number_of(commit)

    async def _repeat(self) -> None:
        """Send a request again that was answered: the same bytes come back, unless the store lost it."""
        if not self._latest:
            return
        operation = self._chance.choice(self._latest)
        if self.standing is not None and not self.retains(operation):
            return
        if not await self.again(operation):
            self._latest.clear()

    async def _contradict(self) -> None:
        """The last observation that was answered again, with another value."""
        if not self._latest:
            return
        last = self._latest[-1].commit
        assert last is not None
        value = self.value()
        if value == last.values[-1]:  # both are missing
            return
        body = orjson.dumps(self._observation(self._number_of(last), value))
        held, moment = self.holds(last), self.moment()
        answer = await self.observe(Operation(Call("POST", self.session, "/observations", body=body), (value,)))
        if answer is not None and held and moment == self.moment():
            assert self.standing is not None
            self.expect(answer, "observation-conflict" if self.standing.step == last.step else "out-of-order")

    async def _correct(self) -> None:
        """Another value for one of the latest observations: by PATCH, or as late data."""
        commit = self.standing
        if commit is None or not commit.step:
            return
        oldest = commit.step - len(commit.slots) // 3 if self._chance.random() < 0.7 else commit.retained_from
        step = self._chance.randint(max(oldest, 1), commit.step)
        value = self.value()
        if value == commit.values[step - 1]:  # both are missing: nothing to correct
            return
        if value is not None:
            self._traffic.chronicle.corrections.add(value)
        number = self._number_of(commit) - (commit.step - step)
        key = self.name() if self._chance.random() < 0.5 else None
        if self._chance.random() < 0.5:
            call = Call("PATCH", self.session, f"/observations/{step}", body=orjson.dumps({"value": value}), key=key)
        else:
            body = orjson.dumps(self._observation(number, value))
            call = Call("POST", self.session, "/observations", "on_conflict=correct", body, key)
        self._latest.clear()
        answer = await self.observe(Operation(call, (value,)))
        if answer is not None and answer.status >= 300:
            refusals = ("observation-not-found", "not-retained", "session-not-found", "gap-rejected", "gap-too-long")
            self.expect(answer, *refusals, "out-of-order")

    async def _rewind(self) -> None:
        """Forget the latest observations; until this is answered, that may happen at any moment."""
        commit = self.standing
        if commit is None or commit.step < 3:
            return
        step = commit.step - self._chance.randint(1, 2)
        rewinding = self._traffic.chronicle.rewinding
        rewinding[self.session] += 1
        call = Call("POST", self.session, ":rewind", body=orjson.dumps({"step": step}), key=self.name())
        answer = await self._traffic.settle(Operation(call))
        self._latest.clear()
        self._sent = self._number_of(await self.read())
        if answer is not None:
            rewinding[self.session] -= 1
            if answer.status >= 300:
                self.expect(answer, "observation-not-found", "not-retained", "session-not-found")

    def _observation(self, number: int, value: Value) -> dict[str, object]:
        if self._dated:
            return {"timestamp": (FIRST_DAY + timedelta(days=number)).isoformat(), "value": value}
        return {"step": number, "value": value}

    def _number_of(self, commit: Commit | None) -> int:
        """The number of the last observation that a session holds."""
        if commit is None or not commit.step:
            return self._sent if self._dated else 0
        if not self._dated:
            return commit.step
        anchor = date(1970, 1, 1) + timedelta(microseconds=commit.anchor)
        return (anchor - FIRST_DAY).days + commit.step - 1
