"""Covariates in the fold: encoded, seen by the network, kept for the fan, and the same function served and unrolled."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.artifacts import law
from models.artifacts.runtime import Doubles, Floats, Model
from models.covariates import LIMIT, Covariates, Encoding, units
from models.mixture import Mixture, MixtureConfig
from tests.golden.publish_models import random_module
from tests.models.compiling import compiled
from tests.models.sessions import TOLERANCE, difference, scales, week_features

TAKEN = Covariates(("rain",), ("promo", "price"), ("area",), (2.0, 0.5, 10.0, 100.0), (1.0, 0.5, 4.0, 50.0))
CONFIG = MixtureConfig(
    hidden=8,
    horizon=4,
    trends=True,
    far=True,
    anchors=(1, 3),
    drift=True,
    trust=True,
    last_known=True,
    covariates=TAKEN,
)
SHAPES = {
    "all kinds": CONFIG,
    "past": MixtureConfig(hidden=8, horizon=3, covariates=Covariates(past=("rain",), centres=(0.0,), widths=(1.0,))),
    "known": MixtureConfig(
        hidden=8, horizon=3, far=True, covariates=Covariates(known=("promo",), centres=(0.0,), widths=(1.0,))
    ),
    "static": MixtureConfig(
        hidden=8, horizon=3, covariates=Covariates(static=("area",), centres=(0.0,), widths=(1.0,))
    ),
}


def test_a_row_has_values_in_widths_from_the_centre_and_flags_and_zeros_where_nothing_is_known() -> None:
    encoding = Encoding(TAKEN, 2)
    numbers = np.array([4.0, np.nan, 12.0, 1.0, np.nan, np.nan, 1e12])
    row = [2.0, 0.0, 0.5, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, LIMIT, 0.0, 1.0]
    assert encoding.rows(numbers).tolist() == row
    assert (encoding.numbers, encoding.width) == (7, 14)
    assert not encoding.rows(np.full((3, 7), np.nan)).any()


@pytest.mark.parametrize("taken", [TAKEN, SHAPES["past"].covariates, SHAPES["known"].covariates, Covariates()])
@pytest.mark.parametrize("told", [0, 3, 9])
def test_rows_of_the_steps_ahead_have_what_is_known_in_advance_of_them_and_of_those_after(
    taken: Covariates, told: int
) -> None:
    encoding, steps = Encoding(taken, 2), 5
    known = np.random.default_rng(4).standard_normal((told, encoding.known))
    known[::2, :1] = np.nan
    ahead = np.full((steps + encoding.horizon, encoding.known), np.nan)
    ahead[:told] = known[: len(ahead)]
    past = np.full(encoding.observed - encoding.known, np.nan)
    numbers = [np.concatenate([past, ahead[step : step + 1 + encoding.horizon].flatten()]) for step in range(steps)]
    assert np.array_equal(encoding.rows_ahead(encoding.step_ahead(known), steps), encoding.rows(np.array(numbers)))


def test_static_covariates_are_kept_in_their_own_units() -> None:
    encoding = Encoding(TAKEN, 2)
    assert encoding.of_session({"area": 2252.7}).tolist() == [2252.7, 1.0]
    assert encoding.given_of(encoding.of_session({"area": 2252.7})) == {"area": 2252.7}
    assert encoding.given_of(encoding.of_session({"area": None})) == {}


def test_units_are_mean_and_deviation_of_what_is_known_and_never_zero() -> None:
    columns = {"a": np.array([1.0, np.nan, 3.0]), "still": np.full(4, 7.0), "none": np.full(2, np.nan)}
    assert units(columns) == ((2.0, 7.0, 0.0), (1.0, 7.0, 1.0))


def contexts(encoding: Encoding, batch: int, steps: int) -> Floats:
    numbers = np.random.default_rng(8).standard_normal((batch, steps, encoding.numbers)) * 3.0
    numbers[:, ::3, ::2] = np.nan
    return np.concatenate([week_features(batch, steps), encoding.rows(numbers)], axis=2)


def walks(batch: int, steps: int) -> Doubles:
    values = 10.0 + np.random.default_rng(9).standard_normal((batch, steps)).cumsum(axis=1)
    values[1, [0, 5, 6]] = np.nan
    return values


@pytest.fixture(scope="module")
def all_kinds(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return compiled(random_module(CONFIG, seed=5), tmp_path_factory.mktemp("all_kinds"))


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_a_model_with_covariates_keeps_the_law_and_serves_what_its_unrolled_module_forecasts(
    config: MixtureConfig, all_kinds: Model, tmp_path: Path
) -> None:
    module = random_module(config, seed=5)
    model = all_kinds if config is CONFIG else compiled(module, tmp_path)
    law.check(model)
    values, context = walks(3, 30), contexts(model.encoding, 3, 30)
    static = np.tile([30.0, 1.0], (3, 1))[:, : 2 * model.encoding.static]
    states, issued, sizes = model.initial_state(3, static), [], []
    for t in range(30):
        states, quantiles = model.step(states, np.ascontiguousarray(values[:, t]), context[:, t])
        issued.append(quantiles)
        sizes.append(scales(model, states))
    state = module.initial_state(3) | ({"static": torch.from_numpy(static)} if model.encoding.static else {})
    with torch.no_grad():
        fan, after = module.unroll(torch.from_numpy(values), torch.from_numpy(context), state)
    assert difference(np.stack(issued, axis=1), fan[:, :, 0].numpy(), np.stack(sizes, axis=1)) <= TOLERANCE
    assert difference(model.forecast(states), fan[:, -1].numpy(), sizes[-1][:, None]) <= TOLERANCE
    if model.encoding.static:
        assert (model.static(states) == static).all()
        assert (after["static"].numpy() == static).all()


def test_each_kind_of_covariate_changes_the_forecast(all_kinds: Model) -> None:
    model = all_kinds
    encoding, value = model.encoding, np.array([3.0])
    numbers = np.full((1, encoding.numbers), np.nan)

    def fan(place: int | None = None, static: float = 30.0) -> Doubles:
        given = numbers.copy()
        if place is not None:
            given[0, place] = 20.0
        context = np.concatenate([week_features(1, 1)[:, 0], encoding.rows(given)], axis=1)
        states, _ = model.step(model.initial_state(1, np.array([static, 1.0])), value, context)
        found: Doubles = model.forecast(states)[0]
        return found

    unknown = fan()
    rain, promo = fan(0), fan(1)
    assert (rain[0] != unknown[0]).any()
    assert (promo[0] != rain[0]).any()
    next_promo, later_promo = fan(3), fan(3 + 2 * 2)
    assert (next_promo[0] != unknown[0]).any()
    assert (later_promo[0] == unknown[0]).all(), "the next step knows nothing of the third"
    assert (later_promo[1] == unknown[1]).all()
    assert (later_promo[2] != unknown[2]).any()
    assert (fan(static=-30.0) != unknown).any()


def test_a_fan_for_another_future_differs_in_the_steps_of_which_it_knows_something_else(all_kinds: Model) -> None:
    model = all_kinds
    encoding, rng = model.encoding, np.random.default_rng(4)
    numbers = rng.standard_normal((2, encoding.numbers))
    context = np.concatenate([week_features(2, 1)[:, 0], encoding.rows(numbers)], axis=1)
    states, _ = model.step(model.initial_state(2), np.array([3.0, 4.0]), context)
    kept, fan = encoding.by_step(numbers[:, encoding.observed :]), model.forecast(states)
    np.testing.assert_array_equal(model.forecast(states, kept), fan)
    for step in range(4):
        other = kept.copy()
        other[:, step, 1] = np.nan
        changed = (model.forecast(states, other) != fan).any(axis=2)
        assert (changed == (np.arange(4) == step)).all()


def test_without_covariates_a_module_has_the_weights_and_state_that_it_had() -> None:
    torch.manual_seed(0)
    with_them = Mixture(CONFIG)
    torch.manual_seed(0)
    plain = Mixture(replace(CONFIG, covariates=Covariates()))
    assert set(with_them.state_dict()) - set(plain.state_dict()) == {"head.from_beside.weight"}
    assert set(with_them.blocks) - set(plain.blocks) == {"static", "covariates"}
