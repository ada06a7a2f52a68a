"""The service without state: each request brings the whole history, and `nn.LSTM` runs over all of it."""

from __future__ import annotations

import torch
from fastapi import FastAPI
from pydantic import BaseModel

from bench.network import Forecast, forecast, network

model = network()
app = FastAPI()


class History(BaseModel):
    values: list[float]


@app.get("/ready")
async def ready() -> bool:
    return True


@app.post("/v1/forecast")
async def answer(history: History) -> Forecast:
    with torch.inference_mode():
        quantiles, _ = model(torch.tensor(history.values))
    return forecast(quantiles)
