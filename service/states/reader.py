"""The process that reads a large document: `python -m service.states.reader`, body in, pieces out (`receiving`)."""

import sys
from collections.abc import Iterator

import msgspec

from service.states import document
from service.states.receiving import AT_ONCE, LENGTH, Head, head_of
from service.wire.problems import MalformedRequest
from service.wire.session_problems import StateInvalid


def pieces(body: bytes) -> Iterator[bytes]:
    """What is told of a document."""
    encode = msgspec.msgpack.Encoder().encode
    try:
        state = document.parse(body)
    except MalformedRequest as refused:
        yield encode(Head(malformed=refused.detail))
        return
    except StateInvalid as refused:
        yield encode(Head(invalid=refused.detail, pointer=refused.errors[0].pointer))
        return
    yield encode(head_of(state))
    yield encode(msgspec.structs.replace(state, history=[]))
    for at in range(0, len(state.history), AT_ONCE):
        yield encode(state.history[at : at + AT_ONCE])


def main() -> None:
    for piece in pieces(sys.stdin.buffer.read()):
        sys.stdout.buffer.write(LENGTH.pack(len(piece)) + piece)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
