"""What a commit promises, whatever store is behind it."""

import asyncio
from dataclasses import replace

import numpy as np

from service.storage.connection import Command
from service.storage.layout import position
from service.storage.record import Record
from service.storage.store import Found, Outcome, SessionStore
from tests.records import LAYOUT, advance, creation, deletion, new_record, replacement, token_of


async def stored(store: SessionStore, session: str) -> bytes:
    blob = await store.read_one(session)
    assert blob is not None
    return blob


async def created(store: SessionStore, session: str, *, ttl_ms: int = 0) -> bytes:
    assert await store.commit_one(creation(session, ttl_ms=ttl_ms)) is Outcome.APPLIED
    return await stored(store, session)


async def advanced(store: SessionStore, session: str, value: float, *, ttl_ms: int = 0) -> bytes:
    change = advance(session, await stored(store, session), value, ttl_ms=ttl_ms)
    assert await store.commit_one(change) is Outcome.APPLIED
    return await stored(store, session)


async def test_a_created_record_comes_back_bit_for_bit_but_for_the_store_s_stamp(store: SessionStore) -> None:
    change = creation("a")
    await store.commit([change])
    sent, got = change.writes[0][1], await stored(store, "a")
    assert (got[:512], got[528:]) == (sent[:512], sent[528:])
    assert Record.parse(got, LAYOUT).tail == {"static": {"area": 2252.7}}


async def test_advances_in_place_leave_a_sound_record_with_its_history_answers_and_snapshots(
    store: SessionStore,
) -> None:
    await created(store, "a")
    for value in range(1, 21):
        blob = await advanced(store, "a", float(value))
    record = Record.parse(blob, LAYOUT)
    assert (record.step, int(record.head["revision"])) == (20, 21)
    assert record.slots()["value"].tolist() == list(range(13, 21))
    assert [record.outcome(token_of(f"a {float(v)}")) is not None for v in (12, 13, 20)] == [False, True, True]
    assert sorted(record.snapshots["step"].tolist()) == [16, 20]
    assert (record.state == 20).all()


async def test_the_live_part_is_read_as_one_matrix(store: SessionStore) -> None:
    blob = await created(store, "a")
    reading = await store.read(["a", "nobody", "a"], LAYOUT.live_bytes)
    assert reading.found.tolist() == [Found.PRESENT, Found.ABSENT, Found.PRESENT]
    assert reading.rows[2].tobytes() == blob[: LAYOUT.live_bytes]
    assert not reading.rows[1].any()


async def test_a_reading_longer_than_the_record_is_filled_up_with_zeros(store: SessionStore) -> None:
    blob = await created(store, "a")
    reading = await store.read(["a"], len(blob) + 10)
    assert reading.rows[0].tobytes() == blob + bytes(10)


async def test_an_existing_session_is_not_created_again(store: SessionStore) -> None:
    await created(store, "a")
    assert await store.commit_one(creation("a", token="another")) is Outcome.CONFLICT


async def test_a_change_sent_again_is_replayed_and_changes_nothing(store: SessionStore) -> None:
    change = advance("a", await created(store, "a"), 1.0)
    assert await store.commit_one(change) is Outcome.APPLIED
    after = await stored(store, "a")
    assert await store.commit_one(change) is Outcome.REPLAYED
    assert await stored(store, "a") == after


async def test_a_creation_sent_again_is_replayed_also_after_later_advances(store: SessionStore) -> None:
    await created(store, "a")
    await advanced(store, "a", 1.0)
    assert await store.commit_one(creation("a")) is Outcome.REPLAYED


async def test_a_token_is_known_for_eight_answers(store: SessionStore) -> None:
    first = advance("a", await created(store, "a"), 1.0)
    await store.commit([first])
    for value in range(2, 9):
        await advanced(store, "a", float(value))
    assert await store.commit_one(first) is Outcome.REPLAYED
    await advanced(store, "a", 9.0)
    assert await store.commit_one(first) is Outcome.CONFLICT


