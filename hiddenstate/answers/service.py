"""The service as a whole, and its models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hiddenstate.answers.answer import Answer


@dataclass(frozen=True, slots=True, repr=False)
class Model(Answer):
    """A model that the service has, and what it takes."""

    model: str
    name: str
    version: int
    fingerprint: str
    latest: bool
    freqs: Sequence[str]
    horizon: int
    levels: Sequence[int]
    covariates: Mapping[str, Sequence[str]]
    warm_up: int
    state_bytes: int
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]
    sessions: int | None

    def __repr__(self) -> str:
        return f"<Model {self.model}: freqs {', '.join(self.freqs)}, horizon {self.horizon}>"


@dataclass(frozen=True, slots=True, repr=False)
class Models(Answer):
    """All of them."""

    models: list[Model]


@dataclass(frozen=True, slots=True, repr=False)
class Status(Answer):
    """The service as a whole; `reasons` says why it is not ready."""

    version: str
    ready: bool
    reasons: Sequence[str]
    store: Mapping[str, Any]
    sessions: Mapping[str, int | None]
    models: Sequence[str]
    queue: Mapping[str, int]
    limits: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<Status {self.version}: {'ready' if self.ready else '; '.join(self.reasons)}>"
