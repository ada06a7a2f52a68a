"""The stateful service that most people would write: read the state from Redis, one step of `nn.LSTM`, write it back.

No batching, no check that nobody else wrote meanwhile, no replay of repeated requests. What it takes from the
environment: STORE_URL.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date

import torch
from fastapi import FastAPI
from pydantic import BaseModel
from redis.asyncio import BlockingConnectionPool, Redis

from bench.network import HIDDEN, LAYERS, Forecast, State, forecast, network

CONNECTIONS = 512
pool: BlockingConnectionPool = BlockingConnectionPool.from_url(os.environ["STORE_URL"], max_connections=CONNECTIONS)
store = Redis(connection_pool=pool)
model = network()


class Observation(BaseModel):
    value: float
    timestamp: date | None = None


class Answer(BaseModel):
    session: str
    observed: Observation
    forecast: Forecast


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    await pool.disconnect()


app = FastAPI(lifespan=lifespan)


@app.get("/ready")
async def ready() -> bool:
    return bool(await store.ping())


@app.post("/v1/sessions/{session}/observations")
async def observe(session: str, observation: Observation) -> Answer:
    stored = await store.get(f"naive:{session}")
    state = unpacked(stored) if isinstance(stored, bytes) else None
    with torch.inference_mode():
        quantiles, state = model(torch.tensor([observation.value]), state)
    await store.set(f"naive:{session}", torch.stack(state).numpy().tobytes())
    return Answer(session=session, observed=observation, forecast=forecast(quantiles))


def unpacked(stored: bytes) -> State:
    hidden, cell = torch.frombuffer(bytearray(stored), dtype=torch.float32).view(2, LAYERS, HIDDEN)
    return hidden, cell
