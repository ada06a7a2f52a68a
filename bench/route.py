"""A route of the framework with the shape of ours: a checked body, an answer of the same fields, and nothing done."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel

from service.wire.schemas import Advance, Forecast, Record

app = FastAPI()


class Observation(BaseModel):
    value: float | None
    timestamp: str | None = None


FORECAST = Forecast(
    step=813,
    timestamp="2026-11-22",
    value=109.01234567890123,
    quantiles={
        "0.025": 95.01234567890123,
        "0.1": 100.01234567890123,
        "0.5": 109.01234567890123,
        "0.9": 118.01234567890123,
        "0.975": 123.01234567890123,
    },
)


@app.get("/ready")
async def ready() -> bool:
    return True


@app.post("/v1/sessions/{session}/observations")
async def observe(session: str, observation: Observation) -> Advance:
    record = Record(
        step=812,
        timestamp=observation.timestamp,
        value=observation.value,
        covariates={},
        imputed=False,
        forecast=FORECAST,
        covered={"80": True, "95": True},
        original=None,
        revised=None,
    )
    return Advance(
        session=session,
        model="daily-2x64@1",
        step=812,
        etag="0123456789abcdef-812",
        warmed_up=True,
        applied=1,
        replayed=0,
        corrected=0,
        imputed=0,
        observed=record,
        forecast=FORECAST,
    )
