"""A backfill stores what a PUT with the same observations stores, bit for bit, and leaves alone what is there."""

import asyncio
import os
from collections.abc import Sequence
from itertools import pairwise

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray

from service.listing.index import SessionIndex
from service.sessions import histories
from service.sessions.bulk import backfill
from service.sessions.bulk.backfill import Backfill, Fate, Fates
from service.sessions.creation import Creator
from service.sessions.histories import Histories
from service.settings import Settings
from service.storage.layout import HEAD
from service.storage.store import SessionStore
from service.wire.problems import ServiceError
from service.wire.schemas import SessionSettings
from tests.service.conftest import Service
from tests.service.days import day
from tests.service.offline import record_of

Value = float | None
Sent = Sequence[tuple[str | int, Value]]
TIMES = ("created_ms", "updated_ms", "expires_ms")
CHANCE = ("incarnation", "tokens", "crc")


def histories_of(series: dict[str, Sent]) -> Histories:
    moments = sorted({str(at) for sent in series.values() for at, _ in sent})
    dated = all(isinstance(at, str) for sent in series.values() for at, _ in sent)
    rows = [row for sent in series.values() for row in sent]
    return Histories(
        list(series),
        np.cumsum([len(sent) for sent in series.values()]),
        np.array([np.nan if value is None else value for _, value in rows]),
        np.array([moments.index(str(at)) if dated else int(at) for at, _ in rows]),
        moments if dated else None,
    )


