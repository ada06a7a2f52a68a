"""Sessions that many write to without a pause: what concerns them as a whole has its turn among the observations."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from tests.service.conftest import Service

WRITERS, DELETIONS, RESETS = 16, 50, 10


@asynccontextmanager
async def busy(service: Service, session: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a service whose session is written to all the time."""
    written, over = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        while not over.is_set():
            answer = await client.post(f"/v1/sessions/{session}/observations?create=true", json={"value": 1.0})
            assert answer.status_code in (200, 201), answer.text
            written.set()

    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=service.url, timeout=60.0, limits=limits) as client:
        writers = [asyncio.create_task(write()) for _ in range(WRITERS)]
        await written.wait()
        yield client
        over.set()
        await asyncio.gather(*writers)


async def test_each_deletion_of_a_session_that_is_written_to_without_a_pause_is_done(
    service: Service, name: str
) -> None:
    async with busy(service, name) as client:
        for _ in range(DELETIONS):
            answer = await client.delete(f"/v1/sessions/{name}")
            assert answer.status_code == 204, answer.text


async def test_each_reset_of_a_session_that_is_written_to_without_a_pause_is_done(service: Service, name: str) -> None:
    async with busy(service, name) as client:
        await client.put(f"/v1/sessions/{name}", json={})
        for _ in range(RESETS):
            answer = await client.post(f"/v1/sessions/{name}:reset")
            assert answer.status_code == 200, answer.text
