"""The composition: what it starts as, what it learns from, and how it scores itself."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.fold import State
from models.layers.columns import Columns, MemoryConfig
from models.layers.experts import ERROR_FLOOR, candidates
from models.layers.quantiles import MixtureHead, twice_ramp
from models.layers.scale import scale_of
from models.mixture import QUANTILES, Mixture, MixtureConfig
from tests.golden.publish_models import random_module
from tests.models.sessions import interrupted_series, regular_series, week_features

STEPS = 60
MEDIAN = QUANTILES.index(0.5)


def small(layers: int = 2, *, last_known: bool = False) -> Mixture:
    return random_module(MixtureConfig(hidden=8, layers=layers, last_known=last_known), seed=layers)


def scale_after(module: Mixture, state: State) -> Tensor:
    """(B, 1)."""
    return scale_of(module.arrays(state)["scale"])


def observed(values: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(values.copy()), torch.from_numpy(week_features(*values.shape))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("series", [regular_series, interrupted_series])
def test_stepping_one_by_one_equals_one_unrolled_pass_in_every_array(layers: int, series: object) -> None:
    assert callable(series)
    module, (values, calendar) = small(layers), observed(series(STEPS))
    state, issued = module.initial_state(len(values)), []
    with torch.no_grad():
        for t in range(STEPS):
            quantiles, state = module.step((values[:, t], calendar[:, t]), state)
            issued.append(quantiles)
        fan, unrolled = module.unroll(values, calendar, module.initial_state(len(values)))
        assert module.forecast(state).shape == fan[:, -1].shape == (len(values), 14, len(QUANTILES))
    scale = scale_after(module, state)
    stepped = torch.stack(issued, dim=1)
    expected = fan[:, :, 0]
    # a series' own last scale may be smaller than that of the step: its largest value is never
    size = torch.maximum(expected.abs(), scale.unsqueeze(1))
    assert ((stepped - expected).abs() <= 1e-5 * size).all()
    one_by_one, at_once = module.arrays(state), module.arrays(unrolled)
    assert set(one_by_one) == set(at_once) == {field.name for field in module.fields}
    for name in ("lstm.h", "lstm.c", "seen", "index", "scores.recent"):
        size = at_once[name].abs().amax(dim=tuple(range(1, at_once[name].dim())), keepdim=True)
        assert ((one_by_one[name] - at_once[name]).abs() <= 1e-4 * size.clamp(min=1e-4)).all(), name


@pytest.mark.parametrize("at", [1, 17, STEPS - 1])
def test_a_window_continued_from_its_state_equals_the_whole(at: int) -> None:
    module, (values, calendar) = small(), observed(regular_series(STEPS))
    with torch.no_grad():
        whole, last = module.unroll(values, calendar, module.initial_state(len(values)))
        first, state = module.unroll(values[:, :at], calendar[:, :at], module.initial_state(len(values)))
        second, carried = module.unroll(values[:, at:], calendar[:, at:], state)
    joined = torch.cat([first, second], dim=1)
    assert ((joined - whole).abs() <= 1e-5 * torch.maximum(whole.abs(), scale_after(module, last)[:, None, None])).all()
    assert torch.equal(carried["memory"], last["memory"])


def test_gradient_crosses_the_steps_of_an_unrolled_window_and_not_its_edge() -> None:
    module, (values, calendar) = small(layers=1), observed(regular_series(STEPS)[-1:])
    calendar.requires_grad_(True)
    fan, state = module.unroll(values, calendar, module.initial_state(1))
    with pytest.raises(RuntimeError, match="does not require grad"):
        state["memory"].sum().backward()  # type: ignore[no-untyped-call]
    assert not state["issued"].requires_grad
    weights = module.recurrence.lstm.get_parameter("weight_hh_l0")
    fan[:, -1].sum().backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None
    assert weights.grad.abs().max() > 0.0


def test_an_unrolled_window_of_one_step_teaches_nothing_across_time() -> None:
    module, (values, calendar) = small(layers=1), observed(regular_series(STEPS)[-1:])
    fan, _ = module.unroll(values[:, :1], calendar[:, :1], module.initial_state(1))
    fan.sum().backward()  # type: ignore[no-untyped-call]
    weights = module.recurrence.lstm.get_parameter("weight_hh_l0")
    assert weights.grad is not None
    assert weights.grad.abs().max() == 0.0


def test_untrained_it_is_the_experts_weighed_by_their_errors_to_the_power_of_minus_eight() -> None:
    module = Mixture(MixtureConfig(hidden=8)).eval()
    values, calendar = observed(regular_series(STEPS))
    with torch.no_grad():
        fan, state = module.unroll(values, calendar, module.initial_state(len(values)))
    columns, scale = module.memory.columns, scale_after(module, state)
    errors = torch.maximum(module.arrays(state)["expert.error"], ERROR_FLOOR * scale)
    weights = (errors / errors.amin(dim=1, keepdim=True)) ** -8
    experts = state["memory"].matmul(candidates(columns, 1)[:, 0] + columns.last.unsqueeze(1))
    expected = (weights * experts).sum(dim=1) / weights.sum(dim=1)
    size = torch.maximum(expected.abs(), scale[:, 0])
    assert ((fan[:, -1, 0, MEDIAN] - expected).abs() <= 1e-5 * size).all()


def test_untrained_the_spread_is_that_of_a_normal_distribution_of_the_scale() -> None:
    module = Mixture(MixtureConfig(hidden=8)).eval()
    values, calendar = observed(regular_series(STEPS)[-1:])
    with torch.no_grad():
        fan, state = module.unroll(values, calendar, module.initial_state(1))
    spread = (fan[0, -1, 0] - fan[0, -1, 0, MEDIAN]) / scale_after(module, state)[0]
    expected = torch.special.ndtri(torch.tensor(QUANTILES, dtype=torch.float64))
    torch.testing.assert_close(spread, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("last_known", [False, True])
def test_running_scores_are_those_of_what_was_issued(last_known: bool) -> None:
    module, (values, calendar) = small(last_known=last_known), observed(interrupted_series(STEPS)[1:])
    with torch.no_grad():
        fan, state = module.unroll(values, calendar, module.initial_state(1))
    issued, actual = fan[0, :-1, 0].numpy(), values[0].numpy()
    stood_in = actual.copy()
    for t in np.flatnonzero(np.isnan(actual)).tolist():
        stood_in[t] = (stood_in[t - 1] if last_known else issued[t - 1, MEDIAN]) if t else 0.0
    first = int(np.argmin(np.isnan(actual)))
    everything, recent = np.zeros(6), np.zeros(6)
    for t in range(first + 1, STEPS):
        if np.isnan(actual[t]):
            continue
        quantiles, value = issued[t - 1], actual[t]
        losses = [max(q * (value - f), (q - 1) * (value - f)) for q, f in zip(QUANTILES, quantiles, strict=True)]
        inside = [quantiles[lo] <= value <= quantiles[-1 - lo] for lo in (QUANTILES.index(0.1), 0)]
        error, naive = abs(value - quantiles[MEDIAN]), abs(value - stood_in[t - 1])
        scores = np.array([1.0, error, naive, np.mean(losses), *map(float, inside)])
        everything, recent = everything + scores, 0.98 * recent + scores
    arrays = module.arrays(state)
    np.testing.assert_allclose(arrays["scores.all"][0].numpy(), everything, rtol=1e-9)
    np.testing.assert_allclose(arrays["scores.recent"][0].numpy(), recent, rtol=1e-9)


def test_a_step_leaves_the_given_state_as_it_was() -> None:
    module, (values, calendar) = small(), observed(regular_series(STEPS))
    with torch.no_grad():
        _, state = module.unroll(values, calendar, module.initial_state(len(values)))
        before = {name: array.clone() for name, array in state.items()}
        module.step((values[:, 0], calendar[:, 0]), state)
        module.unroll(values, calendar, state)
    assert all(torch.equal(state[name], array) for name, array in before.items())


def test_no_module_keeps_state_between_calls() -> None:
    module, (values, calendar) = small(), observed(regular_series(STEPS))
    before = {name: array.clone() for name, array in [*module.named_parameters(), *module.named_buffers()]}
    with torch.no_grad():
        first, _ = module.unroll(values, calendar, module.initial_state(len(values)))
        second, _ = module.unroll(values, calendar, module.initial_state(len(values)))
    assert torch.equal(first, second)
    assert all(torch.equal(before[name], a) for name, a in [*module.named_parameters(), *module.named_buffers()])


def test_the_ramp_of_the_spreads_is_positive_and_rises() -> None:
    x = torch.linspace(-50, 50, 1001)
    assert (twice_ramp(x) > 0).all()
    assert (twice_ramp(x).diff() > 0).all()


@pytest.mark.parametrize("quantiles", [(0.1, 0.9), (0.1, 0.4, 0.9)])
def test_quantiles_without_a_median_in_the_middle_are_refused(quantiles: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"symmetric around 0\.5"):
        MixtureHead(Columns(MemoryConfig(7)), horizon=14, quantiles=quantiles, hidden=8)