async def test_a_token_with_another_payload_is_refused(store: SessionStore) -> None:
    change = advance("a", await created(store, "a"), 1.0)
    await store.commit([change])
    assert await store.commit_one(replace(change, digest=b"another!")) is Outcome.KEY_REUSED


async def test_bytes_across_two_tokens_are_no_token(store: SessionStore) -> None:
    blob = await created(store, "a")
    for value in (1.0, 2.0):
        blob = await advanced(store, "a", value)
    straddling = replace(advance("a", blob, 3.0), token=blob[296 + 24 + 8 : 296 + 24 + 24])
    assert await store.commit_one(straddling) is Outcome.APPLIED


async def test_a_stale_position_is_a_conflict(store: SessionStore) -> None:
    before = await created(store, "a")
    await advanced(store, "a", 1.0)
    assert await store.commit_one(advance("a", before, 2.0)) is Outcome.CONFLICT


async def test_a_store_that_fell_behind_is_recognised(store: SessionStore) -> None:
    before = await created(store, "a")
    ahead = await advanced(store, "a", 1.0)
    await store.commit([deletion("a"), creation("a", token="restored")])
    assert before[112:128] == (await stored(store, "a"))[112:128]
    assert await store.commit_one(advance("a", ahead, 2.0)) is Outcome.REGRESSED


async def test_another_way_to_the_same_revision_is_recognised(store: SessionStore) -> None:
    before = await created(store, "a")
    lost = await advanced(store, "a", 1.0)
    await store.commit([deletion("a"), replacement("a", Record.parse(before, LAYOUT), expected=None)])
    await advanced(store, "a", 3.0)
    assert lost[112:128] == (await stored(store, "a"))[112:128]
    assert await store.commit_one(advance("a", lost, 2.0)) is Outcome.REGRESSED


async def test_a_writer_from_before_a_reset_is_refused_though_the_revision_is_the_same(store: SessionStore) -> None:
    before = await created(store, "a")
    record = new_record(life=b"life two")
    record.bump(token_of("reset"))
    assert await store.commit_one(replacement("a", record, expected=position(before), token="reset")) is Outcome.APPLIED
    assert (await stored(store, "a"))[120:128] == before[120:128]
    assert await store.commit_one(advance("a", before, 1.0)) is Outcome.CONFLICT


async def test_an_advance_of_nothing_is_missing(store: SessionStore) -> None:
    blob = await created(store, "a")
    await store.commit([deletion("a")])
    assert await store.commit_one(advance("a", blob, 1.0)) is Outcome.MISSING


async def test_an_advance_of_another_model_s_state_at_the_same_revision_is_refused(store: SessionStore) -> None:
    before = await created(store, "a")
    record = new_record()
    record.head["fingerprint"] = np.frombuffer(b"o" * 32, np.uint8)
    record.bump(token_of("create"))
    await store.commit([deletion("a"), replacement("a", record, expected=None)])
    assert before[112:128] == (await stored(store, "a"))[112:128]
    assert await store.commit_one(advance("a", before, 1.0)) is Outcome.REGRESSED


async def test_a_deletion_counts_whether_or_not_something_is_there(store: SessionStore) -> None:
    blob = await created(store, "a")
    assert await store.commit_one(deletion("a", expected=bytes(16))) is Outcome.CONFLICT
    for _ in range(2):
        assert await store.commit_one(deletion("a", expected=position(blob))) is Outcome.APPLIED
    assert await store.read_one("a") is None


async def test_a_session_expires_by_the_store_s_clock_and_can_be_created_again(store: SessionStore) -> None:
    blob = await created(store, "a", ttl_ms=500)
    await asyncio.sleep(0.55)
    assert await store.commit_one(advance("a", blob, 1.0)) is Outcome.EXPIRED
    assert await store.read_one("a") is None
    assert (await store.read(["a"], 528)).found[0] == Found.ABSENT
    assert await store.commit_one(creation("a", token="again")) is Outcome.APPLIED


async def test_reading_prolongs_no_life(store: SessionStore) -> None:
    blob = await created(store, "a", ttl_ms=60_000)
    await store.read(["a"], 528)
    assert await stored(store, "a") == blob


