"""The memory of a longer season, of trends, and of errors further ahead, beside what they are defined as."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.layers.columns import Columns, MemoryConfig
from models.layers.experts import DAMPING, candidates, far_mean
from models.layers.scale import scale_of
from models.mixture import Mixture, MixtureConfig
from tests.models.shapes import SHAPES

WALK = 20.0 + np.random.default_rng(1).standard_normal(60).cumsum()


def folded(config: MixtureConfig, values: np.ndarray) -> tuple[Mixture, list[dict[str, Tensor]]]:
    """The module and its state after each value of one series."""
    module, states = Mixture(config).eval(), []
    state = module.initial_state(1)
    with torch.no_grad():
        for value in values:
            _, state = module.step((torch.tensor([value]), torch.zeros(1, 5)), state)
            states.append(state)
    return module, states


def test_errors_further_ahead_are_those_of_the_forecasts_from_the_last_origin() -> None:
    config = SHAPES["without anchors"]
    module, states = folded(config, WALK)
    columns, mean = module.memory.columns, far_mean(config.memory)
    levels = [0, 1, 9]  # last value, fast level, slow level: no phase is in them
    expected = np.zeros(3)
    for t in range(1, 60):
        origin = (t - 1) // config.horizon * config.horizon
        row = states[origin]["memory"]
        forecast = (row.matmul(candidates(columns, 1)[:, 0]) + row.matmul(columns.last).unsqueeze(1))[0, levels]
        expected += mean.at(t + 1) * (np.abs(WALK[t] - forecast.numpy()) - expected)
    np.testing.assert_allclose(module.arrays(states[-1])["expert.far"][0, levels].numpy(), expected, rtol=1e-9)


def test_a_trend_goes_on_from_an_origin_and_is_damped() -> None:
    config = MixtureConfig(hidden=8, horizon=5, trends=True, far=True)
    module, states = folded(config, WALK[:6])  # before the first whole week there is no index
    columns = module.memory.columns
    ahead = states[0]["memory"].matmul(candidates(columns, 5).flatten(1)).reshape(5, -1)[:, 10:12].numpy()
    assert (ahead == 0.0).all()  # one value has no slope
    _, states = folded(config, WALK)
    row = states[0]["memory"] if len(states) < 6 else states[5]["memory"]
    gaps = row.matmul(candidates(columns, 5).flatten(1)).reshape(5, -1)[:, 10:12].numpy()
    for trend, damping in enumerate(DAMPING):
        steps = np.diff(gaps[:, trend], prepend=0.0)
        np.testing.assert_allclose(steps[1:] / steps[:-1], damping, rtol=1e-9)
    origin = module.arrays(states[5])["origin.expert"][0].numpy()
    with torch.no_grad():
        later, expected = module.origin.step(states[5]["origin"]) if module.origin else (None, None)
    assert later is not None
    assert expected is not None
    far = expected[0, module.memory.levels + columns.experts :][10:12].numpy()
    np.testing.assert_allclose(far, WALK[5] + gaps[0], rtol=1e-9)
    assert origin[0] == WALK[5]


def test_a_longer_season_is_learnt_on_top_of_the_shorter_one() -> None:
    config = SHAPES["hourly"]
    short, long = np.resize([3.0, 0.0, -1.0, 0.0, -1.0, -1.0], 18), np.repeat([2.0, -1.0, -1.0], 6)
    values = np.resize(50.0 + short + long, 18 * 30)
    module, states = folded(config, values)
    row, columns = states[-1]["memory"], module.memory.columns
    ahead = row.matmul(candidates(columns, 9).flatten(1)).reshape(9, -1) + row.matmul(columns.last)
    errors = (ahead.numpy() - np.resize(values, 18 * 31)[18 * 30 : 18 * 30 + 9, None]).__abs__().mean(axis=0)
    with_both, with_the_shorter = errors[12], errors[4]
    assert with_both < 0.5 * with_the_shorter
    index = module.arrays(states[-1])["index.long"][0].numpy()
    assert np.corrcoef(index, np.roll(long, 1))[0, 1] > 0.9


def test_the_memory_needs_a_longer_season_only_where_it_has_one() -> None:
    with_one, without = Columns(MemoryConfig(6, longer=18)), Columns(MemoryConfig(6))
    assert {field.name for field in with_one.fields} - {field.name for field in without.fields} == {"index.long"}
    assert with_one.experts == without.experts + 4
    assert with_one.needed == with_one.width - 16


@pytest.mark.parametrize("name", SHAPES)
def test_a_huge_or_constant_series_keeps_every_number_finite(name: str) -> None:
    for values in (np.full(40, 5.0), np.zeros(40), 1e12 * WALK[:40], 1e-12 * WALK[:40]):
        module, states = folded(SHAPES[name], values)
        with torch.no_grad():
            fan = module.forecast(states[-1])
        assert torch.isfinite(fan).all()
        assert all(torch.isfinite(block).all() for block in states[-1].values())
        assert (fan.diff(dim=2) >= 0.0).all()
        assert (scale_of(module.arrays(states[-1])["scale"]) > 0.0).all()


def test_the_network_takes_no_session_for_older_than_the_oldest() -> None:
    limited, unlimited = (Mixture(MixtureConfig(hidden=8, oldest=oldest)).memory for oldest in (40, 0))
    row = torch.rand(1, limited.columns.width, dtype=torch.float64)
    rows = row.repeat(3, 1)
    rows[:, limited.columns.seen] = torch.tensor([[39.0], [40.0], [4000.0]], dtype=torch.float64)
    assert torch.equal(limited.logs(rows[1]), limited.logs(rows[2]))
    assert not torch.equal(limited.logs(rows[0]), limited.logs(rows[1]))
    assert not torch.equal(unlimited.logs(rows[1]), unlimited.logs(rows[2]))
