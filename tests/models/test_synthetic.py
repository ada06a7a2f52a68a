from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from models.study import synthetic as picture
from models.synthetic import components, seasons
from models.synthetic import series as synthetic
from models.synthetic.seasons import Rhythm

RHYTHMS = {"daily": Rhythm.of(7, 0), "hourly": Rhythm.of(24, 168), "weekly": Rhythm.of(52, 0)}


def test_the_same_seed_gives_the_same_series_however_many_processes_draw_them() -> None:
    alone = synthetic.draw(1200, length=60, seed=5)
    together = synthetic.draw(1200, length=60, seed=5, processes=2)
    np.testing.assert_array_equal(alone, together)
    assert not np.array_equal(alone, synthetic.draw(1200, length=60, seed=6))


@pytest.mark.parametrize("rhythm", RHYTHMS.values(), ids=RHYTHMS)
def test_every_series_is_finite_and_few_stand_still(rhythm: Rhythm) -> None:
    drawn = synthetic.draw(1000, length=200, rhythm=rhythm, seed=1)
    assert drawn.shape == (1000, 200)
    assert np.isfinite(drawn).all()
    assert (np.ptp(drawn, axis=1) > 0).mean() > 0.97


@pytest.mark.parametrize("rhythm", RHYTHMS.values(), ids=RHYTHMS)
def test_many_structural_series_repeat_after_their_longest_season(rhythm: Rhythm) -> None:
    period = rhythm.longer or rhythm.season
    series = synthetic.structural(np.random.default_rng(2), 400, 4 * period, rhythm)
    whole = np.abs(series[:, period:] - series[:, :-period]).mean(axis=1)
    half = period // 2
    odd = np.abs(series[:, half:] - series[:, :-half]).mean(axis=1)
    assert 0.4 < (whole < 0.95 * odd).mean() < 0.95


@pytest.mark.parametrize("rhythm", RHYTHMS.values(), ids=RHYTHMS)
def test_augmenting_adds_a_shape_that_repeats_with_the_season(rhythm: Rhythm) -> None:
    rng, period = np.random.default_rng(3), rhythm.longer or rhythm.season
    windows = rng.standard_normal((5, 3 * period)).cumsum(axis=1)
    added = synthetic.shape_added(rng, windows, rhythm) - windows
    np.testing.assert_allclose(added[:, period:], added[:, :-period], atol=1e-9)
    assert (np.ptp(added, axis=1) > 0).all()


def test_shapes_of_a_season_have_mean_zero_and_deviation_one() -> None:
    for season in (7, 24, 52):
        drawn = seasons.shapes(np.random.default_rng(4), 500, season)
        np.testing.assert_allclose(drawn.mean(axis=1), 0.0, atol=1e-12)
        np.testing.assert_allclose(drawn.std(axis=1), 1.0, rtol=1e-9)


def test_hours_of_a_day_follow_each_other_smoothly() -> None:
    drawn = seasons.shapes(np.random.default_rng(5), 500, 24)
    steps = np.abs(np.diff(drawn, axis=1)).mean(axis=1)
    assert np.median(steps) < 0.5 < np.median(np.abs(np.diff(seasons.shapes(np.random.default_rng(5), 500, 7))))


def test_intermittent_demand_is_whole_numbers_and_mostly_zero() -> None:
    demand = components.intermittent(np.random.default_rng(6), 300, 200, np.ones((300, 200)))
    assert (demand == np.round(demand)).all()
    assert (demand >= 0.0).all()
    assert 0.6 < (demand == 0.0).mean() < 0.9


def test_the_picture_has_series_of_every_frequency(tmp_path: Path) -> None:
    picture.draw(tmp_path / "series.png", seed=2)
    width, height, pixels = 1040, 800, matplotlib.image.imread(tmp_path / "series.png")
    assert pixels.shape[:2] == (height, width)
    panels = [pixels[:, at : at + width // 3] for at in range(0, width - 2, width // 3)]
    assert all((panel[..., 2] - panel[..., 0] > 0.3).sum() > 2000 for panel in panels[:3])
