from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models import law
from models.artifact import SHIPPED, find, load, load_module
from models.export import export
from models.law import LawBroken
from models.mixture import Mixture, MixtureConfig
from models.runtime import Model, ModelSpec
from tests.golden.publish_models import random_module
from tests.models.sessions import TOLERANCE, difference, served, unrolled, week_features

SMALL = MixtureConfig(hidden=8)
SIZES = {1: (8, 13, 24, 40, 64, 96, 128), 2: (8, 16, 31, 48, 64, 100, 128), 3: (8, 20, 32, 64, 72, 128)}
RANDOM = [MixtureConfig(hidden=hidden, layers=layers) for layers, sizes in SIZES.items() for hidden in sizes]


def label(config: MixtureConfig) -> str:
    return f"{config.layers}x{config.hidden}"


def test_the_package_ships_a_model() -> None:
    assert find([SHIPPED])


@pytest.mark.parametrize("folder", find([SHIPPED]), ids=lambda folder: f"{folder.parent.name}@{folder.name}")
def test_a_shipped_model_keeps_the_law(folder: Path) -> None:
    law.check(load(folder), seed=1)


@pytest.mark.parametrize("folder", find([SHIPPED]), ids=lambda folder: f"{folder.parent.name}@{folder.name}")
def test_a_shipped_model_serves_what_its_unrolled_module_forecasts(folder: Path) -> None:
    assert served_against_unrolled(load(folder), load_module(folder)) <= TOLERANCE


@pytest.mark.parametrize("config", RANDOM, ids=label)
def test_a_random_model_keeps_the_law_and_serves_what_its_unrolled_module_forecasts(
    config: MixtureConfig, tmp_path: Path
) -> None:
    module = random_module(config, seed=100 * config.layers + config.hidden)
    model = compiled(module, tmp_path)
    law.check(model)
    assert served_against_unrolled(model, module) <= TOLERANCE


def logarithm_of_the_runtime(ratio: Tensor) -> Tensor:
    """The same function as `models.experts.log_argument`, by an operator whose bits depend on the batch size."""
    exact = torch.exp(torch.log(ratio))
    return (exact - 1.0 / exact) / 2.0


def test_a_graph_with_an_operator_that_sees_the_batch_breaks_the_law(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.experts.log_argument", logarithm_of_the_runtime)
    model = compiled(random_module(SMALL, seed=1), tmp_path)
    with pytest.raises(LawBroken, match="sessions in a batch have other bits"):
        law.check(model)


def test_a_graph_whose_rows_see_each_other_breaks_the_law(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def leaking(x: Tensor) -> Tensor:
        return (x + torch.sqrt(x * x + 1.0)) / 2.0 + 1e-6 * x.mean(dim=0)

    monkeypatch.setattr("models.quantiles.smooth_ramp", leaking)
    with pytest.raises(LawBroken, match="sessions in a batch have other bits"):
        law.check(compiled(random_module(SMALL, seed=1), tmp_path))


def test_a_fan_that_is_not_what_the_step_issued_breaks_the_law(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    model, _ = compiled(random_module(SMALL, seed=1), one), compiled(random_module(SMALL, seed=2), other)
    (other / "forecast.onnx").replace(one / "forecast.onnx")
    with pytest.raises(LawBroken, match="first step is not the forecast that the step issued"):
        law.check(Model(model.spec, one))


def test_a_forecast_that_is_not_finite_breaks_the_law(tmp_path: Path) -> None:
    module = random_module(SMALL, seed=1)
    with torch.no_grad():
        module.head.out.bias[-1] = torch.inf
    with pytest.raises(LawBroken, match="not finite"):
        law.check(compiled(module, tmp_path))


def served_against_unrolled(model: Model, module: Mixture) -> float:
    values = law.difficult_series(np.random.default_rng(3), 12, 40)
    calendar = week_features(*values.shape)
    issued, sizes, states = served(model, values, calendar)
    expected, fan = unrolled(module, values, calendar)
    return max(difference(issued, expected, sizes), difference(model.forecast(states), fan, sizes[:, -1:]))


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
        covariates={},
        layout=layout,
        architecture={},
        metrics={},
        provenance={},
    )
    return Model(spec, folder)
