import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.dates.frequencies import DAY
from service.storage.layout import HEAD, HEAD_BYTES, NO_TIME, WINDOW, HeadFlag, Layout, snapshot_every
from service.storage.record import (
    DamagedRecord,
    Record,
    find_damage,
    find_foreign,
    find_tokens,
    heads_of,
    live_of,
)
from tests.records import LAYOUT, new_record, step_writes, token_of

STAMP = range(512, 528)


def folded(steps: int, *, history: int = 8) -> bytes:
    """A record advanced in place, as the store would hold it."""
    record = new_record(history=history)
    record.bump(token_of("create"))
    blob = bytearray(record.render())
    for step in range(1, steps + 1):
        [writes] = step_writes([bytes(blob)], [float(step)], f"token {step}")
        for offset, data in writes:
            blob[offset : offset + len(data)] = data
    return bytes(blob)


def protected(blob: bytes) -> list[int]:
    """Every byte whose change must be noticed: all but the store's stamp and slots not in use."""
    record = Record.parse(blob, LAYOUT)
    ring = LAYOUT.live_bytes + WINDOW * LAYOUT.outcome.itemsize
    unused = range(
        ring + min(record.step, record.history) * LAYOUT.slot.itemsize, ring + record.history * LAYOUT.slot.itemsize
    )
    return [at for at in range(len(blob)) if at not in STAMP and at not in unused]


def test_the_layout_is_the_one_that_was_frozen() -> None:
    offsets = {name: HEAD.fields[name][1] for name in HEAD.names or () if HEAD.fields}
    assert (HEAD_BYTES, offsets["incarnation"], offsets["revision"], offsets["tokens"]) == (528, 112, 120, 296)
    assert (offsets["fingerprint"], offsets["crc"], offsets["updated_ms"], offsets["expires_ms"]) == (16, 508, 512, 520)
    assert (LAYOUT.slot.itemsize, LAYOUT.outcome.itemsize, LAYOUT.snapshot.itemsize) == (144, 264, 112)
    assert LAYOUT.identity.hex() == "4197a115d1d9c8e0"


def test_layouts_that_differ_have_other_identities() -> None:
    layouts = [Layout(96, 1, "a"), Layout(96, 1, "b"), Layout(96, 2, "a"), Layout(104, 1, "a")]
    assert len({layout.identity for layout in layouts}) == len(layouts)


@given(
    history=st.integers(0, 20),
    state=st.binary(min_size=96, max_size=96),
    numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2).map(sorted),
    text=st.text(max_size=30),
    life=st.binary(min_size=8, max_size=8),
)
def test_a_record_comes_back_from_its_bytes(
    history: int, state: bytes, numbers: list[float], text: str, life: bytes
) -> None:
    record = Record.new(
        LAYOUT,
        model="toy@1",
        fingerprint=b"m" * 32,
        incarnation=life,
        history=history,
        state=np.frombuffer(state, np.uint8),
    )
    record.head["minimum"], record.head["maximum"] = numbers
    record.tail = {"static": {text: text}}
    record.bump(token_of(text), b"digest 1")
    again = Record.parse(record.render(), LAYOUT)
    assert again.render() == record.render()
    assert (again.state.tobytes(), again.tail) == (state, record.tail)
    assert again.position[:12] == life + bytes([1, 0, 0, 0])
    assert again.position[12:] == record.render()[508:512]
    np.testing.assert_array_equal([again.head["minimum"], again.head["maximum"]], numbers)


