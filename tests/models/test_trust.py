"""Trust of each session in the network: what the rivals are, what moves it, and what it keeps a session from."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from models.fold import State
from models.layers.trust import SHARE, Trust
from models.mixture import QUANTILES, Mixture, MixtureConfig
from tests.golden.publish_models import random_module
from tests.models.sessions import interrupted_series, regular_series, week_features
from tests.models.shapes import SHAPES

MEDIAN = QUANTILES.index(0.5)
CONFIG = replace(SHAPES["daily"], anchors=())
KNOWN = torch.ones(1, 1, dtype=torch.float64)


def pull_after(network: float, mixture: float, steps: int, scored: float = 1.0) -> float:
    """The mixture's part after so many values of zero, for which the rivals forecast these numbers; the scale is 1."""
    layer, errors = Trust(), torch.zeros(1, 2, dtype=torch.float64)
    medians = torch.tensor([[network, mixture]], dtype=torch.float64)
    for _ in range(steps):
        errors = layer.judged(0.0 * KNOWN, scored * KNOWN, torch.cat([medians, errors], dim=1))
    return float(layer.pull(errors, KNOWN))


def test_a_new_session_forecasts_as_the_network_does() -> None:
    assert pull_after(1.0, 1.0, steps=0) == 0.0
    assert pull_after(2.0, 1.0, steps=1) < 0.005
    assert pull_after(1.0, 1.0, steps=14) < 0.05


def test_rivals_that_are_alike_come_to_share_forecasts() -> None:
    assert 0.6 * SHARE < pull_after(1.0, -1.0, steps=500) < SHARE


def test_the_mixture_gets_everything_from_a_worse_network_and_nothing_from_a_much_better_one() -> None:
    assert pull_after(1.15, 1.0, steps=500) == 1.0
    assert pull_after(0.9, 1.0, steps=500) == 0.0


def test_the_part_grows_with_the_error_of_the_network_without_a_jump() -> None:
    parts = np.array([pull_after(network, 1.0, steps=300) for network in np.linspace(0.8, 1.2, 41)])
    assert (np.diff(parts) >= 0.0).all()
    assert np.diff(parts).max() < 0.1


def test_it_does_not_depend_on_the_unit_of_the_series() -> None:
    layer = Trust()
    errors = torch.tensor([[80.0, 75.0]], dtype=torch.float64)
    for unit in (1e-12, 1e12):
        torch.testing.assert_close(layer.pull(unit * errors, unit * KNOWN), layer.pull(errors, KNOWN))


def test_what_is_not_scored_teaches_nothing() -> None:
    assert pull_after(2.0, 1.0, steps=500, scored=0.0) == 0.0


def folded(module: Mixture, values: np.ndarray) -> tuple[Tensor, State]:
    """What was issued after each of the values (B, T, Q), and the last state."""
    state, issued = module.initial_state(len(values)), []
    with torch.no_grad():
        for t in range(values.shape[1]):
            observed = torch.from_numpy(values[:, t].copy()), torch.from_numpy(week_features(len(values), 1)[:, 0])
            quantiles, state = module.step(observed, state)
            issued.append(quantiles)
    return torch.stack(issued, dim=1), state


def relatives(module: Mixture) -> tuple[Mixture, Mixture]:
    """The same network without trust, and the plain mixture."""
    alone = Mixture(replace(module.config, trust=False)).eval()
    alone.load_state_dict(module.state_dict())
    return alone, Mixture(alone.config).eval()


@pytest.mark.parametrize("config", [CONFIG, MixtureConfig(hidden=8, trust=True)])
def test_the_rivals_are_the_network_alone_and_the_mixture_without_a_network(config: MixtureConfig) -> None:
    module, values = random_module(config, seed=3), regular_series(40)
    issued, state = folded(module, values)
    medians, scale = module.arrays(state)["trust.medians"], module.arrays(state)["scale"].amax(dim=1, keepdim=True)
    for rival, relative in enumerate(relatives(module)):
        expected = folded(relative, values)[0][:, -1, MEDIAN]
        size = torch.maximum(expected.abs(), scale[:, 0])
        assert ((medians[:, rival] - expected).abs() <= 1e-5 * size).all()
    low, high = medians.amin(dim=1) - 1e-5 * scale[:, 0], medians.amax(dim=1) + 1e-5 * scale[:, 0]
    assert ((low <= issued[:, -1, MEDIAN]) & (issued[:, -1, MEDIAN] <= high)).all()


def test_a_session_whose_network_is_wrong_forecasts_as_the_mixture_does_at_every_step_ahead() -> None:
    module = random_module(CONFIG, seed=3)
    rng = np.random.default_rng(1)
    week = np.resize([5.0, 4.0, 4.0, 5.0, 9.0, 1.0, 0.0], 300)
    values = 10.0 + week + rng.standard_normal((4, 300))
    (alone, plain), actual = relatives(module), values[:, 150:]
    issued, state = folded(module, values)
    errors = [
        float(np.abs(actual - each[:, 149:-1, MEDIAN].numpy()).mean())
        for each in (issued, folded(alone, values)[0], folded(plain, values)[0])
    ]
    assert errors[1] > 1.3 * errors[2]
    assert errors[0] < 1.02 * errors[2]
    with torch.no_grad():
        fan, mixture = module.forecast(state)[..., MEDIAN], plain.forecast(folded(plain, values)[1])[..., MEDIAN]
    torch.testing.assert_close(fan, mixture, rtol=1e-5, atol=1e-5)


def test_distances_between_quantiles_stay_those_of_the_network() -> None:
    module, values = random_module(CONFIG, seed=3), regular_series(200)[-1:]
    with torch.no_grad():
        _, state = folded(module, values)
        alone = relatives(module)[0]
        fan, unpulled = module.forecast(state), alone.forecast(folded(alone, values)[1])
    assert not torch.allclose(fan, unpulled, rtol=1e-3)
    torch.testing.assert_close(fan.diff(dim=2), unpulled.diff(dim=2), rtol=1e-3, atol=1e-5)
    assert (fan.diff(dim=2) >= 0.0).all()


def test_a_missing_value_leaves_the_errors_of_the_rivals_as_they_were() -> None:
    module = random_module(CONFIG, seed=3)
    _, state = folded(module, interrupted_series(30)[:1])
    before = module.arrays(state)["trust.errors"]
    missing = (torch.full((1,), float("nan"), dtype=torch.float64), torch.zeros(1, 5))
    known = (torch.zeros(1, dtype=torch.float64), torch.zeros(1, 5))
    assert torch.equal(module.arrays(module.step(missing, state)[1])["trust.errors"], before)
    assert not torch.equal(module.arrays(module.step(known, state)[1])["trust.errors"], before)
