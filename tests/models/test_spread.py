"""Intervals further ahead than a fan: exact for a random walk and for a stationary series, and never crossing."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.spread import Doubles, continued, distances

Z = np.array([-1.96, -1.28, 0.0, 1.28, 1.96])
FINITE = st.floats(-1e300, 1e300)


def fan(deviations: Doubles, medians: Doubles | float = 0.0) -> Doubles:
    """(H, 5) quantiles of normal errors with standard deviations (H,)."""
    return np.broadcast_to(medians, deviations.shape)[:, None] + Z * deviations[:, None]


@pytest.mark.parametrize(("reach", "season"), [(14, 7), (13, 52), (48, 24), (1, 7), (2, 7), (3, 7), (5, 1)])
@pytest.mark.parametrize("size", [1e-300, 1.0, 1e299])
def test_the_intervals_of_a_random_walk_grow_with_the_root_of_the_steps(reach: int, season: int, size: float) -> None:
    deviations = size * np.sqrt(np.arange(1.0, 10 * reach + 1))
    found = continued(fan(deviations[:reach]), np.zeros(9 * reach), season)
    assert found == pytest.approx(fan(deviations[reach:]), rel=1e-12)


def test_the_intervals_of_a_stationary_series_stay_as_they_are_at_each_phase_of_its_season() -> None:
    day = np.array([1.0, 1.0, 3.0, 7.0, 5.0, 2.0]) / 3.0
    found = continued(fan(np.tile(day, 2)), np.zeros(21), season=6)
    assert np.array_equal(found, fan(np.tile(day, 4)[:21]))


def test_intervals_that_become_narrower_over_the_fan_do_not_vanish() -> None:
    narrowing = np.linspace(3.0, 1.0, 14)
    found = continued(fan(narrowing), np.zeros(126), season=7)
    assert np.array_equal(found, fan(np.tile(narrowing[7:], 18)))


def test_what_grows_and_has_phases_keeps_them_around_its_medians() -> None:
    steps = np.arange(1.0, 57.0)
    variances = 2.0 * steps + 9.0 * (steps % 7 == 0)
    medians = 100.0 + steps
    found = continued(fan(np.sqrt(variances[:14]), medians[:14]), medians[14:], season=7)
    assert found == pytest.approx(fan(np.sqrt(variances), medians)[14:], rel=1e-12)


def test_a_series_without_any_doubt_stays_without() -> None:
    assert np.array_equal(continued(fan(np.zeros(14)), np.full(3, 5.0), season=7), np.full((3, 5), 5.0))


@given(
    quantiles=st.integers(1, 16).flatmap(lambda reach: arrays(np.float64, (reach, 5), elements=FINITE)),
    medians=arrays(np.float64, 40, elements=FINITE),
    season=st.integers(1, 60),
)
def test_quantiles_never_cross_whatever_the_fan(quantiles: Doubles, medians: Doubles, season: int) -> None:
    direct = np.sort(quantiles, axis=1)
    found = continued(direct, medians, season)
    assert np.isfinite(found).all()
    assert np.array_equal(found[:, 2], medians)
    assert (np.diff(found, axis=1) >= 0.0).all()


def test_an_inner_quantile_that_grows_faster_takes_the_outer_one_with_it() -> None:
    inner, outer = np.sqrt(np.arange(1.0, 15.0)), np.full(14, 4.0)
    direct = np.stack([-outer, -inner, np.zeros(14), inner, outer], axis=1)
    last = continued(direct, np.zeros(126), season=7)[-1]
    assert last == pytest.approx(np.array([-1.0, -1.0, 0.0, 1.0, 1.0]) * np.sqrt(140.0))


def test_numbers_beyond_all_others_are_told_as_such() -> None:
    for median in (0.0, 1e308):
        direct = np.array([[-1.5e308, -1.0, median, 1.2e308, 1.5e308]])
        assert np.isinf(continued(direct, np.zeros(9), season=7)[-1]).any()


@given(
    quantiles=st.integers(1, 16).flatmap(lambda reach: arrays(np.float64, (2, reach, 5), elements=FINITE)),
    ahead=arrays(np.int64, (2, 6), elements=st.integers(1, 10_000)),
    season=st.integers(1, 60),
)
def test_no_series_sees_another(quantiles: Doubles, ahead: npt.NDArray[np.int64], season: int) -> None:
    fans = np.sort(quantiles, axis=2)
    assert np.array_equal(distances(fans, ahead, season)[1:], distances(fans[1:], ahead[1:], season))


def test_within_the_fan_they_are_its_own() -> None:
    sizes = np.random.default_rng(1).uniform(1.0, 2.0, 14)
    found = distances(fan(sizes)[None], np.arange(1, 15)[None], 7)[0]
    assert np.array_equal(found, fan(sizes))
