"""A published model whose weights are trained further, on other series."""

from dataclasses import dataclass, fields
from pathlib import Path

import torch

from models.artifacts.artifact import load_module, read_config
from models.mixture import Mixture, MixtureConfig
from models.training.recipe import Schedule

EMBEDDING, BESIDE = "recurrence.embed.weight", "head.from_beside.weight"
"""Weights of the columns of covariates, those of the embedding after all others."""


@dataclass(frozen=True, slots=True)
class Start:
    """An artifact to begin from.

    Attributes:
        schedule: the one that it was trained by.
    """

    folder: Path
    label: str
    fingerprint: str
    freqs: tuple[str, ...]
    model: MixtureConfig
    schedule: Schedule

    @classmethod
    def of(cls, folder: Path) -> "Start":
        """Raises ArtifactError: the folder holds no model."""
        config = read_config(folder)
        known = {field.name for field in fields(Schedule)}
        schedule = config["provenance"].get("schedule", {})
        return cls(
            folder,
            label=f"{config['name']}@{config['version']}",
            fingerprint=config["fingerprint"],
            freqs=tuple(config["freqs"]),
            model=MixtureConfig.of(config["architecture"]),
            schedule=Schedule.of({name: value for name, value in schedule.items() if name in known}),
        )

    def give_weights(self, module: Mixture) -> None:
        """Let a module of the same architecture begin with the model's weights.

        It may take covariates that the model does not: they have no effect yet.
        """
        given, own = load_module(self.folder).state_dict(), module.state_dict()
        if set(own) - set(given):
            for name in (EMBEDDING, BESIDE):
                weights = torch.zeros_like(own[name])
                if name in given:
                    weights[:, : given[name].shape[1]] = given[name]
                given[name] = weights
        module.load_state_dict(given)