@given(steps=st.integers(0, 30), history=st.integers(0, 12))
def test_advances_in_place_keep_the_last_observations_and_snapshots(steps: int, history: int) -> None:
    record = Record.parse(folded(steps, history=history), LAYOUT)
    assert record.slots()["value"].tolist() == list(range(max(steps - history, 0) + 1, steps + 1))
    assert record.retained_from == max(steps - history, 0) + 1
    if history:
        assert steps - record.correctable_from + 1 >= min(steps, history // 2)
        state = record.snapshot_before(record.correctable_from)
        assert state is not None
        assert state[0] == record.correctable_from - 1


@given(steps=st.integers(0, 20), data=st.data())
def test_any_flipped_byte_is_noticed(steps: int, data: st.DataObject) -> None:
    blob = bytearray(folded(steps))
    at = data.draw(st.sampled_from(protected(bytes(blob))))
    blob[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DamagedRecord):
        Record.parse(bytes(blob), LAYOUT)


@given(cut=st.integers(0, 4000))
def test_a_record_cut_short_is_noticed(cut: int) -> None:
    blob = folded(3)
    with pytest.raises(DamagedRecord):
        Record.parse(blob[: min(cut, len(blob) - 1)], LAYOUT)


@given(at=st.integers(0, LAYOUT.live_bytes - 1).filter(lambda at: at not in STAMP), flip=st.integers(1, 255))
def test_a_wave_finds_the_damaged_head_or_state_and_no_other(at: int, flip: int) -> None:
    rows = np.stack([np.frombuffer(folded(step)[: LAYOUT.live_bytes], np.uint8) for step in range(4)])
    rows[2, at] ^= flip
    assert list(find_damage(rows)) == [2]


def test_a_wave_of_several_models_is_checked_each_at_its_own_size() -> None:
    rows = np.zeros((2, LAYOUT.live_bytes + 64), np.uint8)
    rows[:, : LAYOUT.live_bytes] = np.frombuffer(folded(1)[: LAYOUT.live_bytes], np.uint8)
    assert find_damage(rows) == {}
    rows[1] = 0
    assert find_damage(rows) == {1: "it does not begin with the mark of a record"}


@pytest.mark.parametrize(
    ("history", "changed"),
    [
        (8, {"step": 2**60}),
        (8, {"history": 10_001}),
        (8, {"first": 0}),
        (8, {"gaps": 2}),
        (8, {"minimum": 2.0, "maximum": 1.0}),
        (0, {"flags": HeadFlag.FULL}),
    ],
)
def test_numbers_that_cannot_be_are_damage_whatever_the_checksum_says(history: int, changed: dict[str, float]) -> None:
    record = Record.parse(folded(3, history=history), LAYOUT)
    for name, number in changed.items():
        record.head[name] = number
    rows = np.frombuffer(record.render()[: LAYOUT.live_bytes], np.uint8)[None, :]
    assert list(find_damage(rows)) == [0]


def test_times_that_do_not_follow_each_other_are_damage_whatever_the_checksum_says() -> None:
    record = Record.parse(folded(3), LAYOUT)
    record.head["freq"], record.head["anchor"], record.head["last"] = b"D", DAY, 3 * DAY
    record.ring["timestamp"][:3] = DAY, 2 * DAY, 3 * DAY
    Record.parse(record.render(), LAYOUT)
    for time in (NO_TIME, 3 * DAY):
        record.ring["timestamp"][1] = time
        with pytest.raises(DamagedRecord):
            Record.parse(record.render(), LAYOUT)


def test_no_rows_have_no_damage() -> None:
    assert find_damage(np.zeros((0, LAYOUT.live_bytes), np.uint8)) == {}


def test_a_record_of_another_layout_is_refused() -> None:
    blob = folded(2)
    other = Layout(LAYOUT.state_bytes, LAYOUT.covariates, "another order of arrays")
    rows = np.frombuffer(blob[: LAYOUT.live_bytes], np.uint8)[None, :]
    assert find_foreign(heads_of(rows), other).tolist() == [True]
    assert find_foreign(heads_of(rows), LAYOUT).tolist() == [False]
    with pytest.raises(DamagedRecord, match="layout"):
        Record.parse(blob, other)


def test_the_last_eight_tokens_are_found_and_no_token_is_none() -> None:
    rows = np.frombuffer(folded(10)[: LAYOUT.live_bytes], np.uint8)[None, :]
    heads = live_of(rows, LAYOUT)["head"]
    names = [f"token {step}" for step in range(1, 11)]
    found = [find_tokens(heads, np.frombuffer(token_of(name), np.uint8)[None, :])[0] >= 0 for name in names]
    assert found == [False, False] + [True] * 8
    assert find_tokens(live_of(rows, LAYOUT)["head"], np.zeros((1, 16), np.uint8)).tolist() == [-1]


def test_an_answer_is_found_by_its_token_with_its_numbers() -> None:
    record = Record.parse(folded(5), LAYOUT)
    answer = record.outcome(token_of("token 4"))
    assert answer is not None
    assert (int(answer["step"]), float(answer["observed"]["value"]), int(answer["revision"])) == (4, 4.0, 5)
    assert record.outcome(token_of("nobody's")) is None


def test_a_reset_keeps_the_answers_under_their_tokens() -> None:
    before = Record.parse(folded(5), LAYOUT)
    after = new_record(life=b"life two")
    after.head["revision"], after.head["tokens"] = before.head["revision"], before.head["tokens"]
    after.outcomes[:] = before.outcomes
    after.bump(token_of("reset"))
    again = Record.parse(after.render(), LAYOUT)
    assert again.outcome(token_of("token 5")) is not None
    assert again.step == 0


@given(first=st.integers(0, 50), count=st.integers(0, 50), history=st.integers(1, 20))
def test_a_long_fold_stops_where_an_advance_would_keep_the_state(first: int, count: int, history: int) -> None:
    record = new_record(history=history)
    every = snapshot_every(history)
    due = [step for step in range(first + 1, first + count + 1) if step % every == 0]
    assert record.snapshot_steps(first, first + count) == due[-2:]


def test_a_list_of_observations_longer_than_the_ring_leaves_the_newest() -> None:
    record = new_record(history=4)
    slots = np.zeros(10, LAYOUT.slot)
    slots["step"] = np.arange(1, 11)
    record.head["step"] = 10
    record.put_slots(slots)
    assert Record.parse(record.render(), LAYOUT).slots()["step"].tolist() == [7, 8, 9, 10]


def test_a_model_name_too_long_for_the_record_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 64 bytes"):
        Record.new(
            LAYOUT, model="m" * 65, fingerprint=bytes(32), incarnation=bytes(8), history=1, state=np.zeros(96, np.uint8)
        )
