"""The workload against a real service."""

import json
import urllib.request

from bench.creation import OBSERVATIONS
from bench.rounds import Results, interleaved
from bench.targets import running
from models.artifacts.artifact import SHIPPED

SESSIONS, CONNECTIONS, LOADS = 60, 8, 3


def test_loads_follow_each_other_without_a_refusal_and_miss_no_more_than_what_was_under_way() -> None:
    """What a connection has under way when a load ends may or may not be applied: the next load goes on behind it."""
    results, missing = Results(), 0
    with running(["embedded"], model=SHIPPED / "daily" / "1", sessions=SESSIONS, note=print) as targets:
        list(interleaved(targets, [CONNECTIONS], rounds=LOADS - 1, seconds=1, results=results))
        address = f"http://127.0.0.1:{targets['embedded'].program.port}/v1/sessions"
        assert results.errors == 0
        for session in range(SESSIONS):
            with urllib.request.urlopen(f"{address}/bench-{session}/observations") as answer:
                observations = json.load(answer)["observations"]
            steps = [one["step"] for one in observations]
            assert steps[-1] > OBSERVATIONS
            assert steps == list(range(steps[0], steps[-1] + 1))
            missing += sum(one["imputed"] for one in observations)
    assert missing <= CONNECTIONS * (LOADS - 1)
