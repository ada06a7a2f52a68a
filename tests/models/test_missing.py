"""What is issued while values are missing: as uncertain as the steps since the last known value make it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.artifacts import artifact
from models.artifacts.artifact import Description, publish
from models.artifacts.runtime import Doubles, Model
from models.mixture import Mixture
from models.spread import distances, widened
from tests.models.sessions import regular_series, served, week_features
from tests.models.shapes import SHAPES

STEPS, GAP = 60, 20
"""Observations of the sessions under test, of which the last ones are missing."""


@pytest.fixture(scope="module", params=[name for name, shape in SHAPES.items() if shape.last_known])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Mixture, Model]:
    """A model that knows how long ago a value was known, as a module and as what serves."""
    torch.manual_seed(5)
    module = Mixture(SHAPES[request.param]).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    description = Description(name="m", version=1, freqs=("D",), warm_up=28, card="Random weights.")
    return module, artifact.load(publish(module, description, tmp_path_factory.mktemp("models")))


def silent(missing: int) -> Doubles:
    """(B, STEPS) series of which the last ones are missing."""
    values = regular_series(STEPS)
    values[:, STEPS - missing :] = np.nan
    return values


def test_what_is_issued_after_missing_values_is_as_uncertain_as_so_many_steps_ahead(
    both: tuple[Mixture, Model],
) -> None:
    module, model = both
    values, median = silent(GAP), module.scores.median
    issued, _, states = served(model, values, week_features(len(values), STEPS))
    arrays = {f.name: torch.from_numpy(model.spec.layout.view(states, f.name).copy()) for f in model.spec.layout.fields}
    state = module.state_of(arrays)
    with torch.no_grad():
        narrow = module.forecast_of(state, module.recurrence.top(state["recurrent"])).numpy()
    expected = distances(narrow, np.full((len(values), 1), GAP + 1), module.config.season)[:, 0]
    found = issued[:, -1] - issued[:, -1, median, None]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * np.abs(values[:, :40]).max())
    fan = model.forecast(states)
    assert np.array_equal(fan[:, 0], issued[:, -1])
    ago = np.full(len(values), float(GAP))
    np.testing.assert_allclose(fan[:, 1:], widened(narrow, ago, module.config.season)[:, 1:], rtol=1e-4)


def test_intervals_are_those_of_one_step_again_once_a_value_is_known(both: tuple[Mixture, Model]) -> None:
    _, model = both
    values = regular_series(STEPS)
    values[:, 30:50] = np.nan
    _, _, states = served(model, values, week_features(len(values), STEPS))
    fan = model.forecast(states)
    assert np.array_equal(fan[:, 0], model.issued(states))
    assert (model.spec.layout.view(states, "known")[:, 0] == values[:, -1]).all()
    assert (model.spec.layout.view(states, "known")[:, 1] == model.seen(states)).all()


def test_before_the_first_known_value_there_is_nothing_to_widen(both: tuple[Mixture, Model]) -> None:
    _, model = both
    values = np.full((1, 5), np.nan)
    issued, _, states = served(model, values, week_features(1, 5))
    assert not issued.any()
    assert not model.forecast(states).any()


def test_medians_do_not_depend_on_it(both: tuple[Mixture, Model]) -> None:
    module, _ = both
    values = torch.from_numpy(silent(GAP))
    features = torch.from_numpy(week_features(len(values), STEPS).copy())
    plain = Mixture(replace(module.config, last_known=False)).eval()
    plain.load_state_dict(module.state_dict())
    with torch.no_grad():
        known, _ = module.unroll(values, features, module.initial_state(len(values)))
        unknown, _ = plain.unroll(values, features, plain.initial_state(len(values)))
    median = module.scores.median
    assert torch.equal(known[..., median], unknown[..., median])
