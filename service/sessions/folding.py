"""Long folds, in slices between waves, so that single observations keep their latency.

Folds that run at the same time are stepped together, as one batch: sessions created side by side cost little more than
one. Whoever shares the batch, the bits are the same.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from service.sessions.registry import LoadedModel
from service.storage.layout import Bytes

STEPS_ALONE = 5
"""Steps of a slice where one session folds: less than a millisecond."""
STEPS_TOGETHER = 3
"""Steps of a slice where many fold together."""
TOGETHER = 64
"""Most sessions in a slice."""
LOOKED_AT = 256
"""States of a fold that are kept at once, to find the first that is not finite."""

Calendar = Callable[[int, int], NDArray[np.float32]]
"""Calendar features (n, 5) of the steps from the first to before the second number."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What folding T steps gave.

    Args:
        issued: (T, Q) the quantiles issued after each step.
        alarms: (T, 2) `Model.alarms` after each step.
        kept: the states after those numbers of steps that were asked for.
    """

    state: Bytes
    issued: NDArray[np.float64]
    alarms: NDArray[np.float64]
    kept: dict[int, Bytes]


@dataclass(slots=True, eq=False)
class _Job:
    loaded: LoadedModel
    state: Bytes
    values: NDArray[np.float64]
    calendar: Calendar
    stops: list[int]
    issued: NDArray[np.float64]
    alarms: NDArray[np.float64]
    done: "asyncio.Future[None]"
    at: int = 0
    kept: dict[int, Bytes] = field(default_factory=dict)

    def limit(self) -> int:
        """Steps to the next state to keep."""
        return next(stop for stop in self.stops if stop > self.at) - self.at

    def put(self, state: Bytes, issued: NDArray[np.float64], alarms: NDArray[np.float64]) -> None:
        steps = slice(self.at, self.at + len(issued))
        self.issued[steps], self.alarms[steps] = issued, alarms
        self.at += len(issued)
        self.state = state
        if self.at in self.stops:
            self.kept[self.at] = state.copy()
        if self.at == len(self.values):
            self.done.set_result(None)


class Folding:
    """Folds of many steps.

    Args:
        between: waits for a moment at which a slice of work delays nobody.
    """

    def __init__(self, between: Callable[[], Awaitable[None]]) -> None:
        self._between = between
        self._jobs: list[_Job] = []
        self._worker: asyncio.Task[None] | None = None

    async def fold(
        self,
        loaded: LoadedModel,
        state: Bytes,
        values: NDArray[np.float64],
        calendar: Calendar,
        keep: Sequence[int] = (),
    ) -> Folded:
        """Fold the values (T,), NaN where missing, into the state (S,), which is left as it is.

        Args:
            keep: numbers of steps, 1 to T, after which the state is wanted.
        """
        issued, alarms = np.empty((len(values), len(loaded.spec.quantiles))), np.empty((len(values), 2))
        if not len(values):
            return Folded(state, issued, alarms, {})
        done = asyncio.get_running_loop().create_future()
        job = _Job(loaded, state, values, calendar, sorted({*keep, len(values)}), issued, alarms, done)
        self._jobs.append(job)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._work(), name="folding")
        try:
            await done
        finally:
            if job in self._jobs:
                self._jobs.remove(job)
        return Folded(job.state, job.issued, job.alarms, job.kept)

    async def first_not_finite(
        self, loaded: LoadedModel, state: Bytes, values: NDArray[np.float64], calendar: Calendar
    ) -> int:
        """The first step, counted from 1, after which the state is not finite; a fold found that there is one."""
        begin, end = 0, len(values)
        while True:
            stride = -(-(end - begin) // LOOKED_AT)
            stops: list[int] = [*range(stride, end - begin, stride), end - begin]
            folded = await self.fold(loaded, state, values[begin:end], _later(calendar, begin), stops)
            number = int(np.argmin(loaded.model.finite(np.stack([folded.kept[stop] for stop in stops]))))
            if stride == 1:
                return begin + stops[number]
            if number:
                state = folded.kept[stops[number - 1]]
            begin, end = begin + (stops[number - 1] if number else 0), begin + stops[number]

    async def _work(self) -> None:
        while self._drop_those_done():
            loaded = self._jobs[0].loaded
            sharing = [job for job in self._jobs if job.loaded is loaded][:TOGETHER]
            _fold_on(loaded, sharing)
            # the first in line goes to its end, so that none of them starves
            self._jobs = [*(job for job in self._jobs if job not in sharing), *sharing]
            await self._between()

    def _drop_those_done(self) -> list[_Job]:
        """The jobs that are left. One that was cancelled may stand there yet: its caller has not run again."""
        self._jobs = [job for job in self._jobs if not job.done.done()]
        return self._jobs


def _later(calendar: Calendar, steps: int) -> Calendar:
    """The features of the steps after the first ones."""
    return lambda first, last: calendar(steps + first, steps + last)


def _fold_on(loaded: LoadedModel, sharing: Sequence[_Job]) -> None:
    """Fold a slice of each; one that fails fails alone."""
    try:
        _slice(loaded, sharing)
    except Exception:
        for job in sharing:
            try:
                _slice(loaded, [job])
            except Exception as error:
                job.done.set_exception(error)


def _slice(loaded: LoadedModel, jobs: Sequence[_Job]) -> None:
    most = STEPS_ALONE if len(jobs) == 1 else STEPS_TOGETHER
    steps = min(most, *(job.limit() for job in jobs))
    running = loaded.model.running(np.stack([job.state for job in jobs]))
    values = np.stack([job.values[job.at : job.at + steps] for job in jobs], axis=1)
    features = np.stack([job.calendar(job.at, job.at + steps) for job in jobs], axis=1)
    issued, alarms = np.empty((len(jobs), steps, len(loaded.spec.quantiles))), np.empty((len(jobs), steps, 2))
    for step in range(steps):
        issued[:, step] = running.step(values[step], features[step])
        alarms[:, step] = running.alarms()
    for job, state, quantiles, alarm in zip(jobs, running.states(), issued, alarms, strict=True):
        job.put(state, quantiles, alarm)
