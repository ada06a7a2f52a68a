"""Damaged records under the real service: each is a named problem or does not matter, and harms no other session.

    python -m tests.faults.damaged_records --count 100000 --seed 1

Stores damaged records among sound ones in a real store, and looks at, lists, counts, forecasts, advances, corrects and
deletes all of them through the parts that routes call. A damaged one may be refused by name; where it is answered, the
answer must be that of the sound record (its checksums were left alone) or continue from what it says of itself (they
were computed again). Nothing may fail, be logged as an error, begin anew, or change what a sound neighbour is answered.
"""

import argparse
import asyncio
import logging
import os
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import orjson

from service.app import roots
from service.core import Core, running
from service.sessions.registry import Registry
from service.sessions.views import Shown
from service.sessions.work import Correct, Delete, Observe
from service.settings import Settings
from service.storage.connection import Command
from service.storage.embedded import EmbeddedStore
from service.storage.store import SessionStore
from service.wire import render
from service.wire.parsing import Observation
from service.wire.problems import ServiceError
from service.wire.schemas import Correction, SessionSettings
from service.wire.session_problems import PreconditionRequired, RecordDamaged, SessionNotFound
from tests.faults.damage import Damaged, Sound, damaged

TOGETHER = 250
"""Damaged records in the store at a time, with a sound one of each kind among them."""
LIMIT_S = 60.0
STEPS = 40
COUNTED = 1
"""The kind whose steps are counted."""
DAMAGED = frozenset(("record-damaged", "model-unavailable", "model-mismatch", "not-retained"))
"""not-retained: a sound one without history is refused so, too."""
NAMED = DAMAGED | {
    *("result-not-finite", "session-empty", "observation-not-found", "observation-conflict"),
    *("out-of-order", "off-grid", "gap-too-long", "gap-rejected", "precondition-required", "invalid-request"),
}
"""What a record may be refused as that has right checksums, and says such things of itself."""
Use = Callable[[Core, str, int], Awaitable[bytes]]
"""Uses a session of a kind and returns the answer."""


@dataclass(slots=True)
class Findings:
    """What was seen; `wrong` is empty if all is well."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{count:9d}  {what}" for what, count in sorted(self.counts.items())]
        return "\n".join([*lines, *self.wrong[:20], f"{len(self.wrong)} wrong"])


class Errors(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self, findings: Findings) -> None:
        super().__init__(logging.ERROR)
        self._findings = findings

    def emit(self, record: logging.LogRecord) -> None:
        self._findings.wrong.append(f"logged: {record.getMessage()}")


async def run(count: int, seed: int, registry: Registry, store_url: str) -> Findings:
    """Damage that many records and use them."""
    findings, chance = Findings(), random.Random(seed)
    handler = Errors(findings)
    logging.getLogger().addHandler(handler)
    settings = Settings(default_model=registry.default.spec.name)
    clock = asyncio.get_running_loop().time
    connection = SessionStore.open(store_url, timeout_s=30.0)
    async with running(settings, connection, registry, clock=clock, randomness=os.urandom) as core:
        records = await sound_records(core)
        told: dict[tuple[str, int], bytes] = {}
        for first in range(0, count, TOGETHER):
            batch = [damaged(records, chance) for _ in range(min(TOGETHER, count - first))]
            await _Batch(core, records, batch, findings, told).run()
    logging.getLogger().removeHandler(handler)
    return findings


async def sound_records(core: Core) -> list[Sound]:
    """By timestamp with a correction, by step, without history, and one that will expire."""
    kinds = [
        SessionSettings(freq="D", history=16),
        SessionSettings.model_validate({"freq": None, "history": 8, "minimum": 0.0}),
        SessionSettings(freq="D", history=0),
        SessionSettings(freq="D", history=32, ttl_s=10_000_000),
    ]
    records = []
    for number, settings in enumerate(kinds):
        name = f"sound-{number}"
        await core.sessions.put(name, settings, [observation(step, number) for step in range(1, STEPS)])
        work = Observe(name, observations=[observation(STEPS, number)], listed=False)
        await core.waves.submit(name, work, timeout_s=LIMIT_S)
        if number == 0:
            await core.waves.submit(name, correction(name), timeout_s=LIMIT_S, alone=True)
        blob = await core.store.read_one(name)
        assert blob is not None
        assert isinstance(settings.history, int)
        records.append(Sound(blob, core.registry.default.layout, settings.history))
    return records


def observation(step: int, kind: int) -> Observation:
    value = 100.0 + step % 7
    if kind == COUNTED:
        return Observation(value, step=step)
    return Observation(value, timestamp=(date(2026, 1, 1) + timedelta(days=step - 1)).isoformat())


def correction(session: str) -> Correct:
    return Correct(session, key=str(STEPS - 2), correction=Correction(value=55.0))


class _Batch:
    """Damaged records and their sound neighbours, used side by side.

    Args:
        told: what sound records are answered, by use and kind; filled in by the first batch.
    """

    def __init__(
        self,
        core: Core,
        records: Sequence[Sound],
        damaged: Sequence[Damaged],
        findings: Findings,
        told: dict[tuple[str, int], bytes],
    ) -> None:
        self._core = core
        self._records = records
        self._damaged = {f"damaged{number}": one for number, one in enumerate(damaged)}
        self._mates = {f"mate{number}": number for number in range(len(records))}
        self._findings = findings
        self._told = told

    async def run(self) -> None:
        await self._store()
        kinds = self._mates | {name: one.of for name, one in self._damaged.items()}
        for use in USES:
            answers = await asyncio.gather(*(self._used(use, session, kind) for session, kind in kinds.items()))
            for session, answer in zip(kinds, answers, strict=True):
                if session in self._mates:
                    self._compare(use, self._mates[session], answer)
                elif answer is not None:
                    self._judge(use, self._damaged[session], answer)
        await self._core.census.counted()
        for session in kinds:
            await self._delete(session)
        if any(view is not None for view in await self._core.views.many(list(kinds))):
            self._findings.wrong.append("a damaged record outlived its deletion")

    async def _delete(self, session: str) -> None:
        try:
            await self._core.sessions.delete(Delete(session), lambda: False)
        except PreconditionRequired:  # that flag may be what was damaged
            await self._core.sessions.delete(Delete(session, if_match=("*",)), lambda: False)

    def _compare(self, use: str, kind: int, answer: bytes | ServiceError | None) -> None:
        told = _neutral(answer) if isinstance(answer, bytes) else type(answer).__name__.encode()
        if self._told.setdefault((use, kind), told) != told or isinstance(answer, RecordDamaged):
            self._findings.wrong.append(f"{use}: a sound neighbour was answered {answer!r}")

    async def _store(self) -> None:
        store = self._core.store
        blobs = {session: one.blob for session, one in self._damaged.items()}
        blobs |= {mate: self._records[kind].blob for mate, kind in self._mates.items()}
        commands = [Command(store.key(name), (b"SET", store.key(name), blob)) for name, blob in blobs.items()]
        await store.servers.run(commands, LIMIT_S)
        await self._core.index.note(dict.fromkeys(blobs, 1))

    async def _used(self, use: str, session: str, kind: int) -> bytes | ServiceError | None:
        try:
            return await USES[use](self._core, session, kind)
        except ServiceError as refused:
            return refused
        except Exception as error:
            one = self._damaged.get(session)
            self._findings.wrong.append(f"{use} of {one and (one.how, one.sealed)} failed: {error!r}")
            return None

    def _judge(self, use: str, one: Damaged, answer: bytes | ServiceError) -> None:
        slug = answer.slug if isinstance(answer, ServiceError) else "answered"
        kind = "sealed" if one.sealed else "plain"
        self._findings.counts[f"{kind:6s} {use:8s} {slug}"] += 1
        fault = None
        if isinstance(answer, ServiceError):
            if slug not in (NAMED if one.sealed else DAMAGED) and not (slug == "session-not-found" and _is_over(one)):
                fault = str(answer)
        elif not one.sealed and _neutral(answer) != self._told[use, one.of]:
            fault = "damage changed the answer"
        elif one.sealed and use == "advance" and not _continues(answer, one.blob):
            fault = "it began anew"
        if fault is not None:
            self._findings.wrong.append(f"{use} of {kind} {one.how}: {slug}: {fault}: {answer!r:.300}")


def _is_over(one: Damaged) -> bool:
    """Whether the record, with right checksums, says of itself that its time is over."""
    updated, expires, ttl = (int.from_bytes(one.blob[at : at + 8], "little") for at in (512, 520, 264))
    return 0 < expires == updated + ttl


def _neutral(answer: bytes) -> bytes:
    """Without the session's name and the time of an answer."""
    return re.sub(rb'"(damaged|mate)[0-9]+"|/(damaged|mate)[0-9]+|"(updated|expires)_at":"[^"]*"', b"", answer)


