import numpy as np

from models.synthetic import series as synthetic


def test_the_same_seed_gives_the_same_series_however_many_processes_draw_them() -> None:
    alone = synthetic.draw(1200, length=60, seed=5)
    together = synthetic.draw(1200, length=60, seed=5, processes=2)
    np.testing.assert_array_equal(alone, together)
    assert not np.array_equal(alone, synthetic.draw(1200, length=60, seed=6))


def test_every_series_is_finite_and_few_stand_still() -> None:
    drawn = synthetic.draw(1000, length=200, seed=1)
    assert drawn.shape == (1000, 200)
    assert np.isfinite(drawn).all()
    assert (np.ptp(drawn, axis=1) > 0).mean() > 0.97


def test_most_structural_series_repeat_after_a_week() -> None:
    rng = np.random.default_rng(2)
    series = synthetic.structural(rng, 400, 140, 7)
    weekly = np.abs(series[:, 7:] - series[:, :-7]).mean(axis=1)
    odd = np.abs(series[:, 3:] - series[:, :-3]).mean(axis=1)
    assert 0.5 < (weekly < 0.95 * odd).mean() < 0.95


def test_augmenting_adds_a_shape_that_repeats_with_the_season() -> None:
    rng = np.random.default_rng(3)
    windows = rng.standard_normal((5, 70)).cumsum(axis=1)
    added = synthetic.weekly_shape_added(rng, windows, 7) - windows
    np.testing.assert_allclose(added[:, 7:], added[:, :-7], atol=1e-9)
    assert (np.ptp(added, axis=1) > 0).all()
