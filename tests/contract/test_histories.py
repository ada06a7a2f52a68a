"""A history that is kept in full, whatever store is behind it: the commit itself moves each ring that is filled."""

from dataclasses import replace

import numpy as np
import pytest

from service.storage.connection import Command
from service.storage.history import rendered, rendered_base, slots_between
from service.storage.layout import HeadFlag, mark, position
from service.storage.record import DamagedRecord, Record
from service.storage.store import Change, Found, Outcome, SessionStore
from tests.records import LAYOUT, advance, deletion, new_record, replacement, token_of

RING = 8


def created(session: str, *, life: bytes = b"life one", ttl_ms: int = 0, full: bool = True) -> Change:
    record = new_record(life=life, history=RING)
    mark(record.head, HeadFlag.FULL, on=full)
    record.head["ttl_ms"] = ttl_ms
    record.bump(token_of(life.decode()))
    return replace(replacement(session, record, expected=None, ttl_ms=ttl_ms, token=life.decode()), full=full)


async def folded(store: SessionStore, session: str, first: int, last: int, *, ttl_ms: int = 0) -> bytes:
    for value in range(first, last + 1):
        blob = await store.read_one(session)
        assert blob is not None
        change = replace(advance(session, blob, float(value), ttl_ms=ttl_ms), full=True)
        assert await store.commit_one(change) is Outcome.APPLIED
    blob = await store.read_one(session)
    assert blob is not None
    return blob


async def values(store: SessionStore, session: str, first: int, last: int) -> list[float]:
    reading = await store.read_history(session, first, last)
    assert (reading.found, reading.blob is not None) == (Found.PRESENT, True)
    slots = slots_between(Record.parse(reading.blob or b"", LAYOUT), reading.chunks, first, last)
    found: list[float] = slots["value"].tolist()
    return found


async def ask(store: SessionStore, session: str, *args: bytes) -> object:
    """A command about the history, sent to the server that holds it."""
    key = store.history_key(session)
    deadline = 1e12
    [reply] = await store.servers.run_at(
        await store.servers.node_of(key, deadline), [(args[0], key, *args[1:])], 10.0
    )
    return reply


async def test_every_ring_is_moved_when_it_is_filled(store: SessionStore) -> None:
    await store.commit_one(created("a"))
    await folded(store, "a", 1, 7)
    assert await ask(store, "a", b"EXISTS") == 0
    await folded(store, "a", 8, 29)
    assert await ask(store, "a", b"HLEN") == 3
    assert await values(store, "a", 1, 29) == list(range(1, 30))
    assert await values(store, "a", 7, 10) == [7, 8, 9, 10]


async def test_only_the_chunks_that_are_asked_for_are_read(store: SessionStore) -> None:
    await store.commit_one(created("a"))
    await folded(store, "a", 1, 29)
    assert [len((await store.read_history("a", *steps)).chunks) for steps in ((1, 8), (8, 9), (25, 29), (9, 0))] == [
        *(1, 2, 0, 2)
    ]


async def test_a_session_that_is_not_full_has_no_history_of_its_own(store: SessionStore) -> None:
    await store.commit_one(created("a", full=False))
    await folded(store, "a", 1, 20)
    assert await ask(store, "a", b"EXISTS") == 0


async def test_a_replacement_puts_and_takes_away_fields_in_the_same_commit(store: SessionStore) -> None:
    await store.commit_one(created("a"))
    record = Record.parse(await folded(store, "a", 1, 20), LAYOUT)
    reading = await store.read_history("a", 1)
    slots = slots_between(record, reading.chunks, 1, 20)
    slots["value"][2] = 300.0
    base = rendered_base(LAYOUT, 0, record.state)
    expected = record.position
    record.bump(token_of("correction"))
    change = replace(
        replacement("a", record, expected=expected, token="correction"),
        full=True,
        history=(rendered(slots, 0, RING), (b"1", b""), base),
    )
    stale = replace(change, expected=b"x" * 16, token=token_of("stale"), history=((b"0", b"gone"),))
    assert await store.commit_one(stale) is Outcome.CONFLICT
    assert await store.commit_one(change) is Outcome.APPLIED
    assert await values(store, "a", 1, 8) == [1, 2, 300, 4, 5, 6, 7, 8]
    with pytest.raises(DamagedRecord):
        await values(store, "a", 1, 20)
    assert (await store.read_history("a", 1)).base == base[1]


async def test_a_new_life_begins_without_a_history(store: SessionStore) -> None:
    await store.commit_one(created("a"))
    stood = position(await folded(store, "a", 1, 20))
    await store.commit_one(replace(created("a", life=b"life two"), expected=stood))
    assert await ask(store, "a", b"EXISTS") == 0


