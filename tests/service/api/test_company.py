"""Sessions in company: nobody gets another's answer, nobody waits for another's history."""

import asyncio
import json
import random

import httpx2

from tests.service.conftest import Service
from tests.service.days import observation, series


async def test_clients_that_leave_cost_no_other_its_answer(service: Service, name: str) -> None:
    """Some cut the connection at any moment; every answer that arrives must be the asker's own."""
    chance = random.Random(7)
    port = int(service.url.rpartition(":")[2])

    async def write(client: int) -> int:
        session, answered, step = f"{name}.{client}", 0, 0
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(40):
            body = json.dumps({"value": float(client), "step": step + 1}).encode()
            head = f"POST /v1/sessions/{session}/observations?create=true HTTP/1.1\r\nHost: x\r\n"
            writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            if chance.random() < 0.3:
                await asyncio.sleep(chance.random() * 0.01)
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                continue
            status = (await reader.readline()).split()[1]
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            answer = json.loads(await reader.readexactly(length))
            assert status in (b"200", b"201"), answer
            assert answer["session"] == session
            assert answer["observed"]["value"] == client
            step, answered = answer["step"], answered + 1
        writer.close()
        return answered

    answered = await asyncio.gather(*(write(client) for client in range(30)))
    assert min(answered) > 5


async def test_single_observations_are_answered_while_a_long_history_is_folded(service: Service, name: str) -> None:
    async with httpx2.AsyncClient(base_url=service.url, timeout=60) as client:
        await client.put(f"/v1/sessions/{name}", json={})
        history = {"observations": [{"value": float(number % 9)} for number in range(20_000)]}
        long = asyncio.create_task(client.put(f"/v1/sessions/{name}.long", json=history))
        answered = 0
        while not long.done():
            answer = await client.post(f"/v1/sessions/{name}/observations", json={"value": 1.0})
            assert answer.status_code == 200
            answered += 1
        assert (await long).json()["step"] == 20_000
        assert answered > 20


async def test_histories_folded_together_have_the_bits_of_each_alone(service: Service, name: str) -> None:
    async with httpx2.AsyncClient(base_url=service.url, timeout=60) as client:

        async def create(number: int, suffix: str) -> list[object]:
            observations = series(1, 20 + 7 * number)
            path = f"/v1/sessions/{name}.{number}{suffix}"
            assert (await client.put(path, json={"freq": "D", "observations": observations})).status_code == 201
            fan: list[object] = (await client.get(f"{path}/forecast?horizon=14")).json()["forecasts"]
            return fan

        together = await asyncio.gather(*(create(number, ".together") for number in range(20)))
        alone = [await create(number, ".alone") for number in range(20)]
        assert list(together) == alone


async def test_sessions_in_one_wave_are_answered_each_by_its_own_rules(service: Service, name: str) -> None:
    async with httpx2.AsyncClient(base_url=service.url, timeout=60) as client:
        for number in range(5):
            body = {"freq": "D", "model": f"tiny@{1 + number % 2}", "observations": series(1, 10)}
            await client.put(f"/v1/sessions/{name}.{number}", json=body)
        sent = [observation(11), observation(10), observation(13), observation(3, value=0), {"value": 1}]
        answers = await asyncio.gather(
            *(client.post(f"/v1/sessions/{name}.{number}/observations", json=body) for number, body in enumerate(sent)),
            client.post(f"/v1/sessions/{name}.none/observations", json=observation(1)),
        )
        assert [answer.status_code for answer in answers] == [200, 200, 200, 409, 422, 404]
        assert [answer.json().get("imputed") for answer in answers] == [0, 0, 2, None, None, None]


async def test_a_reset_waits_in_its_session_s_line_however_busy_that_is(service: Service, name: str) -> None:
    path = f"/v1/sessions/{name}"
    async with httpx2.AsyncClient(base_url=service.url, timeout=60) as client:
        await client.put(path, json={})

        async def write(writer: int) -> list[int]:
            observed = [await client.post(f"{path}/observations", json={"value": float(writer)}) for _ in range(20)]
            return [answer.status_code for answer in observed]

        async def reset() -> list[int]:
            return [(await client.post(f"{path}:reset")).status_code for _ in range(10)]

        statuses = await asyncio.gather(reset(), *(write(writer) for writer in range(16)))
    assert {status for answered in statuses for status in answered} == {200}
