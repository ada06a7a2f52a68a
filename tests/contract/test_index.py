"""The index of sessions, on every deployment."""

import pytest

from service.listing.index import SessionIndex
from service.storage.store import SessionStore
from tests.records import creation, deletion

NAMES = sorted([f"store-{i}" for i in range(40)] + ["gauge-1", "gauge-2", "~", "A"])


@pytest.fixture
async def index(store: SessionStore) -> SessionIndex:
    index = SessionIndex(store)
    await index.note({name: 1000 + i // 10 for i, name in enumerate(NAMES)})
    return index


async def all_by_name(index: SessionIndex, *, prefix: str = "", descending: bool = False) -> list[str]:
    names: list[str] = []
    while page := await index.by_name(prefix=prefix, after=names[-1] if names else "", limit=7, descending=descending):
        names += page
    return names


async def all_by_time(index: SessionIndex, *, descending: bool = False) -> list[tuple[int, str]]:
    entries: list[tuple[int, str]] = []
    while page := await index.by_time(after=entries[-1] if entries else None, limit=7, descending=descending):
        entries += page
    return entries


async def test_pages_by_name_follow_one_another_in_both_directions(index: SessionIndex) -> None:
    assert await all_by_name(index) == NAMES
    assert await all_by_name(index, descending=True) == NAMES[::-1]


async def test_a_prefix_takes_the_names_that_begin_with_it(index: SessionIndex) -> None:
    assert await all_by_name(index, prefix="gauge-") == ["gauge-1", "gauge-2"]
    assert await all_by_name(index, prefix="store-3", descending=True) == sorted(
        (name for name in NAMES if name.startswith("store-3")), reverse=True
    )
    assert await all_by_name(index, prefix="none") == []


async def test_pages_by_time_give_each_session_once_though_many_share_their_time(index: SessionIndex) -> None:
    expected = [(1000 + i // 10, name) for i, name in enumerate(NAMES)]
    assert await all_by_time(index) == expected
    assert await all_by_time(index, descending=True) == expected[::-1]


async def test_pages_by_error_give_each_ranked_session_once(index: SessionIndex) -> None:
    errors = {name: (i // 10) / 3 for i, name in enumerate(NAMES)}
    assert await index.ranked_until() == 0
    await index.rank(errors, 5000)
    entries: list[tuple[float, str]] = []
    while page := await index.by_error(after=entries[-1] if entries else None, limit=7, descending=True):
        entries += page
    assert entries == sorted(((error, name) for name, error in errors.items()), reverse=True)
    assert await index.ranked_until() == 5000
    await index.forget(NAMES[1:])
    assert await index.by_error(limit=7) == [(0.0, NAMES[0])]


async def test_what_is_noted_again_is_counted_once_and_what_is_forgotten_no_more(index: SessionIndex) -> None:
    await index.note({"A": 2000})
    assert await index.count() == len(NAMES)
    assert (await index.by_time(limit=1, descending=True)) == [(2000, "A")]
    await index.forget(["A", "nobody"])
    assert await index.count() == len(NAMES) - 1
    assert "A" not in await all_by_name(index)


async def test_an_index_that_is_gone_is_rebuilt_from_the_records(store: SessionStore) -> None:
    index = SessionIndex(store)
    await store.commit([*(creation(name) for name in NAMES), creation("gone")])
    await store.commit([deletion("gone")])
    assert not await index.is_whole()
    assert await index.rebuild() == len(NAMES)
    assert await index.is_whole()
    assert await all_by_name(index) == NAMES
    [(updated_ms, _)] = await index.by_time(limit=1)
    reading = await store.read(["A"], 528)
    assert 0 <= reading.now_ms - updated_ms < 60_000