def _continues(answer: bytes, blob: bytes) -> bool:
    """Whether an Advance follows what the record says of itself: the same life, and a later step."""
    told = orjson.loads(answer)
    life, step = blob[112:120].hex(), int.from_bytes(blob[128:136], "little")
    return bool(told["etag"].partition("-")[0] == life and (told["step"] > step or told["replayed"]))


async def _looked(core: Core, session: str, kind: int) -> bytes:
    [view] = await core.views.many([session])
    return orjson.dumps(_present(view, session).body(core.registry))


async def _forecast(core: Core, session: str, kind: int) -> bytes:
    [view] = await core.views.many([session])
    return _present(view, session).forecast(3, [80, 95])


def _present(view: Shown | ServiceError | None, session: str) -> Shown:
    if view is None:
        raise SessionNotFound(session)
    if isinstance(view, ServiceError):
        raise view
    return view


async def _listed(core: Core, session: str, kind: int) -> bytes:
    whole, observed, _ = await core.records.page(session, size=100, after=None, descending=False)
    return orjson.dumps([render.record(whole.place.label, one) for one in observed])


async def _advanced(core: Core, session: str, kind: int) -> bytes:
    work = Observe(session, observations=[observation(STEPS + 1, kind)], listed=False, creation=SessionSettings())
    return (await core.waves.submit(session, work, timeout_s=LIMIT_S)).body


async def _corrected(core: Core, session: str, kind: int) -> bytes:
    return (await core.waves.submit(session, correction(session), timeout_s=LIMIT_S, alone=True)).body


USES: dict[str, Use] = {
    "look": _looked,
    "forecast": _forecast,
    "list": _listed,
    "advance": _advanced,
    "correct": _corrected,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Use damaged records.")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    registry = Registry.load(roots(Settings()), "daily")
    with tempfile.TemporaryDirectory(prefix="hs-damaged-") as folder, EmbeddedStore(Path(folder)) as store:
        findings = asyncio.run(run(given.count, given.seed, registry, store.url))
    print(f"{given.count} damaged records, seed {given.seed}\n{findings}")
    sys.exit(bool(findings.wrong))


if __name__ == "__main__":
    main()
