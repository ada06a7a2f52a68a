"""Served one step at a time, or unrolled in one pass: one function, on every kind of series."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hiddenstate.demo.replay import seattle_weather
from models.artifacts.runtime import Doubles, Model
from models.mixture import Mixture
from tests.models.sessions import (
    TOLERANCE,
    difference,
    interrupted_series,
    regular_series,
    scales,
    served,
    unrolled,
    week_features,
)

LONG = 10_000

values_or_missing = st.lists(
    st.one_of(st.integers(0, 9).map(float), st.floats(-1e6, 1e6), st.just(float("nan"))), min_size=2, max_size=60
).map(np.array)
cuts = st.lists(st.integers(0, 60), max_size=5)


def pieces(length: int, at: list[int]) -> list[slice]:
    edges = sorted({0, length, *(cut for cut in at if cut < length)})
    return [slice(start, end) for start, end in pairwise(edges)]


def test_ten_thousand_steps_served_equal_the_module_unrolled(model: Model, module: Mixture) -> None:
    values = np.concatenate([regular_series(LONG), interrupted_series(LONG)])
    calendar = week_features(*values.shape)
    issued, sizes, states = served(model, values, calendar)
    expected, fan = unrolled(module, values, calendar)
    worst = [difference(issued[row], expected[row], sizes[row]) for row in range(len(values))]
    assert max(worst) <= TOLERANCE, worst
    assert difference(model.forecast(states), fan, scales(model, states)[:, None]) <= TOLERANCE
    assert np.isfinite(issued).all()


@pytest.mark.parametrize("variable", ["temp_max", "precipitation"])
def test_four_years_of_daily_weather_served_equal_the_module_unrolled(
    model: Model, module: Mixture, variable: str
) -> None:
    values = np.array([[value for _, value in seattle_weather(variable)]])
    calendar = week_features(*values.shape)
    issued, sizes, _ = served(model, values, calendar)
    expected, _ = unrolled(module, values, calendar, window=values.shape[1])
    assert values.shape == (1, 1461)
    assert difference(issued, expected, sizes) <= TOLERANCE


@given(values_or_missing, cuts)
@settings(max_examples=60)
def test_a_series_cut_anywhere_folds_to_the_same_bits(model: Model, values: Doubles, at: list[int]) -> None:
    calendar = week_features(1, len(values))[0]
    whole, issued = model.fold(model.initial_state(1)[0], values, calendar)
    state, parts = model.initial_state(1)[0], []
    for piece in pieces(len(values), at):
        state, part = model.fold(state, values[piece], calendar[piece])
        parts.append(part)
    assert state.tobytes() == whole.tobytes()
    assert np.concatenate(parts).tobytes() == issued.tobytes()


@given(values_or_missing, cuts)
@settings(max_examples=20)
def test_a_series_cut_anywhere_unrolls_to_what_is_served(
    model: Model, module: Mixture, values: Doubles, at: list[int]
) -> None:
    calendar = week_features(1, len(values))
    issued, sizes, _ = served(model, values[None], calendar)
    state, fans = module.initial_state(1), []
    with torch.no_grad():
        for piece in pieces(len(values), at):
            fan, state = module.unroll(
                torch.from_numpy(values[None, piece]), torch.from_numpy(calendar[:, piece]), state
            )
            fans.append(fan[:, :, 0].numpy())
    assert difference(np.concatenate(fans, axis=1), issued, sizes) <= TOLERANCE


@given(values_or_missing)
@settings(max_examples=60)
def test_quantiles_of_every_horizon_never_cross(model: Model, values: Doubles) -> None:
    _, _, states = served(model, values[None], week_features(1, len(values)))
    fan = model.forecast(states)
    assert np.isfinite(fan).all()
    assert (np.diff(fan, axis=2) >= 0.0).all()


@given(values_or_missing)
@settings(max_examples=30)
def test_the_first_step_of_the_fan_has_the_bits_that_were_issued(model: Model, values: Doubles) -> None:
    state, issued = model.fold(model.initial_state(1)[0], values, week_features(1, len(values))[0])
    assert model.forecast(state[None])[0, 0].tobytes() == issued[-1].tobytes() == model.issued(state[None])[0].tobytes()


def test_the_initial_state_is_zeros(model: Model, module: Mixture) -> None:
    assert not model.initial_state(3).any()
    assert model.initial_state(3).shape == (3, model.spec.state_bytes)
    assert all(not array.any() for array in module.initial_state(3).values())


def test_a_series_of_missing_values_leaves_the_initial_state(model: Model, module: Mixture) -> None:
    values = np.full((1, 1000), np.nan)
    calendar = week_features(*values.shape)
    issued, _, states = served(model, values, calendar)
    assert not issued.any()
    assert all(not model.spec.layout.view(states, field.name).any() for field in model.spec.layout.fields)
    assert model.seen(states) == 0.0
    expected, fan = unrolled(module, values[:, :50], calendar[:, :50])
    assert not expected.any()
    assert not fan.any()


def test_a_session_starts_at_its_first_known_value(model: Model) -> None:
    values = np.array([np.nan, np.nan, 4.0, np.nan, 5.0])
    calendar = week_features(1, 5)[0]
    late, issued = model.fold(model.initial_state(1)[0], values, calendar)
    prompt, _ = model.fold(model.initial_state(1)[0], values[2:], calendar[2:])
    assert late.tobytes() == prompt.tobytes()
    assert model.seen(late[None]) == 3.0
    assert not issued[:2].any()
    assert issued[2:].all()


def test_a_missing_value_is_stood_in_for_by_the_issued_median(model: Model) -> None:
    calendar = week_features(1, 4)[0]
    state, issued = model.fold(model.initial_state(1)[0], np.array([4.0, 6.0, 5.0]), calendar[:3])
    folded, _ = model.fold(state, np.array([np.nan]), calendar[3:])
    median = len(model.spec.quantiles) // 2
    assert model.spec.layout.view(folded[None], "ring")[0, -1] == issued[-1, median]


def test_a_step_leaves_the_given_states_as_they_were(model: Model) -> None:
    states, _ = model.step(model.initial_state(4), np.arange(4.0), week_features(1, 4)[0])
    before = states.tobytes()
    model.step(states, np.array([1.0, np.nan, -3.0, 1e12]), week_features(1, 4)[0])
    model.forecast(states)
    assert states.tobytes() == before


def test_two_sessions_served_in_turn_do_not_see_each_other(model: Model) -> None:
    values = regular_series(40)[[3, 7]]
    calendar = week_features(2, 40)
    states = [model.initial_state(1), model.initial_state(1)]
    for t in range(40):
        for session in (0, 1):
            states[session], _ = model.step(states[session], values[session, t : t + 1], calendar[session, t : t + 1])
    for session in (0, 1):
        alone, _ = model.fold(model.initial_state(1)[0], values[session], calendar[session])
        assert states[session][0].tobytes() == alone.tobytes()


def test_one_module_unrolls_two_sessions_in_turn_without_cross_talk(module: Mixture) -> None:
    values, calendar = regular_series(40)[[3, 7]], week_features(2, 40)
    whole, _ = unrolled(module, values, calendar)
    states: list[dict[str, Tensor]] = [module.initial_state(1), module.initial_state(1)]
    for start in range(0, 40, 10):
        for session in (0, 1):
            piece = (slice(session, session + 1), slice(start, start + 10))
            with torch.no_grad():
                fan, states[session] = module.unroll(
                    torch.from_numpy(values[piece]), torch.from_numpy(calendar[piece]), states[session]
                )
            np.testing.assert_allclose(fan[0, :, 0].numpy(), whole[session, start : start + 10], rtol=1e-5, atol=1e-5)
