"""Observations that race a correction, and writers that a reset left behind.

    python -m tests.faults.races --rounds 1000 --seed 1

In each round a value of a session is corrected while observations follow, through two worker processes. In the end the
stored state must be, bit by bit, an offline fold of the series with all corrections and all observations in it. Then
each session is reset, and what a writer that had read it before sends is refused, by the service and by the store.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import orjson
import uvloop

from service.storage.layout import position
from service.storage.store import Change, Kind, Outcome, SessionStore
from tests.faults.load import serving_model
from tests.faults.processes import service
from tests.faults.series import Series, Told, folded, made_up
from tests.faults.wire import Connection, request

WARM_UP = 40
FOLLOWING = 4
"""Observations that race the correction."""
AT_ONCE = 16
"""Rounds that run at the same time."""


@dataclass(slots=True)
class Findings:
    """How many rounds ended well: the corrected series in the state, the stale request and the stale change refused.

    Attributes:
        contended: rounds in which a request was told that the session changed meanwhile.
    """

    corrected: int = 0
    stale_requests: int = 0
    stale_changes: int = 0
    contended: int = 0
    wrong: list[str] = field(default_factory=list)


async def run(seed: int, *, rounds: int) -> Findings:
    """Run all rounds against a service of two workers with a store of its own."""
    findings, chance = Findings(), random.Random(seed)
    series = [
        replaced(one) for one in made_up(np.random.default_rng(seed), rounds, WARM_UP + FOLLOWING, prefix="race")
    ]
    with tempfile.TemporaryDirectory(prefix="hs-races-") as folder, service(Path(folder), workers="2") as running:
        await running.until_ready()
        waiting = list(series)

        async def worker() -> None:
            while waiting:
                await _race(running.port, waiting.pop(), chance, findings)

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
        loaded = serving_model()
        states, _ = await asyncio.to_thread(folded, loaded.model, series)
        async with SessionStore.open(running.store_url, timeout_s=30.0) as store:
            for one, state in zip(series, states, strict=True):
                [row] = (await store.read([one.session], loaded.layout.live_bytes)).rows
                if row[-loaded.spec.state_bytes :].tobytes() == state.tobytes():
                    findings.corrected += 1
                else:
                    findings.wrong.append(f"{one.session}: the stored state is not that of the corrected series")
                await _outlive_a_reset(running.port, store, one, findings)
    return findings


def replaced(one: Series) -> Series:
    """The same series, told by its timestamps."""
    return Series(one.session, Told.TIMESTAMP, one.values)


async def _race(port: int, one: Series, chance: random.Random, findings: Findings) -> None:
    """Correct one value while others follow; `one.values` is then what the session should have folded."""
    history = [one.observation(index) for index in range(WARM_UP)]
    async with Connection(port) as connection:
        created = request("PUT", f"/v1/sessions/{one.session}", orjson.dumps({"freq": "D", "observations": history}))
        status, body = await connection.send(created)
        assert status == 201, body
    index = chance.randrange(WARM_UP - 8, WARM_UP)
    one.values[index] = chance.uniform(0.0, 1000.0)
    body = orjson.dumps({"value": float(one.values[index])})
    correction = request("PATCH", f"{one.path}/{one.timestamp(index)}", body)
    following = [
        request("POST", one.path, orjson.dumps(one.observation(number)))
        for number in range(WARM_UP, WARM_UP + FOLLOWING)
    ]
    contended = await asyncio.gather(
        _send(port, [correction], chance.uniform(0.0, 0.01)), _send(port, following, chance.uniform(0.0, 0.01))
    )
    findings.contended += any(contended)


async def _send(port: int, requests: list[bytes], delay_s: float) -> bool:
    """Send requests one after another until each is done; whether one was refused on the way."""
    refused = False
    await asyncio.sleep(delay_s)
    async with Connection(port) as connection:
        for sent in requests:
            while (answer := await connection.send(sent))[0] != 200:
                assert orjson.loads(answer[1])["retryable"], answer[1]
                refused = True
    return refused


async def _outlive_a_reset(port: int, store: SessionStore, one: Series, findings: Findings) -> None:
    blob = await store.read_one(one.session)
    assert blob is not None
    async with Connection(port) as connection:
        _, session = await connection.send(request("GET", f"/v1/sessions/{one.session}"))
        etag = orjson.loads(session)["etag"]
        status, body = await connection.send(request("POST", f"/v1/sessions/{one.session}:reset"))
        assert status == 200, body
        stale = request("POST", one.path, orjson.dumps(one.observation(WARM_UP)), if_match=f'"{etag}"')
        status, body = await connection.send(stale)
        findings.stale_requests += (status, orjson.loads(body).get("type")) == (412, "/problems/precondition-failed")
    change = Change(
        session=one.session,
        token=b"stale".ljust(16),
        digest=bytes(8),
        expected=position(blob),
        kind=Kind.REPLACE,
        writes=((0, blob),),
        ttl_ms=0,
    )
    at_reset = await store.read_one(one.session)
    outcomes = await store.commit([change]) + await store.commit([replace(change, kind=Kind.WRITE)])
    if outcomes == [Outcome.CONFLICT] * 2 and await store.read_one(one.session) == at_reset:
        findings.stale_changes += 1
    else:
        findings.wrong.append(f"{one.session}: a change from before the reset was taken: {outcomes}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(given.seed, rounds=given.rounds))
    print("\n".join([*found.wrong[:10], f"seed {given.seed}: of {given.rounds} rounds {found}"]))
    sys.exit((found.corrected, found.stale_requests, found.stale_changes) != (given.rounds,) * 3)


if __name__ == "__main__":
    main()