async def test_a_history_that_is_not_kept_in_full_any_more_is_gone(store: SessionStore) -> None:
    await store.commit_one(created("a"))
    record = Record.parse(await folded(store, "a", 1, 20), LAYOUT)
    expected = record.position
    mark(record.head, HeadFlag.FULL, on=False)
    record.bump(token_of("short"))
    await store.commit_one(replace(replacement("a", record, expected=expected, token="short"), full=True))
    assert await ask(store, "a", b"EXISTS") == 0


async def test_what_is_left_of_another_life_is_not_taken_over(store: SessionStore) -> None:
    await store.commit_one(created("a"))
    await ask(store, "a", b"HSET", b"0", b"of a record that was evicted")
    await store.servers.run_at(
        await store.servers.node_of(store.key("a"), 1e12), [(b"DEL", store.key("a"))], 10.0
    )
    assert await store.commit_one(created("a", life=b"life two")) is Outcome.APPLIED
    assert await ask(store, "a", b"EXISTS") == 0


async def test_the_history_is_deleted_with_its_session(store: SessionStore) -> None:
    await store.commit_one(created("a"))
    await folded(store, "a", 1, 20)
    assert await store.commit_one(replace(deletion("a"), full=True)) is Outcome.APPLIED
    assert await ask(store, "a", b"EXISTS") == 0
    assert (await store.read_history("a", 1)).found is Found.ABSENT


async def test_the_history_expires_when_its_session_does(store: SessionStore) -> None:
    await store.commit_one(created("a", ttl_ms=10_000_000))
    await folded(store, "a", 1, 9, ttl_ms=10_000_000)
    node = await store.servers.node_of(store.key("a"), 1e12)
    for ttl_ms in (20_000_000, 0, 30_000_000):
        step = Record.parse(await store.read_one("a") or b"", LAYOUT).step + 1
        await folded(store, "a", step, step, ttl_ms=ttl_ms)
        asked = [(b"PEXPIRETIME", key) for key in (store.key("a"), store.history_key("a"))]
        times = await store.servers.run_at(node, asked, 10.0)
        assert times[0] == times[1]
        assert (times[0] == -1) is (ttl_ms == 0)


async def test_a_batch_moves_the_rings_of_its_own_sessions_only(store: SessionStore) -> None:
    names = [f"s{number}" for number in range(40)]
    for number, name in enumerate(names):
        await store.commit_one(created(name, full=number % 2 == 0))
    for value in range(1, 9):
        blobs = (await store.read_whole(names)).blobs
        changes = [
            replace(advance(name, blob or b"", float(value)), full=number % 2 == 0)
            for number, (name, blob) in enumerate(zip(names, blobs, strict=True))
        ]
        assert set(await store.commit(changes)) == {Outcome.APPLIED}
    assert [await ask(store, name, b"EXISTS") for name in names] == [1, 0] * 20


async def test_an_expired_session_has_no_history(store: SessionStore) -> None:
    await store.commit_one(created("a", ttl_ms=1))
    while (await store.read_history("a", 1)).found is not Found.ABSENT:
        pass


async def test_zeros_before_the_first_observation_are_no_damage(store: SessionStore) -> None:
    record = new_record(history=RING)
    slots = np.zeros(4, LAYOUT.slot)
    slots["step"] = [5, 6, 7, 8]
    record.head["first"], record.head["step"] = 5, 8
    _, chunk = rendered(slots, 0, RING)
    assert slots_between(record, [chunk], 5, 8)["step"].tolist() == [5, 6, 7, 8]
    with pytest.raises(DamagedRecord):
        slots_between(record, [chunk[:-1] + b"?"], 5, 8)


async def test_neither_a_damaged_expiry_nor_a_record_cut_to_nothing_is_an_absent_history(store: SessionStore) -> None:
    await store.commit_one(created("a", ttl_ms=60_000))
    blob = await store.read_one("a")
    assert blob is not None
    key = store.key("a")
    for damaged in (blob[:520] + bytes([1, 0, 0, 0, 0, 0, 0, 0]) + blob[528:], b""):
        await store.servers.run([Command(key, (b"SET", key, damaged))], 5.0)
        assert (await store.read_history("a", 1)).found is Found.PRESENT


async def test_a_history_has_any_number_of_chunks(store: SessionStore) -> None:
    count = 9_000
    record = new_record(history=RING)
    mark(record.head, HeadFlag.FULL)
    record.head["step"] = count * RING
    record.bump(token_of("first"))
    await store.commit_one(replace(replacement("a", record, expected=None, token="first"), full=True))
    for first in range(0, count, 1000):
        await ask(store, "a", b"HSET", *(b"%d" % number for row in range(first, first + 1000) for number in (row, row)))
    assert (await store.read_history("a", 1)).chunks == [b"%d" % number for number in range(count)]
