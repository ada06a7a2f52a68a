"""A service with a model that was trained, in seconds, on series in which covariates matter."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.artifacts.artifact import Description, publish
from models.covariates import Covariates
from models.mixture import MixtureConfig
from models.training import publishing
from models.training.bptt import TrainOptions, train
from models.training.covariates import measured
from models.training.recipe import Recipe, Schedule, Source
from service.sessions.registry import Registry
from service.storage.embedded import EmbeddedStore
from tests.golden.publish_models import random_module
from tests.service.conftest import Service, serving
from tests.service.covariates.shops import write_shops
from tests.shared import made_once


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """The models shop@1 (past `rain`, `promo` known in advance, static `area_km2`) and visits@1 (`rain`, `holiday`)."""
    return Registry.load([made_once(tmp_path_factory, "shop", _make_models) / "models"], "shop")


def _make_models(folder: Path) -> None:
    file = write_shops(folder / "shop.csv")
    taken = measured(file, freq="D", test_steps=0, past=["rain"], known=["promo"], static=["area_km2"])
    schedule = Schedule(
        unroll=40, chunks=1, batch=32, synthetic=0.1, walks=0.02, learning_rate=5e-3, augmented=0.0, flipped=0.0
    )
    model = MixtureConfig(hidden=16, horizon=5, far=True, anchors=(1, 3), covariates=taken)
    recipe = Recipe("shop", ("D",), model, schedule, (Source(file.name),))
    trained = train(TrainOptions(recipe, folder, folder / "run", updates=120, synthetic_series=50, validate_every=120))
    publishing.publish(trained, None, name="shop", version=1, root=folder / "models")
    _publish_visits(folder / "models")


def _publish_visits(root: Path) -> None:
    """A model that shares one covariate with shop@1 and knows another in advance; nobody trained it."""
    taken = Covariates(("rain",), ("holiday",), (), (2.0, 0.1), (1.0, 0.3))
    config = MixtureConfig(hidden=8, horizon=5, far=True, anchors=(1, 3), covariates=taken)
    publish(random_module(config, seed=3), Description("visits", 1, ["D"], 28, "# visits\n"), root)


@pytest.fixture(scope="session")
def service(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with EmbeddedStore(tmp_path_factory.mktemp("store")) as store, serving(registry, store.url) as running:
        yield running


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(12)
