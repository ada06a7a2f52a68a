"""Training on small collections: what is learned, from which rows, and that it can be interrupted."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.artifacts import artifact
from models.data import digest, read
from models.evaluation.streaming import Evaluation
from models.mixture import Mixture, MixtureConfig
from models.synthetic.seasons import Rhythm
from models.training import checkpoints, publishing
from models.training.bptt import Trained, TrainOptions, train
from models.training.curve import Progress
from models.training.learner import Learner
from models.training.losses import Batch, batches, judged_horizons, pinball_loss, stand_ins, unrolled_losses
from models.training.recipe import Recipe, Schedule, Source
from models.training.start import Start
from models.training.windows import Sampler, Windows, loss_positions, pool_of
from tests.golden.publish_models import random_module
from tests.models.collection import write_collection
from tests.models.interruption import StopAt

CONFIG = MixtureConfig(hidden=8)
SCHEDULE = Schedule(unroll=42, chunks=2, batch=8)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> TrainOptions:
    folder = tmp_path_factory.mktemp("training")
    file = write_collection(folder / "weekly.csv")
    recipe = Recipe("weekly", ("D",), CONFIG, SCHEDULE, (Source(file.name, licence="CC0"),), (file.name,))
    return TrainOptions(recipe, folder, folder / "run", updates=48, synthetic_series=50, validate_every=24)


@pytest.fixture(scope="module")
def trained(base: TrainOptions) -> Trained:
    return train(base)


@pytest.fixture(scope="module")
def published(
    trained: Trained, base: TrainOptions, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Evaluation]:
    """The artifact of what was trained, and its scores."""
    with publishing.drafted(trained, name="weekly", version=1) as draft:
        evaluation = publishing.score(trained, draft, data=base.data)
        assert evaluation is not None
        root = tmp_path_factory.mktemp("models")
        return publishing.publish(trained, evaluation, name="weekly", version=1, root=root, draft=draft), evaluation


@pytest.fixture
def options(base: TrainOptions, tmp_path: Path) -> TrainOptions:
    return replace(base, run=tmp_path / "run")


def weights(trained: Trained) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in trained.module.state_dict().items()}


def a_batch(options: TrainOptions, module: Mixture) -> tuple[Windows, Batch]:
    pool = pool_of(options.recipe.sources[0].read(options.data, "D"))
    rng = np.random.default_rng(4)
    synthetic = rng.standard_normal((5, 200)).astype(np.float32)
    schedule = replace(SCHEDULE, gappy=0.0)
    sampler = Sampler([pool], [1.0], synthetic, schedule, rhythm=Rhythm(), horizon=CONFIG.horizon)
    windows = sampler.draw(rng, 8)
    return windows, next(batches(module, windows, rng, schedule))


def test_training_learns_and_logs_the_digest_of_the_training_rows_only(trained: Trained, options: TrainOptions) -> None:
    assert trained.updates == 48
    assert trained.curve[-1].loss < trained.curve[1].loss
    assert trained.curve[0].relative_error.keys() == {"weekly"}
    assert trained.sha256 == trained.rows[0].sha256 == digest(read(options.data / "weekly.csv"))
    assert trained.picture.read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(options: TrainOptions, tmp_path: Path) -> None:
    first = weights(train(replace(options, updates=8)))
    again = weights(train(replace(options, updates=8, run=tmp_path / "again")))
    other = weights(train(replace(options, updates=8, run=tmp_path / "other", seed=1)))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_an_interrupted_training_goes_on_to_the_weights_of_an_uninterrupted_one(
    trained: Trained, options: TrainOptions
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(options, StopAt(0.7))
    assert json.loads((options.run / checkpoints.FACTS).read_text())["progress"]["update"] == 24
    resumed = weights(train(options))
    assert all(np.array_equal(value, resumed[name]) for name, value in weights(trained).items())


def test_a_training_that_makes_it_worse_stops_early_and_keeps_the_weights_that_it_began_with(
    trained: Trained, published: tuple[Path, Evaluation], options: TrainOptions
) -> None:
    folder, _ = published
    wild = replace(options.recipe, schedule=replace(SCHEDULE, learning_rate=0.5))
    further = train(replace(options, recipe=wild, start=Start.of(folder), patience=1))
    assert (further.updates, further.kept) == (24, 0)
    assert further.curve[0].relative_error == trained.curve[-1].relative_error
    assert all(np.array_equal(value, weights(further)[name]) for name, value in weights(trained).items())
    again = train(replace(options, recipe=wild, start=Start.of(folder), patience=1))
    assert (again.updates, again.kept) == (24, 0)
    assert all(np.array_equal(value, weights(again)[name]) for name, value in weights(trained).items())


def test_the_checkpoint_of_another_training_is_refused(options: TrainOptions) -> None:
    train(replace(options, updates=8))
    with pytest.raises(checkpoints.CheckpointError, match="other seed"):
        train(replace(options, updates=8, seed=1))


def test_two_checkpoint_files_of_different_updates_are_refused(tmp_path: Path) -> None:
    learner = Learner(Mixture(CONFIG))
    checkpoints.save(tmp_path, {}, learner, Progress(update=3))
    facts = tmp_path / checkpoints.FACTS
    facts.write_text(facts.read_text().replace('"update": 3', '"update": 4'))
    with pytest.raises(checkpoints.CheckpointError, match="different updates"):
        checkpoints.resume(tmp_path, {}, learner)


def test_a_trained_model_is_published_with_its_scores_and_the_rows_it_saw(
    trained: Trained, published: tuple[Path, Evaluation], options: TrainOptions
) -> None:
    folder, evaluation = published
    model = artifact.load(folder)
    figure = round(evaluation.row("weekly", "weekly@1").stream.relative_mae, 4)
    assert model.spec.metrics["weekly"]["weekly@1"]["relMAE"] == figure
    assert model.spec.provenance["sha256"] == digest(read(options.data / "weekly.csv"))
    card = (folder / artifact.CARD).read_text()
    assert trained.sha256 in card
    assert "CC0" in card
    assert f"| {figure:.4f} |" in card
    assert (folder / "curve.png").is_file()


def test_carried_unrolls_see_the_state_that_one_long_unroll_has(options: TrainOptions) -> None:
    module = Mixture(CONFIG)
    torch.nn.init.normal_(module.head.out.weight, std=0.1)
    _, batch = a_batch(options, module)
    [whole] = unrolled_losses(module, batch, SCHEDULE.window)
    parts = torch.stack(list(unrolled_losses(module, batch, SCHEDULE.unroll))).detach()
    early = (batch.positions < SCHEDULE.unroll).float().mean()
    joined = early * parts[0] + (1.0 - early) * parts[1]
    assert float(joined) == pytest.approx(float(whole.detach()), rel=0.02)  # each part is a mean over its own targets


def test_no_gradient_crosses_the_edge_of_an_unroll(options: TrainOptions) -> None:
    module = Mixture(CONFIG)
    torch.nn.init.normal_(module.head.out.weight, std=0.1)
    _, batch = a_batch(options, module)
    batch.window.inputs.requires_grad_()
    _, second = unrolled_losses(module, batch, SCHEDULE.unroll)
    [gradient] = torch.autograd.grad(second, batch.window.inputs)
    assert (gradient[:, :42] == 0.0).all()
    assert (gradient[:, 42:] != 0.0).any()


def test_the_fast_path_judges_the_fan_that_the_unrolled_module_gives(options: TrainOptions) -> None:
    module = Mixture(CONFIG)
    torch.nn.init.normal_(module.head.out.weight, std=0.1)
    windows, batch = a_batch(options, module)
    values, calendar = torch.from_numpy(windows.values), torch.from_numpy(windows.calendar)
    with torch.no_grad():
        fan, _ = module.unroll(values, calendar, module.initial_state(8))
        [loss] = unrolled_losses(module, batch, SCHEDULE.window)
        rows = torch.arange(8)[:, None]
        memory = batch.window.memory.flatten(0, 1)
        chosen = fan[rows, batch.positions].flatten(0, 1)
        expected = pinball_loss(module, memory, chosen, batch.targets.flatten(0, 1))
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-5)


def test_a_batch_is_judged_on_the_next_step_and_others_at_random() -> None:
    rng = np.random.default_rng(0)
    drawn = [judged_horizons(rng, 48, 12) for _ in range(200)]
    assert all(len(set(horizons)) == 12 and horizons == sorted(horizons) for horizons in drawn)
    assert all(horizons[0] == 1 and horizons[-1] <= 48 for horizons in drawn)
    assert {h for horizons in drawn for h in horizons} == set(range(1, 49))
    assert judged_horizons(rng, 14, 0) == judged_horizons(rng, 14, 20) == list(range(1, 15))


def test_some_horizons_of_a_fan_are_those_of_the_whole_fan(options: TrainOptions) -> None:
    module = random_module(replace(CONFIG, trends=True, far=True), seed=3)
    _, batch = a_batch(options, module)
    memory = batch.window.memory[:, -1]
    seen = batch.window.inputs[torch.arange(8), batch.positions[:, -1]]
    logs, hidden = seen[:, module.memory.inputs.logs], torch.randn(8, CONFIG.hidden)
    with torch.no_grad():
        whole = module.fan(memory, logs, hidden, module.head.fan_weights(module.horizons))
        some = module.fan(memory, logs, hidden, module.head.fan_weights([1, 5, 14]))
    torch.testing.assert_close(some, whole[:, [0, 4, 13]], rtol=1e-6, atol=1e-6)


def test_a_missing_value_is_stood_in_for_by_the_median_that_serving_would_use() -> None:
    module = Mixture(CONFIG)
    values = torch.tensor([[1.0, 4.0, float("nan"), 5.0], [1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)
    calendar = torch.zeros(2, 4, 5)
    filled = stand_ins(module, values, calendar)
    with torch.no_grad():
        fan, _ = module.unroll(values[:1, :2], calendar[:1, :2], module.initial_state(1))
    assert float(filled[0, 2]) == pytest.approx(float(fan[0, 1, 0, module.scores.median]))
    assert torch.equal(filled[1], values[1])


def test_targets_are_the_values_after_each_position_and_never_a_filled_in_one(options: TrainOptions) -> None:
    source = options.recipe.sources[0].read(options.data, "D")
    windows = pool_of(source).cut(np.random.default_rng(1), 50, 84, 14)
    known = ~np.isnan(windows.ahead[:, :84])
    np.testing.assert_array_equal(windows.ahead[:, :84][known], windows.values[known])
    assert np.isnan(windows.ahead).mean() == pytest.approx(0.02, abs=0.005)


def test_a_short_series_is_padded_and_only_its_own_steps_are_judged(options: TrainOptions) -> None:
    [series, *_] = options.recipe.sources[0].read(options.data, "D")
    windows = pool_of([series.head(14)]).cut(np.random.default_rng(1), 3, 84, 14)
    assert np.isfinite(windows.values).all()
    assert (windows.steps == 14).all()
    assert np.isnan(windows.ahead[:, 14:]).all()
    positions = loss_positions(np.random.default_rng(2), windows.steps, 21)
    assert positions.min() >= 1
    assert positions.max() <= 13
