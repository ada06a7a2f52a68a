"""The proof of a session: its retained observations folded again, step by step and unrolled, against its live state."""

import asyncio
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.sessions import entries, unrolled
from service.sessions.folding import Folding
from service.sessions.records import WholeRecords
from service.sessions.whole import Whole
from service.storage.layout import Bytes
from service.wire import render
from service.wire.session_problems import SessionNotFound

UNROLLED_AT_ONCE = 4096
"""Steps of one unrolled pass; a longer history is unrolled in several, each from the served state before it."""
IDLE_S = 60.0
"""After which the process that unrolls is ended; it takes some hundred megabytes."""


class Unroller:
    """The process that unrolls, started when it is first needed."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._one_at_a_time = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None

    async def unroll(
        self, folder: Path, state: Bytes, values: NDArray[np.float64], calendar: NDArray[np.float32]
    ) -> unrolled.Arrays:
        """What `unrolled.unroll` gives, computed there."""
        name = np.frombuffer(str(folder).encode(), np.uint8)
        async with self._one_at_a_time:
            process = await self._running()
            try:
                return await _ask(process, {"folder": name, "state": state, "values": values, "calendar": calendar})
            except BaseException:
                await self._end()  # a process whose answer was not read would give it to the next request
                raise
            finally:
                self._timer = asyncio.get_running_loop().call_later(IDLE_S, self._close_input)

    async def close(self) -> None:
        async with self._one_at_a_time:
            if self._timer is not None:
                self._timer.cancel()
            await self._end()

    async def _running(self) -> asyncio.subprocess.Process:
        if self._timer is not None:
            self._timer.cancel()
        if self._process is None or self._process.returncode is not None or self._is_closing(self._process):
            await self._end()
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "service.sessions.unrolled"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        return self._process

    @staticmethod
    def _is_closing(process: asyncio.subprocess.Process) -> bool:
        assert process.stdin is not None
        return process.stdin.is_closing()

    def _close_input(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    async def _end(self) -> None:
        """End the process and wait for it."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._process = None


async def _ask(process: asyncio.subprocess.Process, question: unrolled.Arrays) -> unrolled.Arrays:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(unrolled.pack(question))
    await process.stdin.drain()
    head = await process.stdout.readexactly(unrolled.LENGTH.size)
    return unrolled.unpack(await process.stdout.readexactly(unrolled.LENGTH.unpack(head)[0]))


@dataclass(frozen=True, slots=True)
class Verifier:
    """Proves sessions."""

    records: WholeRecords
    folding: Folding
    unroller: Unroller

    async def verify(self, session: str) -> tuple[render.Json, str]:
        """A Verification, and the ETag of the state that it proves. Raises what `WholeRecords.existing` raises."""

        async def verified(whole: Whole | None, _: int) -> tuple[render.Json, str] | None:
            if whole is None:
                raise SessionNotFound(session)
            return await self._verified(whole), render.head_etag(whole.record.head)

        return await self.records.work(session, verified)

    async def _verified(self, whole: Whole) -> render.Json:
        observations, identical, difference = 0, True, 0.0
        tolerance = whole.loaded.spec.tolerance
        first = whole.correctable_from()
        if first <= whole.record.step:
            start, state = whole.state_before(first)
            slots = whole.slots_from(start + 1)
            values = slots["value"].copy()
            observations = len(values)
            instants = slots["timestamp"].tolist()
            context = entries.context(whole.loaded, whole.place.label.grid, instants, slots["covariates"])
            stops = [*range(UNROLLED_AT_ONCE, observations, UNROLLED_AT_ONCE), observations]
            folded = await self.folding.fold(
                whole.loaded, state, values, lambda begin, end: context[begin:end], keep=stops
            )
            identical = folded.state.tobytes() == whole.record.state.tobytes()
            for begin, end in pairwise([0, *stops]):
                reference = await self.unroller.unroll(
                    whole.loaded.folder, state, values[begin:end], context[begin:end]
                )
                state = folded.kept[end]
                served = np.concatenate([folded.issued[begin:end], whole.loaded.model.forecast(state[None])[0]])
                difference = max(difference, furthest(served, reference, tolerance))
        return {
            "session": whole.session,
            "step": whole.record.step,
            "observations": observations,
            "identical": identical,
            "max_rel_difference": difference,
            "tolerance": tolerance,
            "ok": identical and difference <= tolerance,
        }


def furthest(served: NDArray[np.float64], reference: unrolled.Arrays, tolerance: float) -> float:
    """The largest difference of the unrolled pass, relative to the forecast or, if larger, the session's scale.

    Where the rounding of what is weighed is larger than the tolerance of both, it is the tolerance of that: at and
    after a spike the scale becomes small beside what the session remembers.

    Args:
        served: (T + H, Q) as served after each of T steps, then the fan after the last.
    """
    other = np.concatenate([reference["issued"], reference["fan"]])
    least = np.maximum(reference["scale"], reference["resolution"] / tolerance)
    sizes = np.concatenate([least, np.full(len(reference["fan"]), least[-1])])
    return float(np.max(np.abs(served - other) / np.maximum(np.abs(served), sizes[:, None])))
