"""Forgetting all that a session has observed, and none of its settings."""

from dataclasses import replace

from service.sessions.whole import Whole
from service.storage.layout import HeadFlag, mark
from service.storage.record import Record

KEPT = (
    *("freq", "timezone", "gaps", "require_if_match", "max_gap", "ttl_ms", "minimum", "maximum"),
    *("created_ms", "revision", "tokens", "flags"),
)


def emptied(whole: Whole, incarnation: bytes) -> Whole:
    """The session at step 0 of a new life; its outcomes stay, so that a key is still known.

    Args:
        incarnation: random.
    """
    old, loaded = whole.record, whole.loaded
    record = Record.new(
        loaded.layout,
        model=old.head["model"].item().decode(),
        fingerprint=loaded.spec.fingerprint,
        incarnation=incarnation,
        history=old.history,
        state=loaded.initial_state(old.tail.get("static", {})),
    )
    for name in KEPT:
        record.head[name] = old.head[name]
    if old.step and not old.head["freq"]:
        mark(record.head, HeadFlag.COUNTED)
    mark(record.head, HeadFlag.SHORT_REBUILD, on=False)
    record.outcomes[:] = old.outcomes
    record.tail = old.tail
    return replace(whole, record=record, slots=record.slots(), stored=0)
