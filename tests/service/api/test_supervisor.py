"""The service as a process: stops that lose nothing, kills that leave nothing behind."""

import asyncio
import os
import signal
import time
from collections import Counter
from pathlib import Path

import httpx2
import pytest

from tests.deployments import wait_for
from tests.service.processes import ServiceProcess, children, is_alive, process, wait_until_gone

WRITERS = 32


class Writers:
    """Clients that write to sessions of their own, as fast as they are answered, until the service is gone."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.acknowledged: Counter[str] = Counter()
        self.lost: list[str] = []
        self._goal = 0
        self._reached = asyncio.Event()

    async def run(self) -> None:
        async with httpx2.AsyncClient(base_url=self.url, timeout=30) as client:
            await asyncio.gather(*(self._write(client, f"writer-{number}") for number in range(WRITERS)))

    async def busy(self) -> None:
        """Until many were acknowledged."""
        self._goal = self.acknowledged.total() + 10 * WRITERS
        await self._reached.wait()

    async def _write(self, client: httpx2.AsyncClient, session: str) -> None:
        while True:
            body = {"step": self.acknowledged[session] + 1, "value": self.acknowledged[session]}
            try:
                answer = await client.post(f"/v1/sessions/{session}/observations?create=true", json=body)
            except httpx2.ConnectError:
                return  # it takes no connections any more: nothing was sent
            except httpx2.TransportError as error:
                self.lost.append(repr(error))
                return
            if answer.status_code not in (200, 201):
                self.lost.append(answer.text)
                self._reached.set()
                return
            self.acknowledged[session] += 1
            if self.acknowledged.total() >= self._goal:
                self._reached.set()


async def test_a_stop_under_load_answers_every_request_and_exits_0(models_dir: Path, tmp_path: Path) -> None:
    with process(models_dir, tmp_path) as service:
        for _ in range(3):
            writers = Writers(service.url)
            writers.acknowledged.update(steps(service))
            running = asyncio.create_task(writers.run())
            await writers.busy()
            service.process.send_signal(signal.SIGTERM)
            await running
            assert await asyncio.to_thread(service.process.wait, 60) == 0
            assert writers.lost == []
            await asyncio.to_thread(service.start)
            assert steps(service) == writers.acknowledged


def steps(service: ServiceProcess) -> Counter[str]:
    found: Counter[str] = Counter()
    for number in range(WRITERS):
        answer = httpx2.get(f"{service.url}/v1/sessions/writer-{number}")
        if answer.status_code == 200:
            found[f"writer-{number}"] = answer.json()["step"]
    return found


async def test_a_killed_service_loses_nothing_acknowledged_and_leaves_nothing_behind(
    models_dir: Path, tmp_path: Path
) -> None:
    with process(models_dir, tmp_path) as service:
        writers = Writers(service.url)
        running = asyncio.create_task(writers.run())
        await writers.busy()
        store = service.store_pid()
        service.kill()
        await running
        await asyncio.to_thread(wait_until_gone, store)
        await asyncio.to_thread(service.start)
        found = steps(service)
        for session, count in writers.acknowledged.items():
            assert count <= found[session] <= count + 1


def test_a_killed_store_is_started_again(models_dir: Path, tmp_path: Path) -> None:
    with process(models_dir, tmp_path) as service, httpx2.Client(base_url=service.url, timeout=30) as client:
        url = "/v1/sessions/a/observations?create=true"
        assert client.post(url, json={"value": 1}).status_code == 201
        before = service.store_pid()
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: client.post(url, json={"value": 2, "step": 2}).status_code == 200, "the store", 20.0)
        assert client.get("/v1/sessions/a").json()["step"] == 2
        assert service.store_pid() != before
        assert service.stop() == 0
        wait_until_gone(service.store_pid())


def test_a_stopping_service_is_not_ready_at_once(models_dir: Path, tmp_path: Path) -> None:
    with process(models_dir, tmp_path) as service, httpx2.Client(base_url=service.url) as client:
        client.get("/health/ready")
        service.process.send_signal(signal.SIGTERM)
        answer = client.get("/health/ready")
        assert (answer.status_code, answer.json()["reasons"]) == (503, ["the service is stopping"])
        assert service.process.wait(60) == 0


async def test_several_workers_share_the_store_and_stop_together(models_dir: Path, tmp_path: Path) -> None:
    with process(models_dir, tmp_path, workers="2") as service:
        writers = Writers(service.url)
        running = asyncio.create_task(writers.run())
        await writers.busy()
        service.process.send_signal(signal.SIGTERM)
        await running
        assert await asyncio.to_thread(service.process.wait, 60) == 0
        assert writers.lost == []
        await asyncio.to_thread(service.start)
        assert steps(service) == writers.acknowledged


def test_workers_end_with_a_killed_parent(models_dir: Path, tmp_path: Path) -> None:
    with process(models_dir, tmp_path, workers="2") as service:
        family = children(service.process.pid)
        assert len(family) >= 3
        service.kill()
        for pid in family:
            wait_until_gone(pid)


@pytest.mark.parametrize("seconds", [0.0, 0.3, 0.6, 0.9, 1.2, 1.5])
def test_workers_end_with_a_parent_that_is_killed_while_they_start(
    models_dir: Path, tmp_path: Path, seconds: float
) -> None:
    service = ServiceProcess(models_dir, tmp_path / "data", workers="2")
    service.launch()
    wait_for(lambda: len(children(service.process.pid)) >= 3, "workers", 60.0)
    time.sleep(seconds)
    family = children(service.process.pid)
    service.kill()
    for pid in family:
        wait_until_gone(pid)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("seconds", [0.2, 0.5, 1.0, 1.5])
def test_a_stop_before_the_service_is_ready_ends_it_soon(
    models_dir: Path, tmp_path: Path, workers: str, seconds: float
) -> None:
    service = ServiceProcess(models_dir, tmp_path / "data", workers=workers)
    service.launch()
    try:
        wait_for(lambda: bool(children(service.process.pid)), "the store", 60.0)
        time.sleep(seconds)
        family = children(service.process.pid)
        service.stop()
        for pid in family:
            wait_until_gone(pid)
    finally:
        service.kill()


def test_the_process_that_unrolls_ends_with_a_killed_service(models_dir: Path, tmp_path: Path) -> None:
    with process(models_dir, tmp_path) as service:
        known = set(children(service.process.pid))
        body = {"observations": [{"value": number} for number in range(40)]}
        httpx2.put(f"{service.url}/v1/sessions/a", json=body)
        assert httpx2.post(f"{service.url}/v1/sessions/a:verify", timeout=60).json()["ok"]
        [unroller] = set(children(service.process.pid)) - known
        assert is_alive(unroller)
        service.kill()
        wait_until_gone(unroller)
