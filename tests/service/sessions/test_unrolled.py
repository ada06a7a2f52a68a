"""The unrolled pass beside the served one, on series that part them: one spike, and then nothing."""

import numpy as np
import pytest

from models.artifacts.artifact import SHIPPED, load
from models.artifacts.runtime import Model
from service.sessions import unrolled
from service.sessions.verify import furthest
from tests.models.sessions import week_features

STEPS = 300


@pytest.fixture(scope="module")
def hourly() -> Model:
    return load(SHIPPED / "hourly" / "1")


def served_and_unrolled(model: Model, values: np.ndarray) -> tuple[np.ndarray, unrolled.Arrays]:
    calendar, state = week_features(1, len(values))[0], model.initial_state(1)[0]
    states, issued = model.initial_state(1), []
    for t, value in enumerate(values):
        states, quantiles = model.step(states, np.array([value]), calendar[t : t + 1])
        issued.append(quantiles[0])
    return np.concatenate([issued, model.forecast(states)[0]]), unrolled.unroll(model.folder, state, values, calendar)


@pytest.mark.parametrize("spike", [1.0, 1e6])
def test_what_a_spike_leaves_behind_is_compared_as_exactly_as_it_is_weighed(hourly: Model, spike: float) -> None:
    values, tolerance = np.zeros(STEPS), hourly.spec.tolerance
    values[100] = spike
    served, reference = served_and_unrolled(hourly, values)
    assert furthest(served, reference, tolerance) <= tolerance
    rounded, wrong = served.copy(), served.copy()
    rounded[260, 4] += 2e-5 * reference["scale"][260]  # such differences were seen, and were no fault of the state
    wrong[260, 4] += 1e-2 * reference["scale"][260]
    assert furthest(rounded, reference, tolerance) <= tolerance
    assert furthest(wrong, reference, tolerance) > tolerance
    assert furthest(rounded, {**reference, "resolution": np.zeros(STEPS)}, tolerance) > tolerance


def test_the_scale_of_a_usual_series_is_not_much_less_than_what_rounding_allows(hourly: Model) -> None:
    hours = np.arange(STEPS)
    values = 50.0 + 10.0 * np.sin(2 * np.pi * hours / 24) + np.random.default_rng(3).standard_normal(STEPS)
    values[[40, 41, 90]] = np.nan
    served, reference = served_and_unrolled(hourly, values)
    assert (reference["resolution"][10:] < 2.0 * hourly.spec.tolerance * reference["scale"][10:]).all()
    assert furthest(served, reference, hourly.spec.tolerance) <= hourly.spec.tolerance
