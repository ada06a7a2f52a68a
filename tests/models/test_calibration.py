"""Calibration of each session: what an actual moves, what it does not, and that every series gets its coverage."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.layers.calibration import OWN, RAMP, SHARED, Calibration
from models.mixture import QUANTILES, Mixture
from tests.golden.publish_models import random_module
from tests.models.sessions import interrupted_series, regular_series, week_features
from tests.models.shapes import SHAPES

NORMAL = torch.special.ndtri(torch.tensor(QUANTILES, dtype=torch.float64))
ANCHORS = (1, 2, 4)
EDGES = len(QUANTILES) - 1
NEVER, KNOWN = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)


@pytest.fixture
def layer() -> Calibration:
    return Calibration(QUANTILES, ANCHORS, horizon=6)


def after(layer: Calibration, actual: float, clock: Tensor = NEVER, scored: Tensor = KNOWN) -> Tensor:
    """(A, 2 side): offsets of a new session after one actual of a standard normal forecast."""
    errors = (actual - NORMAL).repeat(len(ANCHORS)).unsqueeze(0)
    state = layer.step(errors, scored, clock, layer.initial_state(1))
    return state.reshape(len(ANCHORS), EDGES)


def test_a_quantile_that_is_passed_moves_outwards_more_than_the_others(layer: Calibration) -> None:
    below, above = after(layer, 1.42)[0].tensor_split(2)
    passed = np.array([False, False, False, False, True, True, False, False])  # of 0.75 and 0.9, outwards
    share = np.tile([0.25, 0.1, 0.05, 0.025], 2)
    shared = float((SHARED * (passed - share) / np.sqrt(share)).sum())
    assert shared > 0.0
    np.testing.assert_allclose(torch.cat([below, above]), OWN * (passed / share - 1.0) + shared)


def test_what_passes_no_quantile_draws_all_of_them_inwards(layer: Calibration) -> None:
    assert (after(layer, 0.1)[0] < 0.0).all()


def test_an_update_is_continuous_in_the_actual(layer: Calibration) -> None:
    actuals = np.linspace(-3.0, 3.0, 6001)
    offsets = torch.stack([after(layer, float(actual))[0] for actual in actuals])
    share, edges = np.tile([0.25, 0.1, 0.05, 0.025], 2), np.abs(_edges())
    steepest = torch.from_numpy(OWN / share / (RAMP * edges) + float((SHARED / np.sqrt(share) / (RAMP * edges)).sum()))
    assert (offsets.diff(dim=0).abs() <= 1.01 * steepest * (actuals[1] - actuals[0])).all()


def _edges() -> list[float]:
    """Quantiles of the forecast below the median, outwards, then those above."""
    side = EDGES // 2
    return [float(NORMAL[k]) for k in [*range(side - 1, -1, -1), *range(side + 1, EDGES + 1)]]


def test_what_is_not_scored_teaches_nothing(layer: Calibration) -> None:
    assert not after(layer, 5.0, scored=NEVER).any()


def test_an_anchor_learns_only_when_what_was_kept_for_it_arrives(layer: Calibration) -> None:
    for steps in range(1, 7):
        moved = after(layer, 1.42, clock=0.5**steps * KNOWN).any(dim=1)
        assert moved.tolist() == [True, steps == 2, steps == 4]


def test_between_anchors_offsets_are_interpolated_and_beyond_the_last_its_own(layer: Calibration) -> None:
    state = torch.arange(3.0, dtype=torch.float64).repeat_interleave(EDGES).unsqueeze(0)
    at = layer.fan_stretches(state)[0, :, 0].tolist()
    assert at == pytest.approx([1.0, 2.0, 2.5, 3.0, 3.0, 3.0])
    assert torch.equal(layer.fan_stretches(state)[:, [0, 1, 3]], layer.stretches(state))
    assert torch.equal(layer.next_stretch(state), layer.stretches(state)[:, 0])


@pytest.mark.parametrize("size", [0.4, 1.0, 2.5])
def test_intervals_of_the_wrong_size_come_to_cover_what_they_should(layer: Calibration, size: float) -> None:
    rng, state, inside = np.random.default_rng(1), layer.initial_state(1), []
    widths = torch.cat([NORMAL[:4].diff(append=NORMAL[4:5]).flip(0), NORMAL[4:].diff()])
    for actual in size * rng.standard_normal(2000):
        distances = (widths * layer.next_stretch(state)[0]).reshape(2, -1).cumsum(dim=1)
        issued = torch.cat([-distances[0].flip(0), torch.zeros(1, dtype=torch.float64), distances[1]])
        inside.append([float(issued[k]) <= actual <= float(issued[-1 - k]) for k in (0, 2)])
        state = layer.step((actual - issued).repeat(3).unsqueeze(0), KNOWN, NEVER, state)
    share_95, share_80 = np.mean(inside[-1000:], axis=0)
    assert 0.78 <= share_80 <= 0.82
    assert 0.94 <= share_95 <= 0.965


@pytest.mark.parametrize("anchors", [(2, 4), (1, 4, 2), (1, 7)])
def test_anchors_that_are_no_steps_ahead_in_order_are_refused(anchors: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="anchors are steps ahead in rising order, from 1 to 6"):
        Calibration(QUANTILES, anchors, horizon=6)


@pytest.mark.parametrize("name", ["daily", "hourly", "weekly"])
@pytest.mark.parametrize("series", [regular_series, interrupted_series])
def test_stepping_one_by_one_equals_one_unrolled_pass_in_every_array(name: str, series: object) -> None:
    assert callable(series)
    module, given = random_module(SHAPES[name], seed=5), series(60)
    values, calendar = torch.from_numpy(given), torch.from_numpy(week_features(*given.shape))
    state = module.initial_state(len(values))
    with torch.no_grad():
        for t in range(60):
            _, state = module.step((values[:, t], calendar[:, t]), state)
        _, unrolled = module.unroll(values, calendar, module.initial_state(len(values)))
    one_by_one, at_once = module.arrays(state), module.arrays(unrolled)
    assert set(one_by_one) == set(at_once) == {field.name for field in module.fields}
    for field, array in at_once.items():
        size = array.abs().amax(dim=tuple(range(1, array.dim())), keepdim=True)
        least = 1.0 if field == "drift.sums" else 1e-4  # sums near zero are differences of errors and allowances
        assert ((one_by_one[field] - array).abs() <= 1e-4 * size.clamp(min=least)).all(), field


def test_a_missing_value_leaves_the_offsets_as_they_were() -> None:
    module, state = _folded(30)
    _, later = module.step((torch.full((1,), float("nan"), dtype=torch.float64), torch.zeros(1, 5)), state)
    assert torch.equal(later["calibration"], state["calibration"])
    _, known = module.step((torch.zeros(1, dtype=torch.float64), torch.zeros(1, 5)), state)
    assert not torch.equal(known["calibration"], state["calibration"])


def test_an_origin_keeps_the_fan_that_was_forecast_from_it() -> None:
    for steps in (1, 15, 29):
        module, state = _folded(steps)
        kept = module.arrays(state)["origin.fan"]
        with torch.no_grad():
            fan = module.forecast(state)[:, [1, 3, 6, 13]]
        torch.testing.assert_close(kept, fan, rtol=1e-6, atol=1e-6)
        _, later = _folded(steps + 13)
        assert torch.equal(module.arrays(later)["origin.fan"], kept)


def _folded(steps: int) -> tuple[Mixture, dict[str, Tensor]]:
    module, state = random_module(SHAPES["daily"], seed=6), None
    values = torch.from_numpy(regular_series(100)[-1:, :steps].copy())
    state = module.initial_state(1)
    with torch.no_grad():
        for t in range(steps):
            _, state = module.step((values[:, t], torch.zeros(1, 5)), state)
    return module, state
