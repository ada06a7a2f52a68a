"""Modules as the serving runtime runs them, without an artifact around them."""

from dataclasses import asdict
from pathlib import Path

from models.artifacts.export import export
from models.artifacts.runtime import Model, ModelSpec
from models.mixture import Mixture


def compiled(module: Mixture, folder: Path) -> Model:
    """The serving runtime on a module's graphs, nothing checked."""
    folder.mkdir(exist_ok=True)
    layout = export(module, folder)
    config = module.config
    spec = ModelSpec(
        name="random",
        version=1,
        fingerprint=bytes(32),
        freqs=("D",),
        season=config.season,
        horizon=config.horizon,
        quantiles=config.quantiles,
        levels=(50, 80, 90, 95),
        warm_up=28,
        covariates=config.covariates.by_kind,
        layout=layout,
        architecture=asdict(config),
        metrics={},
        provenance={},
    )
    return Model(spec, folder)
