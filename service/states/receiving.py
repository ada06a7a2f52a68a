"""The document of a state as it is read: small ones here, large ones by a process of their own.

To read a document of megabytes is one long call, during which nobody else would be answered. A process that does
nothing else reads it, and tells it in pieces that take a millisecond each.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from struct import Struct

import msgspec

from service.states import document
from service.states.document import Record, State
from service.wire.problems import Fault, MalformedRequest, ServiceError
from service.wire.session_problems import StateInvalid

LARGE_BYTES = 2**18
"""From so many on, a document is read by another process: smaller ones take some milliseconds."""
AT_ONCE = 128
"""Records of one piece: about a millisecond."""
LENGTH = Struct("<Q")
"""Before each piece."""


class Head(msgspec.Struct, frozen=True):
    """What the other process tells first: how many records follow and from which step on, or why it can read none."""

    digest: bytes = b""
    count: int = 0
    first: int = 0
    malformed: str | None = None
    invalid: str | None = None
    pointer: str | None = None

    def refusal(self) -> ServiceError | None:
        """Why the document is none."""
        if self.malformed is not None:
            return MalformedRequest(self.malformed)
        if self.invalid is not None:
            return StateInvalid(self.invalid, errors=[Fault(self.invalid.partition(": ")[2], self.pointer)])
        return None


@dataclass(frozen=True, slots=True)
class Received:
    """A document.

    Attributes:
        state: without its history.
        digest: of the whole.
        count, first: how many observations are retained, and the step of the oldest; one after the last if none is.
        pieces: those observations, oldest first.
    """

    state: State
    digest: bytes
    count: int
    first: int
    pieces: AsyncIterator[list[Record]]


@asynccontextmanager
async def received(body: bytes) -> AsyncIterator[Received]:
    """The document in a body. Raises MalformedRequest or StateInvalid: it is none."""
    if len(body) < LARGE_BYTES:
        state = document.parse(body)
        yield _received(state, head_of(state), _pieces(state))
        return
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.states.reader"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(body)
        await process.stdin.drain()
        process.stdin.close()
        head = _head.decode(await _piece(process.stdout))
        if (refusal := head.refusal()) is not None:
            raise refusal
        state = _state.decode(await _piece(process.stdout))
        yield _received(state, head, _told(process.stdout, head.count))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def head_of(state: State) -> Head:
    """What is told first of a document that could be read."""
    first = state.history[0].step if state.history else state.step + 1
    return Head(document.digest(state), len(state.history), first)


def _received(state: State, head: Head, pieces: AsyncIterator[list[Record]]) -> Received:
    return Received(msgspec.structs.replace(state, history=[]), head.digest, head.count, head.first, pieces)


async def _pieces(state: State) -> AsyncIterator[list[Record]]:
    for at in range(0, len(state.history), AT_ONCE):
        yield state.history[at : at + AT_ONCE]


async def _told(answers: asyncio.StreamReader, count: int) -> AsyncIterator[list[Record]]:
    while count > 0:
        records = _records.decode(await _piece(answers))
        count -= len(records)
        yield records


async def _piece(answers: asyncio.StreamReader) -> bytes:
    [length] = LENGTH.unpack(await answers.readexactly(LENGTH.size))
    return await answers.readexactly(length)


_head = msgspec.msgpack.Decoder(Head)
_state = msgspec.msgpack.Decoder(State)
_records = msgspec.msgpack.Decoder(list[Record])
