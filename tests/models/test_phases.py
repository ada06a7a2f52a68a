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

from models.data import DataError, read
from models.mixture import Mixture, MixtureConfig
from models.synthetic.seasons import Rhythm
from models.training import checkpoints
from models.training.bptt import TrainOptions, train
from models.training.learner import Learner
from models.training.phases import LAST_RATE, WARM_UP, phases
from models.training.publishing import card
from models.training.recipe import Ending, Recipe, Schedule, Source, load
from models.training.windows import Sampler, pool_of
from tests.models.collection import write_collection
from tests.models.interruption import StopAt

CONFIG = MixtureConfig(hidden=8)
WITHOUT = Schedule(unroll=42, chunks=2, batch=8)
WITH = replace(WITHOUT, ending=Ending(share=0.75, rate=0.5, synthetic=0.0, walks=0.0))


@pytest.fixture
def options(tmp_path: Path) -> TrainOptions:
    """144 updates, the last 108 of them the ending, of which the last 58 are averaged."""
    file = write_collection(tmp_path / "weekly.csv")
    recipe = Recipe("weekly", ("D",), CONFIG, WITH, (Source(file.name),))
    return TrainOptions(recipe, tmp_path, tmp_path / "run", updates=144, synthetic_series=50, validate_every=12)


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return all(np.array_equal(value, other[name]) for name, value in one.items())


def test_the_main_part_is_the_training_that_has_no_ending(options: TrainOptions, tmp_path: Path) -> None:
    alone = replace(options, recipe=replace(options.recipe, schedule=WITHOUT), updates=36, run=tmp_path / "alone")
    train(alone)
    with pytest.raises(KeyboardInterrupt):
        train(options, StopAt(0.25))
    assert json.loads((options.run / checkpoints.FACTS).read_text())["progress"]["update"] == 36
    main, whole = (load_file(run / checkpoints.TENSORS) for run in (alone.run, options.run))
    assert same(main, whole)


@pytest.mark.parametrize("share", [0.26, 0.9])
def test_an_interrupted_ending_goes_on_to_the_weights_of_an_uninterrupted_one(
    options: TrainOptions, tmp_path: Path, share: float
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(options, StopAt(share))
    resumed = train(options)
    assert resumed.updates == 144
    assert same(train(replace(options, run=tmp_path / "again")).module.state_dict(), resumed.module.state_dict())


def test_what_is_learned_is_the_mean_of_the_weights_after_the_warm_up_of_the_ending(options: TrainOptions) -> None:
    trained = train(options)
    tensors = load_file(options.run / checkpoints.TENSORS)
    assert int(tensors["average/n_averaged"]) == 108 - WARM_UP
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
        (abs(sampler.under(phase.schedule, [1.0]).draw(rng, 400).values) >= 1e9).any(axis=1).mean()
        for phase in phases(plan)
    ]
    assert shares == [pytest.approx(plan.synthetic, abs=0.1), 0.0]


def test_a_weight_in_the_ending_changes_the_ending_alone(options: TrainOptions, tmp_path: Path) -> None:
    write_collection(options.data / "other.csv", seed=4)
    curves = []
    for heavier in (None, 9.0):
        sources = (Source("weekly.csv"), Source("other.csv", ending_weight=heavier))
        recipe = replace(options.recipe, sources=sources)
        run = tmp_path / f"run-{heavier}"
        curves.append(train(replace(options, recipe=recipe, run=run, updates=16, validate_every=1)).curve)
    one, other = ([point.relative_error for point in curve] for curve in curves)
    assert one[1] == other[1]
    assert one[-1] != other[-1]


def test_the_rate_of_the_main_part_falls_and_that_of_the_ending_stays() -> None:
    main, ending = phases(replace(WITH, ending=Ending(0.2, rate=0.5, synthetic=0.2, walks=0.0)))
    for phase in (main, ending):
        assert phase.rate(0, 0.0) == pytest.approx(phase.schedule.learning_rate / WARM_UP)
    assert main.rate(WARM_UP, 0.5) == pytest.approx(2e-3 * (1.0 + LAST_RATE) / 2.0)
    assert main.rate(10_000, 1.0) == pytest.approx(2e-3 * LAST_RATE)
    assert ending.rate(WARM_UP, 0.5) == ending.rate(10_000, 1.0) == 1e-3
    assert [main.done(update, 10_000) for update in (0, 4_000, 8_000)] == [0.0, 0.5, 1.0]
    assert [ending.done(update, 10_000) for update in (8_000, 9_000, 10_000)] == [0.0, 0.5, 1.0]


def test_of_a_short_ending_the_second_half_is_averaged(options: TrainOptions) -> None:
    train(replace(options, updates=16))
    assert int(load_file(options.run / checkpoints.TENSORS)["average/n_averaged"]) == 6


@pytest.mark.parametrize("share", [0.0, 1.0, 20.0])
def test_a_share_that_no_ending_can_have_is_refused(tmp_path: Path, share: float) -> None:
    file = tmp_path / "odd.toml"
    file.write_text(f'freqs = ["D"]\n[training.ending]\nshare = {share}\nrate = 0.5\nsynthetic = 0.0\nwalks = 0.0\n')
    with pytest.raises(DataError, match="between 0 and 1"):
        load(file)


def test_the_card_tells_of_the_ending(options: TrainOptions) -> None:
    text = card(train(replace(options, updates=10)), "weekly", 1, None)
    assert "0 % in the last 75 % of the training" in text
    assert "a constant learning rate of 0.001 (before, it falls from 0.002)" in text


def test_a_training_that_patience_ends_has_no_ending(options: TrainOptions) -> None:
    trained = train(replace(options, updates=16, patience=3))
    assert trained.recipe.schedule == WITHOUT
    assert int(load_file(options.run / checkpoints.TENSORS)["average/n_averaged"]) == 0
