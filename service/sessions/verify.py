"""The proof of a session: its retained observations folded again, step by step and unrolled, against its live state."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.sessions import entries, unrolled
from service.sessions.folding import Folding
from service.sessions.whole import Whole, WholeRecords
from service.storage.layout import Bytes
from service.wire import render

TOLERANCE = 1e-5
"""Of the unrolled pass, relative to the forecast or the session's scale, whichever is larger."""
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

    async def verify(self, session: str) -> render.Json:
        """A Verification. Raises what `WholeRecords.existing` raises."""
        whole = await self.records.existing(session)
        observations, identical, difference = 0, True, 0.0
        first = whole.correctable_from()
        if first <= whole.record.step:
            _, state = whole.state_before(first)
            slots = whole.slots_from(first)
            values = slots["value"].copy()
            calendar = entries.calendar(whole.place.label.grid, slots["timestamp"].tolist())
            folded = await self.folding.fold(
                whole.loaded, state, values, lambda start, stop: calendar[start:stop]
            )
            observations = len(values)
            identical = folded.state.tobytes() == whole.record.state.tobytes()
            reference = await self.unroller.unroll(whole.loaded.folder, state, values, calendar)
            difference = _difference(whole, folded.issued, reference)
        return {
            "session": whole.session,
            "step": whole.record.step,
            "observations": observations,
            "identical": identical,
            "max_rel_difference": difference,
            "tolerance": TOLERANCE,
            "ok": identical and difference <= TOLERANCE,
        }


def _difference(whole: Whole, issued: NDArray[np.float64], reference: unrolled.Arrays) -> float:
    """The largest difference of the unrolled pass, relative to the forecast or, if larger, the session's scale."""
    fan = whole.loaded.model.forecast(whole.record.state[None])[0]
    served = np.concatenate([issued, fan])
    other = np.concatenate([reference["issued"], reference["fan"]])
    size = np.maximum(np.abs(served), float(reference["scale"][0]))
    return float(np.max(np.abs(served - other) / size))