async def test_a_damaged_expiry_is_no_reason_to_forget(store: SessionStore) -> None:
    blob = await created(store, "a", ttl_ms=60_000)
    damaged = blob[:520] + bytes([1, 0, 0, 0, 0, 0, 0, 0]) + blob[528:]
    key = store.key("a")
    await store.servers.run([Command(key, (b"SET", key, damaged))], 5.0)
    assert await store.read_one("a") == damaged
    assert await store.commit_one(creation("a", token="again")) is Outcome.CONFLICT


async def test_a_record_cut_to_nothing_is_no_absent_one(store: SessionStore) -> None:
    key = store.key("a")
    await store.servers.run([Command(key, (b"SET", key, b""))], 5.0)
    assert (await store.read(["a"], 528)).found[0] == Found.PRESENT
    assert await store.commit_one(creation("a")) is Outcome.CONFLICT


async def test_an_advance_renews_the_time_to_live_and_zero_ends_it(store: SessionStore) -> None:
    await created(store, "a", ttl_ms=60_000)
    renewed = Record.parse(await advanced(store, "a", 1.0, ttl_ms=120_000), LAYOUT).head
    assert renewed["expires_ms"] == renewed["updated_ms"] + 120_000
    assert Record.parse(await advanced(store, "a", 2.0), LAYOUT).head["expires_ms"] == 0


async def test_only_one_of_two_concurrent_advances_wins(store: SessionStore) -> None:
    before = await created(store, "a")
    rivals = [advance("a", before, value) for value in (1.0, 2.0)]
    outcomes = await asyncio.gather(*(store.commit_one(rival) for rival in rivals))
    assert sorted(outcomes) == [Outcome.APPLIED, Outcome.CONFLICT]


async def test_a_batch_larger_than_one_call_keeps_its_order(store: SessionStore) -> None:
    names = [f"s{i}" for i in range(300)]
    assert set(await store.commit([creation(name) for name in names])) == {Outcome.APPLIED}
    reading = await store.read(names, LAYOUT.live_bytes)
    assert (reading.found == Found.PRESENT).all()
    blobs = [row.tobytes() for row in reading.rows]
    changes = [advance(name, blob, float(i)) for i, (name, blob) in enumerate(zip(names, blobs, strict=True))]
    stale = {7, 150, 299}
    await store.commit([advance(names[i], blobs[i], -1.0) for i in stale])
    outcomes = await store.commit(changes)
    assert {i for i, outcome in enumerate(outcomes) if outcome is Outcome.CONFLICT} == stale
    assert set(outcomes) == {Outcome.APPLIED, Outcome.CONFLICT}
    whole = await store.read_whole([*names, "nobody"])
    assert [Record.parse(blob, LAYOUT).slots()["value"][-1] for blob in whole.blobs if blob is not None] == [
        -1.0 if i in stale else float(i) for i in range(300)
    ]
    assert whole.found[-1] is Found.ABSENT


async def test_no_sessions_are_no_work(store: SessionStore) -> None:
    assert await store.commit([]) == []
    assert (await store.read([], 528)).rows.shape == (0, 528)


async def test_sessions_of_another_namespace_are_not_seen(store: SessionStore) -> None:
    await created(store, "a")
    other = SessionStore(store.servers, "other-" + store.namespace, store.timeout_s)
    assert await other.read_one("a") is None


async def test_sixty_four_writers_fold_every_value_once(store: SessionStore) -> None:
    await created(store, "a")

    async def write(value: float) -> None:
        while await store.commit_one(advance("a", await stored(store, "a"), value)) is not Outcome.APPLIED:
            pass

    await asyncio.gather(*(write(float(value)) for value in range(64)))
    assert Record.parse(await stored(store, "a"), LAYOUT).step == 64


async def test_what_was_stamped_is_the_store_s_own_clock(store: SessionStore) -> None:
    blob = await created(store, "a")
    reading = await store.read(["a"], LAYOUT.live_bytes)
    assert 0 <= reading.now_ms - int(np.frombuffer(blob, "<u8", 1, 512)[0]) < 60_000
