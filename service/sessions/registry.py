"""The models a service has loaded: by `name@version`, by fingerprint, and which one a new session gets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.artifacts import artifact
from models.artifacts.runtime import Model, ModelSpec
from models.covariates import Encoding
from models.dates.frequencies import is_among
from service.storage.layout import HEAD_BYTES, QUANTILES, Bytes, Layout


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model that can be served, the folder it came from, and how its sessions' records are laid out."""

    model: Model
    folder: Path

    @property
    def spec(self) -> ModelSpec:
        return self.model.spec

    @cached_property
    def layout(self) -> Layout:
        numbers = self.encoding.numbers
        return Layout(state_bytes=self.spec.state_bytes, covariates=numbers, arrays=str(self.spec.layout.describe()))

    @property
    def encoding(self) -> Encoding:
        """Of the covariates that the model takes."""
        return self.model.encoding

    @property
    def takes_covariates(self) -> bool:
        """Whether it takes any with observations."""
        return self.encoding.numbers > 0

    def initial_state(self, static: Mapping[str, float | None]) -> Bytes:
        """(state_bytes,) of a session that has seen nothing, with these static covariates, of those that it takes."""
        state: Bytes = self.model.initial_state(1, self.encoding.of_session(static))[0]
        return state

    @cached_property
    def stored(self) -> NDArray[np.intp]:
        """Where the quantiles that records keep stand among the model's own."""
        return np.array([self.spec.quantiles.index(quantile) for quantile in QUANTILES])

    @cached_property
    def fingerprint(self) -> str:
        return f"sha256:{self.spec.fingerprint.hex()}"


class Registry:
    """The loaded models; never changes while the service runs.

    Args:
        default: name of the model for sessions whose freq no model was trained for.
    Raises:
        ArtifactError: two models have one `name@version`, one lacks a quantile that records keep, none is the default.
    """

    def __init__(self, models: Iterable[LoadedModel], default: str) -> None:
        self._models: dict[str, LoadedModel] = {}
        for loaded in sorted(models, key=lambda loaded: (loaded.spec.name, loaded.spec.version)):
            self._add(loaded)
        self._by_fingerprint = {loaded.spec.fingerprint: loaded for loaded in self._models.values()}
        self._newest = {loaded.spec.name: loaded for loaded in self._models.values()}
        if default not in self._newest:
            known = ", ".join(self._newest) or "none"
            raise artifact.ArtifactError(f"there is no model {default!r} to default to; loaded: {known}")
        self.default = self._newest[default]

    @classmethod
    def load(cls, roots: Sequence[Path], default: str) -> "Registry":
        """Load and check every artifact under the roots.

        Raises:
            ArtifactError: one of them cannot be served, and why.
        """
        return cls((LoadedModel(artifact.load(folder), folder) for folder in artifact.find(roots)), default)

    @property
    def models(self) -> Sequence[LoadedModel]:
        """By name, then version."""
        return tuple(self._models.values())

    @property
    def live_bytes(self) -> int:
        """Bytes to read of a session to have its head and state, whatever its model."""
        return max(HEAD_BYTES, *(loaded.layout.live_bytes for loaded in self._models.values()))

    @property
    def foreseen(self) -> int:
        """Most steps ahead that any model takes covariates of; 0 = none knows any in advance."""
        return max(loaded.encoding.horizon if loaded.encoding.known else 0 for loaded in self._models.values())

    def named(self, name: str) -> LoadedModel | None:
        """The model of this `name@version`, or the newest version of this name."""
        return self._models.get(name) or self._newest.get(name)

    def exactly(self, label: str) -> LoadedModel | None:
        """The model of this `name@version`."""
        return self._models.get(label)

    def of(self, fingerprint: bytes) -> LoadedModel | None:
        return self._by_fingerprint.get(fingerprint)

    def newest(self, loaded: LoadedModel) -> LoadedModel:
        """The newest version of the same model."""
        return self._newest[loaded.spec.name]

    def for_freq(self, freq: str | None) -> LoadedModel:
        """The model of a new session that names none."""
        if freq is None or is_trained(self.default, freq):
            return self.default
        return next((loaded for loaded in self._newest.values() if is_trained(loaded, freq)), self.default)

    def _add(self, loaded: LoadedModel) -> None:
        label = loaded.spec.label
        if label in self._models:
            raise artifact.ArtifactError(f"{label} is in both {self._models[label].folder} and {loaded.folder}")
        lacking = [quantile for quantile in QUANTILES if quantile not in loaded.spec.quantiles]
        if lacking:
            raise artifact.ArtifactError(f"{label} lacks the quantiles {lacking}, which every answer has")
        self._models[label] = loaded


def is_trained(loaded: LoadedModel, freq: str) -> bool:
    """Whether the model was trained for this frequency, whatever weekday it falls on."""
    return is_among(freq, loaded.spec.freqs)


def describe(loaded: LoadedModel, registry: Registry, sessions: int | None) -> Mapping[str, object]:
    """A Model as JSON values; `sessions` None = not counted yet."""
    spec = loaded.spec
    return {
        "model": spec.label,
        "name": spec.name,
        "version": spec.version,
        "fingerprint": loaded.fingerprint,
        "latest": registry.newest(loaded) is loaded,
        "freqs": list(spec.freqs),
        "horizon": spec.horizon,
        "levels": list(spec.levels),
        "covariates": {kind: list(names) for kind, names in spec.covariates.items()},
        "warm_up": spec.warm_up,
        "state_bytes": spec.state_bytes,
        "metrics": spec.metrics,
        "provenance": spec.provenance,
        "sessions": sessions,
    }
