"""Streamed batches beside what can go wrong: kills, stops, and clients that do not read."""

import itertools
import os
import signal
import threading
from pathlib import Path

import httpx2

from tests.faults.batches import Json, Stream, memory_over, rows_of, sending
from tests.service.processes import ServiceProcess, process

SESSIONS, DAYS = 40, 60


def steps(service: ServiceProcess, prefix: str = "s") -> dict[str, Json]:
    """Each session as the service shows it."""
    with httpx2.Client(base_url=service.url, timeout=60.0) as api:
        names = [f"{prefix}-{number}" for number in range(SESSIONS)]
        return {name: api.get(f"/v1/sessions/{name}").json() for name in names}


def test_answers_come_while_rows_are_still_to_be_sent(models_dir: Path, tmp_path: Path) -> None:
    with process(models_dir, tmp_path) as service, Stream(service.port) as stream:
        answered = stream.outcomes()
        for number, row in enumerate(rows_of(1, 5)):
            stream.send([row])
            assert (next(answered)["row"], row["ds"][-1]) == (number, str(number + 1))
        stream.finish()
        assert list(answered) == []


def test_a_batch_sent_again_after_a_kill_applies_each_row_once(models_dir: Path, tmp_path: Path) -> None:
    with process(models_dir, tmp_path) as service:
        for killed_after in (500, 1500):
            with Stream(service.port) as stream:
                sending(stream, rows_of(SESSIONS, DAYS))
                seen = list(itertools.islice(stream.outcomes(), killed_after))
                service.kill()
            assert {outcome["status"] for outcome in seen} <= {200, 201}
            service.start()
        with Stream(service.port) as stream:
            sending(stream, rows_of(SESSIONS, DAYS))
            last = list(stream.outcomes())
        assert len(last) == SESSIONS * DAYS
        assert {outcome["status"] for outcome in last} <= {200, 201}
        assert last[0]["replayed"]
        killed = steps(service)
        with Stream(service.port) as stream:
            sending(stream, rows_of(SESSIONS, DAYS, "whole"))
            list(stream.outcomes())
        whole = steps(service, "whole")
        for number in range(SESSIONS):
            one, other = killed[f"s-{number}"], whole[f"whole-{number}"]
            assert (one["step"], one["scores"]) == (DAYS, other["scores"])


def test_a_stop_tells_the_rows_that_were_not_taken_up_and_loses_none(models_dir: Path, tmp_path: Path) -> None:
    with process(models_dir, tmp_path) as service:
        with Stream(service.port) as stream:
            rows = (row | {"ds": None} for row in rows_of(SESSIONS, 10**6))
            sending(stream, rows)
            answered = stream.outcomes()
            seen = list(itertools.islice(answered, 300))
            service.process.send_signal(signal.SIGTERM)
            seen += list(answered)
        assert service.process.wait(60) == 0
        taken = [outcome for outcome in seen if outcome["status"] in (200, 201)]
        refused = seen[len(taken) :]
        assert {(outcome["status"], outcome["problem"]) for outcome in refused} == {(503, "not-ready")}
        assert seen[-1]["row"] is None
        last = {outcome["unique_id"]: outcome["step"] for outcome in taken}
        service.start()
        assert {name: shown["step"] for name, shown in steps(service).items()} == last


def test_memory_is_flat_however_many_rows_come(models_dir: Path, tmp_path: Path) -> None:
    with process(models_dir, tmp_path) as service:
        found = memory_over(service.port, service.process.pid, 60_000, 2_000)
        assert max(found[5:]) < 1.15 * found[4], found


def test_a_client_that_does_not_read_is_not_read_from(models_dir: Path, tmp_path: Path) -> None:
    with process(models_dir, tmp_path) as service, Stream(service.port) as stream:
        sent = 0
        blocked = threading.Event()

        def rows() -> "itertools.chain[Json]":
            return itertools.chain.from_iterable(itertools.repeat([{"unique_id": "nobody " + 60 * "x", "y": 1.0}]))

        stream.socket.settimeout(5.0)
        try:
            for part in iter(lambda: list(itertools.islice(rows(), 1000)), None):
                stream.send(part)
                sent += len(part)
                assert sent < 2_000_000, "it goes on reading"
        except TimeoutError:
            blocked.set()
        assert blocked.is_set()
        stream.socket.settimeout(None)
        assert next(stream.outcomes())["status"] == 422
        assert os.path.exists(f"/proc/{service.process.pid}")
