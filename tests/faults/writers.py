"""Many writers on one session: observations with distinct keys count once each, those with one key count once in all.

    python -m tests.faults.writers --seed 1 --workers 2
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import uvloop

from tests.faults.processes import service
from tests.faults.wire import Connection, request

WRITERS = 64
OBSERVATIONS = 10_000


@dataclass(slots=True)
class Findings:
    """Steps that the sessions ended at, and the refusals on the way, by status and type.

    Attributes:
        bare: refusals that do not say when to come back.
    """

    distinct: int = 0
    same: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    bare: int = 0


async def run(seed: int, *, workers: int, observations: int = OBSERVATIONS) -> Findings:
    """Post from all writers at once: first with a key for each observation, then with one for all."""
    findings, chance = Findings(), random.Random(seed)
    with (
        tempfile.TemporaryDirectory(prefix="hs-writers-") as folder,
        service(Path(folder), workers=str(workers)) as running,
    ):
        await running.until_ready()
        for session in ("distinct", "same"):
            async with Connection(running.port) as connection:
                await connection.send(request("PUT", f"/v1/sessions/{session}", b"{}"))
        distinct = [(f"key-{number}", chance.uniform(0, 100)) for number in range(observations)]
        same = [("key", 7.0)] * observations
        findings.distinct = await _post_all(running.port, "distinct", distinct, findings)
        findings.same = await _post_all(running.port, "same", same, findings)
    return findings


async def _post_all(port: int, session: str, waiting: list[tuple[str, float]], findings: Findings) -> int:
    """Post until all are acknowledged; returns the step that the session then stands at."""

    async def writer() -> None:
        async with Connection(port) as connection:
            while waiting:
                key, value = waiting.pop()
                body = orjson.dumps({"value": value})
                sent = request("POST", f"/v1/sessions/{session}/observations", body, idempotency_key=key)
                while (answer := await connection.exchange(sent))[0] != 200:
                    refused = orjson.loads(answer[2])
                    findings.refused[f"{refused['status']} {refused['type']}"] += 1
                    findings.bare += b"retry-after:" not in answer[1]
                    await asyncio.sleep(0.01)

    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    async with Connection(port) as connection:
        _, body = await connection.send(request("GET", f"/v1/sessions/{session}"))
    step: int = orjson.loads(body)["step"]
    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--observations", type=int, default=OBSERVATIONS)
    parser.add_argument("--seed", type=int, default=random.randrange(2**31))
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(run(given.seed, workers=given.workers, observations=given.observations))
    print(f"seed {given.seed}, {given.workers} workers, {given.observations} observations: {found}")
    others = [refusal for refusal in found.refused if not refusal.startswith("503 ")]
    sys.exit((found.distinct, found.same, found.bare, others) != (given.observations, 1, 0, []))


if __name__ == "__main__":
    main()
