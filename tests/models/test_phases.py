"""The ending of a training: what it leaves of the main part, what it draws, and that it can be interrupted."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from torch import Tensor

from models.data import read
from models.mixture import MixtureConfig
from models.synthetic.seasons import Rhythm
from models.training import checkpoints
from models.training.bptt import Report, TrainOptions, train
from models.training.phases import LAST_RATE, WARM_UP, phases
from models.training.recipe import Recipe, Schedule, Source, of_file
from models.training.windows import Sampler, pool_of
from tests.models.collection import write_collection

CONFIG = MixtureConfig(hidden=8)
WITHOUT = Schedule(unroll=42, chunks=2, batch=8)
WITH = replace(WITHOUT, ending=0.5, ending_rate=1e-3)


@pytest.fixture
def options(tmp_path: Path) -> TrainOptions:
    """48 updates, the last 24 of them the ending."""
    file = write_collection(tmp_path / "weekly.csv")
    recipe = Recipe("weekly", ("D",), CONFIG, WITH, (Source(file.name),))
    return TrainOptions(recipe, tmp_path, tmp_path / "run", updates=48, synthetic_series=50, validate_every=12)


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
    shorter = train(alone)
    with pytest.raises(KeyboardInterrupt):
        train(options, StopAt(0.5))
    assert json.loads((options.run / checkpoints.FACTS).read_text())["progress"]["update"] == 24
    whole, main = (load_file(run / checkpoints.TENSORS) for run in (options.run, alone.run))
    assert same(main, whole)
    assert not same(shorter.module.state_dict(), train(options).module.state_dict())


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_an_interrupted_ending_goes_on_to_the_weights_of_an_uninterrupted_one(
    options: TrainOptions, tmp_path: Path, share: float
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(options, StopAt(share))
    resumed = train(options)
    assert resumed.updates == 48
    assert same(train(replace(options, run=tmp_path / "again")).module.state_dict(), resumed.module.state_dict())


def test_an_ending_draws_real_windows_alone(options: TrainOptions) -> None:
    pool = pool_of(read(options.data / "weekly.csv", freq="D"))
    synthetic = np.full((5, 200), 1e9, np.float32)
    plan = replace(WITH, walks=0.0, gappy=0.0)
    sampler = Sampler([pool], [1.0], synthetic, plan, rhythm=Rhythm(), horizon=CONFIG.horizon)
    rng = np.random.default_rng(3)
    assert 0.3 < (abs(sampler.draw(rng, 200).values) >= 1e9).any(axis=1).mean() < 0.7
    assert not (abs(sampler.draw(rng, 200, real_only=True).values) >= 1e9).any()


def test_each_phase_warms_up_and_falls_from_its_own_rate() -> None:
    main, ending = phases(Schedule(learning_rate=2e-3, ending=0.2, ending_rate=5e-4))
    assert [part.real_only for part in (main, ending)] == [False, True]
    for part, peak in ((main, 2e-3), (ending, 5e-4)):
        assert part.rate(0, 0.0) == pytest.approx(peak / WARM_UP)
        assert part.rate(WARM_UP, 0.5) == pytest.approx(peak * (1.0 + LAST_RATE) / 2.0)
        assert part.rate(10_000, 1.0) == pytest.approx(peak * LAST_RATE)
    assert [main.done(update, 10_000) for update in (0, 4_000, 8_000)] == [0.0, 0.5, 1.0]
    assert [ending.done(update, 10_000) for update in (8_000, 9_000, 10_000)] == [0.0, 0.5, 1.0]
    assert len(phases(Schedule())) == 1


def test_a_training_on_the_users_own_series_has_no_ending(tmp_path: Path) -> None:
    file = write_collection(tmp_path / "weekly.csv")
    assert of_file(file, freq="D", model=CONFIG, schedule=WITH).schedule == replace(WITH, ending=0.0)
