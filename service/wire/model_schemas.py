"""Models as they are answered, described for OpenAPI; sessions/registry.py tells them."""

from pydantic import BaseModel


class ModelCovariates(BaseModel):
    past: list[str]
    known: list[str]
    static: list[str]


class Model(BaseModel):
    """One version of a model; `model` is what sessions are pinned to."""

    model: str
    name: str
    version: int
    fingerprint: str
    latest: bool
    freqs: list[str]
    horizon: int
    levels: list[int]
    covariates: ModelCovariates
    warm_up: int
    state_bytes: int
    metrics: dict[str, object]
    provenance: dict[str, object]
    sessions: int | None
    """null until they are counted."""


class ModelList(BaseModel):
    models: list[Model]
