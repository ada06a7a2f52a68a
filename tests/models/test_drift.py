"""Drift of a session: what raises its alarm, what does not, and when it is over."""

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from models.artifacts.artifact import SHIPPED, load
from models.artifacts.runtime import Doubles
from models.layers.drift import FEW, SETTLED, Drift
from models.layers.memory import Memory
from models.mixture import MixtureConfig
from tests.golden.make_page_hinkley import GOLDEN, changed_errors
from tests.models.sessions import week_features

MEMORY = Memory(MixtureConfig().memory)
SCALE = torch.ones(1, 1, dtype=torch.float64)
KNOWN, MISSING = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)


@pytest.fixture
def layer() -> Drift:
    return Drift(MEMORY.settled)


def stepped(layer: Drift, error: float, seen: int, state: Tensor, missing: Tensor = KNOWN) -> Tensor:
    """One error of a session that has seen so many steps, this one included."""
    place = MEMORY.place(torch.full((1, 1), float(seen), dtype=torch.float64), missing).squeeze(1)
    return layer.step(torch.full((1, 1), error, dtype=torch.float64), SCALE, place, state)


def states_after(layer: Drift, errors: Doubles) -> Tensor:
    """(T, 6) the states after each error of a session, whose first value has none."""
    state, states = layer.initial_state(1), []
    for seen, error in enumerate(errors.tolist(), 2):
        state = stepped(layer, error, seen, state)
        states.append(state[0])
    return torch.stack(states)


def alarms(states: Tensor) -> list[int]:
    """The steps, counted from 1, after which there is an alarm."""
    return [step for step, (left, _) in enumerate(states[:, 4:].tolist(), 1) if left >= 1.0]


def usual(steps: int, seed: int = 0) -> Doubles:
    """Errors whose mean size is 1, normally distributed."""
    errors: Doubles = np.random.default_rng(seed).standard_normal(steps) * np.sqrt(np.pi / 2)
    return errors


@pytest.mark.parametrize("name", changed_errors())
def test_a_change_is_noticed_about_when_rivers_page_hinkley_test_notices_it(layer: Drift, name: str) -> None:
    expected = json.loads(GOLDEN.read_text())[name]
    assert abs(alarms(states_after(layer, changed_errors()[name]))[0] - expected) <= 3


def test_usual_errors_raise_no_alarm(layer: Drift) -> None:
    assert not alarms(states_after(layer, usual(2000)))


def test_no_single_error_raises_an_alarm(layer: Drift) -> None:
    errors = usual(200)
    errors[100], errors[150] = 1e9, -1e9
    assert not alarms(states_after(layer, errors))


def test_nothing_is_summed_before_a_few_errors(layer: Drift) -> None:
    states = states_after(layer, np.array([1.0] * (FEW - 1) + [100.0] * 9))
    assert not states[: FEW - 1, :3].any()
    assert alarms(states) == list(range(FEW + 3, FEW + 9))


def test_an_alarm_lasts_until_errors_have_settled_and_names_the_step_that_raised_it(layer: Drift) -> None:
    errors = np.concatenate([usual(200), usual(8, seed=1) + 4.0, usual(200, seed=2)])
    states = states_after(layer, errors)
    alarmed = alarms(states)
    raised = alarmed[0]
    assert 201 <= raised <= 208
    assert alarmed == list(range(raised, alarmed[-1] + 1))
    assert [int(states[step - 1, 5]) for step in alarmed] == [step - raised + 1 for step in alarmed]
    assert SETTLED <= len(alarmed) <= SETTLED + 8


def test_another_alarm_before_errors_have_settled_goes_on_from_the_first(layer: Drift) -> None:
    again = [usual(200), usual(8, seed=1) + 4.0, usual(15, seed=2), usual(8, seed=3) + 4.0, usual(100, seed=4)]
    alarmed = alarms(states_after(layer, np.concatenate(again)))
    assert alarmed == list(range(alarmed[0], alarmed[-1] + 1))
    assert len(alarmed) > SETTLED + 15


def test_errors_that_stay_larger_become_usual(layer: Drift) -> None:
    alarmed = alarms(states_after(layer, np.concatenate([usual(300), 3.0 * usual(900, seed=5)])))
    assert 301 <= alarmed[0] <= 320
    assert alarmed[-1] < 1000


def test_a_missing_value_teaches_nothing_and_settles_nothing(layer: Drift) -> None:
    calm = states_after(layer, usual(200))[-1:]
    assert torch.equal(stepped(layer, 0.0, 202, calm, MISSING)[:, :4], calm[:, :4])
    alarmed = states_after(layer, np.concatenate([usual(200), [4.0] * 8]))[-1:]
    later = stepped(layer, 0.0, 210, alarmed, MISSING)
    assert torch.equal(later[:, :5], alarmed[:, :5])
    assert later[0, 5] == alarmed[0, 5] + 1.0


def test_an_update_is_continuous_in_the_error(layer: Drift) -> None:
    before = states_after(layer, np.concatenate([usual(200), [3.0, 3.0, 3.0, 3.0, 3.0]]))[-1:]
    errors = np.linspace(-8.0, 8.0, 16001)
    states = torch.cat([stepped(layer, float(error), 207, before) for error in errors])
    assert states[:, 4].amin() < 1.0 < SETTLED == states[:, 4].amax()
    steepest = 2.0 * SETTLED * (errors[1] - errors[0]) / float(before[0, 3])
    assert states.diff(dim=0).abs().amax() <= steepest


def test_errors_of_zero_and_a_scale_of_zero_stay_finite(layer: Drift) -> None:
    state = layer.initial_state(1)
    place = MEMORY.place(torch.full((1, 1), 90.0, dtype=torch.float64), KNOWN).squeeze(1)
    for error in (0.0, 0.0, 1.0, -1e300, 0.0):
        state = layer.step(torch.full((1, 1), error, dtype=torch.float64), 1e-30 * SCALE, place, state)
    assert torch.isfinite(state).all()


@pytest.mark.parametrize("name", ["daily/2", "hourly/1", "weekly/1"])
def test_a_shipped_model_notices_a_series_that_goes_another_way(name: str) -> None:
    model, rng = load(SHIPPED / name), np.random.default_rng(7)
    trend = np.maximum(np.arange(460.0) - 400.0, 0.0)
    values = np.stack([10.0 + rng.standard_normal(460) + slope * trend for slope in (0.0, 4.0, -4.0)])
    calendar, states, lasted = week_features(*values.shape), model.initial_state(3), []
    for t in range(460):
        states, _ = model.step(states, np.ascontiguousarray(values[:, t]), calendar[:, t])
        lasted.append(model.alarmed(states))
    assert not np.any(lasted[:400])
    assert not np.any([one[0] for one in lasted])
    assert all(one > 0 for one in lasted[415][1:])


def test_a_model_without_the_layer_never_notices_any() -> None:
    model = load(SHIPPED / "daily" / "1")
    states = model.initial_state(2)
    for t in range(60):
        states, _ = model.step(states, np.array([1.0, 100.0 * (t > 50)]), week_features(2, 1)[:, 0])
    assert not model.alarmed(states).any()
