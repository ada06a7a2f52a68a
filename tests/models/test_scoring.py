import numpy as np
import pytest
from numpy.typing import NDArray

from models.data import Series
from models.evaluation.naive2 import naive2
from models.evaluation.scoring import Issued, horizon_scores, intervals, scale_of_training, stream_scores

QUANTILES = (0.1, 0.5, 0.9)
SERIES = Series("a", np.array([1.0, 3.0, 2.0, 4.0, 6.0, 5.0]), np.array([False] * 5 + [True]), test_steps=3)


def issued(stream: list[list[float]], fan: list[list[float]]) -> list[Issued]:
    return [Issued(np.array(stream), np.array(fan), QUANTILES)]


def test_scores_of_a_small_case_are_those_worked_out_by_hand() -> None:
    # train 1 3 2: mean step 1.5; test 4 6 (5 was filled in); repeating the last value errs by 2 and 2
    forecasts = issued([[3, 5, 6], [4, 5, 5.5], [0, 0, 0]], [[2, 3, 5], [2, 4, 5], [0, 0, 0]])
    scores = stream_scores([SERIES], forecasts)
    assert scores.series == 1
    assert scores.mase == pytest.approx(1.0 / 1.5)
    assert scores.relative_mae == pytest.approx((1.0 + 0.0015) / (2.0 + 0.0015))
    assert scores.coverage == {80: 0.5}
    assert scores.width == {80: pytest.approx((3 + 1.5) / 2 / 1.5)}
    pinball = [0.1 * 1, 0.5 * 1, 0.1 * 2, 0.1 * 2, 0.5 * 1, 0.9 * 0.5]
    assert scores.crps == pytest.approx(2 * np.mean(pinball) / 1.5)
    horizon = horizon_scores([SERIES], forecasts, season=1)
    assert horizon.mase == pytest.approx((1 + 2) / 2 / 1.5)
    assert horizon.coverage == {80: 0.5}


def test_the_measures_of_m4_are_those_worked_out_by_hand() -> None:
    # train 1 3 1 3 ...: the season's index is 1/2, 3/2, so that Naive2 is 1 and 3; 2 is the scale, as seasons repeat
    series = Series("a", np.append(np.tile([1.0, 3.0], 10), [2.0, 5.0]), np.zeros(22, dtype=bool), test_steps=2)
    fan = np.array([[0.0, 1.0, 3.0], [2.0, 4.0, 4.5]])
    scores = horizon_scores([series], [Issued(fan, fan, (0.025, 0.5, 0.975))], season=2)
    assert (scores.season, scores.mase, scores.mase_m1) == (2, 0.5, 0.5)
    assert scores.smape == pytest.approx(200 * (1 / 3 + 1 / 9) / 2)
    assert scores.owa == pytest.approx((((1 / 3 + 1 / 9) / (1 / 3 + 2 / 8)) + 0.5 / 0.75) / 2)
    assert scores.msis == pytest.approx((3.0 + 2.5 + 40 * 0.5) / 2 / 2.0)
    without = horizon_scores([series], [Issued(fan[:, 1:2], fan[:, 1:2])], season=1)
    # Naive2 of no season is 3 and 3
    assert without.owa == pytest.approx((((1 / 3 + 1 / 9) / (1 / 5 + 2 / 8)) + 1.0 / 1.5) / 2)
    assert without.msis is None


def test_each_series_is_scaled_by_a_season_of_its_own() -> None:
    values = np.append(np.tile([1.0, 3.0, 2.0, 6.0], 5) + np.arange(20) / 10, [2.0, 5.0])
    series = Series("a", values, np.zeros(22, dtype=bool), test_steps=2)
    fan = Issued(np.array([[1.0], [4.0]]), np.array([[1.0], [4.0]]))
    [by_four, by_one] = [horizon_scores([series], [fan], season=m) for m in (4, 1)]
    both = horizon_scores([series, series], [fan, fan], season=[4, 1])
    assert by_four.mase == pytest.approx(1.0 / 0.4)
    assert by_four.mase_m1 == by_one.mase == by_one.mase_m1
    assert both.mase == pytest.approx((by_four.mase + by_one.mase) / 2)
    assert both.season is None


@pytest.mark.parametrize(
    ("known", "season", "expected"),
    [
        (np.tile([2.0, 4.0, 6.0], 8), 3, [2.0, 4.0, 6.0, 2.0]),
        (np.tile([2.0, 4.0, 6.0], 8)[:-1], 3, [6.0, 2.0, 4.0, 6.0]),
        (np.tile([-2.0, 4.0, 6.0], 8), 3, [6.0] * 4),
        (np.tile([2.0, 4.0, 6.0], 2), 3, [6.0] * 4),
        (np.ones(30), 3, [1.0] * 4),
    ],
    ids=["season", "in the middle of one", "not positive", "too short", "constant"],
)
def test_naive2_repeats_the_last_value_by_the_season_it_has(
    known: NDArray[np.float64], season: int, expected: list[float]
) -> None:
    np.testing.assert_allclose(naive2(known, 4, season), expected)


def test_series_that_do_not_move_are_neither_won_nor_lost() -> None:
    flat = Series("flat", np.full(6, 3.0), np.zeros(6, dtype=bool), test_steps=3)
    [one] = issued([[3, 4, 6], [3, 6, 7], [0, 0, 0]], [[3, 3, 5], [2, 4, 5], [0, 0, 0]])
    scores = stream_scores([SERIES, flat], [one, one])
    assert (scores.series, scores.unscaled, scores.win_share) == (2, 1, 1.0)


def test_nothing_to_score_gives_no_figure_and_no_warning() -> None:
    missing = Series("a", np.array([1.0, 2.0, np.nan, np.nan]), np.zeros(4, dtype=bool), test_steps=2)
    forecasts = issued([[0, 0, 0], [4, 5, 6]], [[0, 0, 0]])
    stream, horizon = stream_scores([missing], forecasts), horizon_scores([missing], forecasts, season=1)
    assert stream.series == horizon.series == 0
    assert np.isnan([stream.relative_mae, stream.win_share, stream.coverage[80], horizon.mase, horizon.owa]).all()


def test_a_missing_actual_is_not_scored_and_the_last_known_value_is_what_is_repeated() -> None:
    series = Series("a", np.array([1.0, 2.0, np.nan, 5.0]), np.zeros(4, dtype=bool), test_steps=2)
    scores = stream_scores([series], issued([[0, 0, 0], [4, 5, 6]], [[0, 0, 0]]))
    assert scores.mase == 0.0
    assert scores.relative_mae == pytest.approx(0.001 / 3.001)


def test_a_scale_falls_back_to_single_steps_where_the_season_repeats_exactly() -> None:
    assert scale_of_training(np.array([1.0, 2.0, 1.0, 2.0]), 2) == 1.0
    assert np.isnan(scale_of_training(np.ones(5), 2))


def test_intervals_are_named_by_their_level_in_percent() -> None:
    assert intervals((0.025, 0.1, 0.5, 0.9, 0.975)) == {80: (1, 3), 95: (0, 4)}
    assert intervals((0.5,)) == {}
