"""Events as they are sent: Server-Sent Events, whose data are JSON."""

from collections.abc import Sequence

import orjson

from service.live.events import Action, Answered, Drifted, Event, Happened, Missed
from service.storage.layout import AnswerKind
from service.wire import render

COMMENT = b":\n"
CLOSE = b"event: close\ndata: {}\n\n"
RETRY = b"retry: 1000\n"
"""How many milliseconds a browser waits before it comes again."""


def standing(place_id: bytes) -> bytes:
    """No event, but the id to come again with."""
    return b"id: %b\n\n" % place_id


def identified(place_id: bytes, parts: Sequence[bytes]) -> bytes:
    """Events that are told together; who has not read the last of them begins with the first again."""
    *before, last = parts
    return b"%bid: %b\n%b" % (b"".join(before), place_id, last)


def told(event: Event, at_ms: int) -> list[bytes]:
    """An event without an id; a write that made a session, or corrected it besides, is two, and a replay is none.

    Args:
        at_ms: when it was logged, by the store's clock.
    """
    match event:
        case Answered():
            return _answered(event, at_ms)
        case Happened():
            return [_happened(event.action, event.session, event.step, event.etag, at_ms)]
        case Drifted():
            body = {"session": event.session, "detected": event.since is not None, "since": event.since}
            return [_sse(b"drift", orjson.dumps({**body, "step": event.step, "etag": event.etag}))]
        case Missed():
            return [gap(event.from_ms, event.to_ms)]


def gap(from_ms: int, to_ms: int) -> bytes:
    """Whatever happened between these times may be missing."""
    body = {"missed_from": render.moment(from_ms), "missed_to": render.moment(to_ms + 999)}
    return _sse(b"gap", orjson.dumps(body))


def _answered(event: Answered, at_ms: int) -> list[bytes]:
    label, answer = event.label, event.answer

    def happened(action: Action) -> bytes:
        return _happened(action, label.session, answer.step, render.etag(answer.incarnation, answer.revision), at_ms)

    if answer.kind == AnswerKind.REWIND:
        return [happened("rewound")]
    parts = [happened("created")] if answer.status == 201 else []
    if answer.kind == AnswerKind.ADVANCE and (answer.applied or answer.imputed):
        parts.append(_sse(b"observation", render.advance(label, answer)))
    if answer.corrected:
        parts.append(happened("corrected"))
    return parts


def _happened(action: Action, session: str, step: int | None, etag: str | None, at_ms: int) -> bytes:
    body = {"session": session, "action": action, "step": step, "etag": etag, "at": render.moment(at_ms)}
    return _sse(b"session", orjson.dumps(body))


def _sse(event: bytes, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event, data)
