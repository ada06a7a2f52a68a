"""The ending of a training: what it leaves of the main part, what its mean is of, and that it can be interrupted."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.data import read
from models.mixture import Mixture, MixtureConfig
from models.synthetic.seasons import Rhythm
from models.training import checkpoints
from models.training.bptt import Report, TrainOptions, train
from models.training.learner import Learner
from models.training.phases import LAST_RATE, WARM_UP, phases
from models.training.recipe import Ending, Recipe, Schedule, Source, of_file
from models.training.windows import Sampler, pool_of
from tests.models.collection import write_collection

CONFIG = MixtureConfig(hidden=8)
WITHOUT = Schedule(unroll=42, chunks=2, batch=8)
WITH = replace(WITHOUT, ending=Ending(share=0.75, learning_rate=1e-3, synthetic=0.0, walks=0.0))


@pytest.fixture
def options(tmp_path: Path) -> TrainOptions:
    """96 updates, the last 72 of them the ending, of which the last 22 are averaged."""
    file = write_collection(tmp_path / "weekly.csv")
    recipe = Recipe("weekly", ("D",), CONFIG, WITH, (Source(file.name),))
    return TrainOptions(recipe, tmp_path, tmp_path / "run", updates=96, synthetic_series=50, validate_every=12)


class StopAt(Report):
    """Stops a training when so much of it is done."""

    def __init__(self, share: float) -> None:
        self.share = share

    def updated(self, done: float, loss: float) -> None:
        if done > self.share:
            raise KeyboardInterrupt


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return all(np.array_equal(value, other[name]) for name, value in one.items())


def test_the_main_part_is_the_training_that_has_no_ending(options: TrainOptions, tmp_path: Path) -> None:
    alone = replace(options, recipe=replace(options.recipe, schedule=WITHOUT), updates=24, run=tmp_path / "alone")
    train(alone)
    with pytest.raises(KeyboardInterrupt):
        train(options, StopAt(0.25))
    assert json.loads((options.run / checkpoints.FACTS).read_text())["progress"]["update"] == 24
    main, whole = (load_file(run / checkpoints.TENSORS) for run in (alone.run, options.run))
    assert same(main, whole)


@pytest.mark.parametrize("share", [0.26, 0.9])
def test_an_interrupted_ending_goes_on_to_the_weights_of_an_uninterrupted_one(
    options: TrainOptions, tmp_path: Path, share: float
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(options, StopAt(share))
    resumed = train(options)
    assert resumed.updates == 96
    assert same(train(replace(options, run=tmp_path / "again")).module.state_dict(), resumed.module.state_dict())


def test_what_is_learned_is_the_mean_of_the_weights_after_the_warm_up_of_the_ending(options: TrainOptions) -> None:
    trained = train(options)
    tensors = load_file(options.run / checkpoints.TENSORS)
    assert int(tensors["average/n_averaged"]) == 72 - WARM_UP
    for name, mean in trained.module.state_dict().items():
        assert np.array_equal(mean, tensors[f"average/module.{name}"])
    assert not np.array_equal(tensors["average/module.head.out.weight"], tensors["weights/head.out.weight"])


def test_the_mean_weighs_every_update_alike() -> None:
    learner = Learner(Mixture(CONFIG))
    assert learner.learned is learner.module
    bias = learner.module.head.out.bias
    for value in (1.0, 2.0, 6.0):
        torch.nn.init.constant_(bias, value)
        learner.take_into_mean()
    np.testing.assert_allclose(learner.learned.head.out.bias.detach(), 3.0, rtol=1e-6)
    assert (bias == 6.0).all()


def test_an_ending_draws_windows_by_its_own_shares(options: TrainOptions) -> None:
    pool = pool_of(read(options.data / "weekly.csv", freq="D"))
    synthetic, rng = np.full((5, 200), 1e9, np.float32), np.random.default_rng(3)
    plan = replace(WITH, walks=0.0, gappy=0.0)
    sampler = Sampler([pool], [1.0], synthetic, plan, rhythm=Rhythm(), horizon=CONFIG.horizon)
    shares = [
        (abs(sampler.under(phase.schedule).draw(rng, 400).values) >= 1e9).any(axis=1).mean() for phase in phases(plan)
    ]
    assert shares == [pytest.approx(plan.synthetic, abs=0.1), 0.0]


def test_the_rate_of_the_main_part_falls_and_that_of_the_ending_stays() -> None:
    main, ending = phases(replace(WITH, ending=Ending(0.2, learning_rate=1e-3, synthetic=0.2, walks=0.0)))
    for phase in (main, ending):
        assert phase.rate(0, 0.0) == pytest.approx(phase.schedule.learning_rate / WARM_UP)
    assert main.rate(WARM_UP, 0.5) == pytest.approx(2e-3 * (1.0 + LAST_RATE) / 2.0)
    assert main.rate(10_000, 1.0) == pytest.approx(2e-3 * LAST_RATE)
    assert ending.rate(WARM_UP, 0.5) == ending.rate(10_000, 1.0) == 1e-3
    assert [main.done(update, 10_000) for update in (0, 4_000, 8_000)] == [0.0, 0.5, 1.0]
    assert [ending.done(update, 10_000) for update in (8_000, 9_000, 10_000)] == [0.0, 0.5, 1.0]


def test_a_training_on_the_users_own_series_has_no_ending(tmp_path: Path) -> None:
    file = write_collection(tmp_path / "weekly.csv")
    assert of_file(file, freq="D", model=CONFIG, schedule=WITH).schedule == WITHOUT