def fill(service: Service, series: dict[str, Sent], **settings: object) -> dict[str, Fate | ServiceError]:
    """Backfill in two parts, and what became of each series."""

    async def run() -> Fates:
        async with SessionStore.open(service.store_url) as store:
            filling = Backfill(
                store,
                Creator(service.registry, Settings(default_model="tiny")),
                SessionSettings.model_validate(settings),
                dated=not any(isinstance(at, int) for sent in series.values() for at, _ in sent),
                gap_limit=10_000,
                created=SessionIndex(store).note,
                randomness=os.urandom,
            )
            names = list(series)
            cuts = [0, (len(names) + 1) // 2, len(names)]
            parts = (histories_of({name: series[name] for name in names[a:b]}) for a, b in pairwise(cuts) if a < b)
            return [fate async for _, fates in filling.run(parts) for fate in fates]

    return dict(zip(series, asyncio.run(run()), strict=True))


def put(api: httpx2.Client, name: str, sent: Sent, **settings: object) -> httpx2.Response:
    key = {str: "timestamp", int: "step"}
    observations = [{key[type(at)]: at, "value": value} for at, value in sent]
    return api.put(f"/v1/sessions/{name}", json={**settings, "observations": observations})


async def assert_same_records(service: Service, one: str, other: str) -> None:
    first, second = await record_of(service, one), await record_of(service, other)
    assert first.tail == second.tail
    for name in HEAD.names or ():
        if name not in (*TIMES, *CHANCE):
            assert first.head[name].tobytes() == second.head[name].tobytes(), name
    assert (first.head["tokens"]["token"].any(axis=1) == second.head["tokens"]["token"].any(axis=1)).all()
    for part in (first.parts, second.parts):
        part["head"] = np.zeros((), HEAD)
        part["outcomes"]["token"], part["outcomes"]["incarnation"], part["outcomes"]["crc"] = 0, 0, 0
    assert first.parts.tobytes() == second.parts.tobytes()


def counted(values: Sequence[Value]) -> Sent:
    return list(enumerate(values, 1))


def dated(values: Sequence[Value], first: int = 1) -> Sent:
    return [(day(first + number), value) for number, value in enumerate(values)]


def wave(length: int, seed: int = 0) -> list[Value]:
    random: NDArray[np.float64] = np.random.default_rng(seed).normal(50, 10, length)
    return list(random.tolist())


KINDS: dict[str, Sent] = {
    "one": dated([5.0]),
    "missing-only": dated([None, None, None]),
    "missing-first": dated([None, None, 3.0, 4.0]),
    "shorter-than-a-snapshot": dated(wave(31)),
    "one-snapshot": dated(wave(32)),
    "two-snapshots": dated(wave(64)),
    "ring-once-around": dated(wave(65)),
    "long": dated(wave(230)),
    "zeros": dated([0.0] * 40),
    "huge": dated([1e12, -1e12, 1e12, 3.0]),
    "gap": [*dated(wave(20)), *dated(wave(90, 1), 60)],
    "closure": [*dated(wave(20)), *dated(wave(3, 1), 900)],
    "starts-later": dated(wave(40), 200),
    "an-older-one-again": [*dated(wave(40)), *dated(wave(40))[3:5]],
    "twice-the-same": [*dated(wave(10)), *dated(wave(10))[-1:], *dated(wave(3, 1), 11)],
}


@pytest.fixture
def prefix() -> str:
    return f"fill-{os.urandom(4).hex()}-"


async def compared(
    service: Service, api: httpx2.Client, kinds: dict[str, Sent], prefix: str, **settings: object
) -> None:
    fates = await asyncio.to_thread(fill, service, {prefix + name: sent for name, sent in kinds.items()}, **settings)
    assert set(fates.values()) == {Fate.CREATED}
    for name, sent in kinds.items():
        answer = put(api, f"put-{prefix}{name}", sent, **settings)
        assert answer.status_code == 201, answer.text
        await assert_same_records(service, prefix + name, f"put-{prefix}{name}")


async def test_records_are_those_of_a_put(service: Service, api: httpx2.Client, prefix: str) -> None:
    await compared(service, api, KINDS, prefix, freq="D")


async def test_the_freq_is_the_models_first_where_none_is_given(
    service: Service, api: httpx2.Client, prefix: str
) -> None:
    await compared(service, api, {"a": dated(wave(40))}, prefix, model="tiny@1")


async def test_counted_records_are_those_of_a_put(service: Service, api: httpx2.Client, prefix: str) -> None:
    kinds = {"plain": counted(wave(100)), "skipping": [(3, 1.0), (5, 2.0), (6, None)], "short": counted([1.0])}
    await compared(service, api, kinds, prefix)


@pytest.mark.parametrize("freq", ["h", "B", "ME", "W-MON"])
async def test_other_grids_are_those_of_a_put(
    service: Service, api: httpx2.Client, prefix: str, freq: str
) -> None:
    times = {
        "h": [f"2026-03-0{d}T{h:02}:00:00" for d in range(1, 5) for h in range(24)],
        "B": [day(n) for n in range(1, 60)],
        "ME": [f"20{y}-{end}" for y in range(10, 20) for end in ("01-31", "04-30", "12-31")],
        "W-MON": [day(n) for n in range(1, 700)],
    }[freq]
    weekday = np.array(times, "datetime64[D]").astype(int) + 3
    kept = {"B": weekday % 7 < 5, "W-MON": weekday % 7 == 0}.get(freq, np.ones(len(times), bool))
    sent = [(at, float(n % 7)) for n, (at, keep) in enumerate(zip(times, kept, strict=True)) if keep]
    await compared(service, api, {"a": sent, "b": sent[3:]}, prefix, freq=freq)


def test_a_refused_series_gets_the_problem_of_a_put_and_the_others_go_on(
    service: Service, api: httpx2.Client, prefix: str
) -> None:
    good = dated(wave(40))
    bad: dict[str, Sent] = {
        "off-grid": [*good, ("2026-11-21T07:00:00", 1.0)],
        "conflict": [*good, (good[-1][0], -1.0)],
        "backwards": [*good, (good[3][0], -1.0)],
        "unreadable": [*good, ("yesterday", 1.0)],
        "gap-too-long": [(day(1), 1.0), ("2090-01-01", 1.0)],
        "not-finite": dated([1.0, 1e308, -1e308, 1e308]),
    }
    fates = fill(service, {prefix + "good": good, **{prefix + name: sent for name, sent in bad.items()}}, freq="D")
    assert fates.pop(prefix + "good") is Fate.CREATED
    for name, fate in fates.items():
        problem = put(api, name, bad[name.removeprefix(prefix)], freq="D").json()
        assert isinstance(fate, ServiceError), name
        assert {**fate.body(None), "instance": 0} == {**problem, "instance": 0}
        assert api.get(f"/v1/sessions/{name}").status_code == 404


def test_an_id_that_is_not_allowed_is_refused(service: Service, prefix: str) -> None:
    [fate] = fill(service, {f"{prefix}a b": dated([1.0])}).values()
    assert isinstance(fate, ServiceError)
    assert "nearest allowed" in fate.errors[0].detail


def test_the_same_again_finds_it_there_also_after_it_has_moved(
    service: Service, api: httpx2.Client, prefix: str
) -> None:
    series = {prefix + "a": dated(wave(40)), prefix + "b": dated(wave(9))}
    fill(service, {prefix + "a": series[prefix + "a"]})
    moved = {"timestamp": day(41), "value": 1}
    etag = api.post(f"/v1/sessions/{prefix}a/observations", json=moved).headers["etag"]
    assert list(fill(service, series).values()) == [Fate.THERE, Fate.CREATED]
    assert api.get(f"/v1/sessions/{prefix}a").headers["etag"] == etag


def test_a_session_with_another_history_is_left_alone(service: Service, api: httpx2.Client, prefix: str) -> None:
    etag = put(api, prefix, dated(wave(9))).headers["etag"]
    [fate] = fill(service, {prefix: dated(wave(10))}).values()
    assert isinstance(fate, ServiceError)
    assert (fate.slug, fate.members["differences"]) == ("session-exists", ["observations"])
    assert api.get(f"/v1/sessions/{prefix}").headers["etag"] == etag


def test_sessions_made_meanwhile_are_not_overwritten(
    service: Service, api: httpx2.Client, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = dated(wave(9)), dated(wave(8))
    digests = backfill._digests

    def race(given: Histories) -> list[bytes]:
        put(api, given.sessions[0], other)
        return digests(given)

    async def nothing_there(*_: object) -> tuple[dict[int, Fate], int]:
        monkeypatch.undo()
        race(histories_of({prefix: mine}))
        return {}, 0

    monkeypatch.setattr(Backfill, "_existing", nothing_there)
    [fate] = fill(service, {prefix: mine}).values()
    assert isinstance(fate, ServiceError)
    assert fate.slug == "session-exists"
    assert api.get(f"/v1/sessions/{prefix}").json()["step"] == 8


def test_batches_are_cut_where_long_series_would_need_too_much(
    service: Service, api: httpx2.Client, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(histories, "CELLS", 100)
    series = {f"{prefix}{length}": dated(wave(length)) for length in (30, 120, 60, 45)}
    assert set(fill(service, series).values()) == {Fate.CREATED}
    assert [api.get(f"/v1/sessions/{name}").json()["step"] for name in series] == [30, 120, 60, 45]


def test_sessions_are_listed(service: Service, api: httpx2.Client, prefix: str) -> None:
    fill(service, {f"{prefix}{n}": dated(wave(3)) for n in range(3)})
    page = api.get("/v1/sessions", params={"prefix": prefix}).json()
    assert [one["session"] for one in page["sessions"]] == [f"{prefix}{n}" for n in range(3)]


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that series of unequal length share batches and several batches are made."""
    monkeypatch.setattr(backfill, "TOGETHER", 4)
